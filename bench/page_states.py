"""The states of sales, orders and dashboard that `bench/pictures.py` shows, and how to reach them in a
private shop. `bench/checkout_states.py` has those of a checkout."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlencode
from urllib.request import Request, urlopen

from bench.stage import shown_in
from drills.private_shop import wait_for

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

    from inventory.models import Sale

PHONE, DESKTOP = "phone", "desktop"
Look = tuple[str, str]  # screen and colour scheme
_PHONES: tuple[Look, ...] = ((PHONE, "light"), (PHONE, "dark"))
_DESKTOPS: tuple[Look, ...] = ((DESKTOP, "light"), (DESKTOP, "dark"))

_OPEN, _UPCOMING, _ENDED = "autumn-drop", "midnight-sessions", "summer-archive"
_JACKET, _RECORD = "Harbour rain jacket", "Night Signals"
# One option of the shoe is sold out, and few units of the others are left.
_NEARLY_GONE = {"RIDGE-42": 3, "RIDGE-43": 0, "HARBOUR-M": 1, "NIGHT-LP": 14, "QUAY-BAG": 2}
STAFF, _PASSWORD = "anna", "only-for-these-pictures"  # of a temporary shop


@dataclass(frozen=True)
class Shop:
    """A running shop: its address, and the folder of its data."""

    site: str
    folder: Path


Preparation = Callable[[Shop], AbstractContextManager[None]]


def leave_as_it_is(shop: Shop) -> AbstractContextManager[None]:
    return nullcontext()


@dataclass(frozen=True)
class State:
    name: str
    caption: str
    show: "Callable[[Page], object]"  # brings a new browser to the page
    prepare: Preparation = leave_as_it_is  # brings the shop into the state
    looks: tuple[Look, ...] = _PHONES + _DESKTOPS
    whole: bool = False  # also shows the page below the screen

    def pictures(self) -> list[tuple[str, str, str]]:
        """Screen, scheme and file name of each picture."""
        return [
            (screen, scheme, f"{self.name}-{screen}-{scheme}.webp") for screen, scheme in self.looks
        ]


def show_sale_list(page: "Page") -> None:
    page.goto("/")
    page.get_by_role("link", name="Autumn drop").wait_for()


def show_upcoming(page: "Page") -> None:
    visit(page, _UPCOMING, "upcoming")


def show_open(page: "Page") -> None:
    visit(page, _OPEN, "open")


def show_paused(page: "Page") -> None:
    visit(page, _OPEN, "paused")


def show_ended(page: "Page") -> None:
    visit(page, _ENDED, "ended")


def show_in_line(page: "Page") -> None:
    show_open(page)
    buy(page, _JACKET)
    show_answer(page, "queued")


def show_secured(page: "Page") -> None:
    show_open(page)
    buy(page, _JACKET)
    show_answer(page, "confirmed")


def show_refused(page: "Page") -> None:
    """Click on a page that missed the purchase in another tab, since its socket is blocked."""
    page.route_web_socket("**/ws/**", lambda socket: None)
    show_open(page)
    other_tab = page.context.new_page()
    show_open(other_tab)
    buy(other_tab, _JACKET, 2)
    find_answer(other_tab, "confirmed").wait_for()
    buy(page, _RECORD)
    show_answer(page, "refused")


def show_order(page: "Page") -> None:
    show_secured(page)
    find_answer(page, "confirmed").get_by_role("link", name="Your order").click()
    page.wait_for_url("**/orders/*/")
    find_answer(page, "confirmed").wait_for()


def show_orders(page: "Page") -> None:
    show_secured(page)
    show_open(page)
    buy(page, _RECORD)
    page.locator(".answer").locator(find_answer(page, "confirmed")).wait_for()
    page.goto("/orders/")
    for product in (_JACKET, _RECORD):
        page.get_by_text(product).first.wait_for()


def show_dashboard(page: "Page") -> None:
    open_as_staff(page, "/dashboard/")
    page.locator(".plot canvas").first.wait_for()


def open_as_staff(page: "Page", address: str) -> None:
    """Log in on the way to the address. `create_staff` has made the account."""
    page.goto(address)
    page.get_by_label("Username").fill(STAFF)
    page.get_by_label("Password").fill(_PASSWORD)
    page.get_by_role("button", name="Log in").click()
    page.wait_for_url(f"**{address}")


def visit(page: "Page", slug: str, phase: str) -> None:
    page.goto(f"/sales/{slug}/")
    page.locator(f"#state[data-phase='{phase}']").wait_for()


def buy(page: "Page", product: str, quantity: int = 1) -> None:
    headed = page.get_by_role("heading", name=product)
    form = page.locator("article.product").filter(has=headed).locator("form.buy")
    if quantity > 1:
        form.locator("[name=quantity]").fill(str(quantity))
    form.get_by_role("button").click()


def find_answer(page: "Page", status: str) -> "Locator":
    return page.locator(f".outcome[data-status='{status}']")


def show_answer(page: "Page", status: str) -> None:
    """Scroll to the outcome, with as much of its product as fits above it."""
    find_answer(page, status).wait_for()
    find_answer(page, status).evaluate(
        "box => box.closest('.product').scrollIntoView({block: 'end'})"
    )


# --- Preparing the shop -------------------------------------------------------------------------


@contextmanager
def stop_worker(shop: Shop) -> Iterator[None]:
    """Stop the worker, so that entries stay in the line. `up` does not restart a stopped process."""
    worker = int((shop.folder / "run" / "worker").read_text().split()[0])
    os.kill(worker, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(worker, signal.SIGCONT)


@contextmanager
def sell_nearly_all(shop: Shop) -> Iterator[None]:
    sell_all_but(shop, _NEARLY_GONE)
    yield


@contextmanager
def sell_all(shop: Shop) -> Iterator[None]:
    sell_all_but(shop, dict.fromkeys(_NEARLY_GONE, 0))
    yield


@contextmanager
def pause_sale(shop: Shop) -> Iterator[None]:
    from orders import sale_lifecycle

    sale_lifecycle.pause(get_sale().pk, by=STAFF, reason="the courier is late")
    yield
    sale_lifecycle.resume(get_sale().pk, by=STAFF)


@contextmanager
def create_staff(shop: Shop) -> Iterator[None]:
    from django.contrib.auth.models import User

    if not User.objects.filter(username=STAFF).exists():
        User.objects.create_superuser(STAFF, password=_PASSWORD)
    yield


def sell_all_but(shop: Shop, left: dict[str, int]) -> None:
    """Buy as other shoppers, until so many units of each variant are left."""
    from inventory.gate import replica

    sale = get_sale()
    for variant in sale.variants.all():
        units = variant.stock - left[variant.sku]
        for begun in range(0, units, sale.limit):
            buy_as_new_shopper(shop, sale, variant.sku, min(sale.limit, units - begun))
    wait_for(lambda: replica.read_view(sale.pk).in_line == 0)


def buy_as_new_shopper(shop: Shop, sale: "Sale", sku: str, quantity: int) -> None:
    from flashsale.http import shoppers
    from orders import tickets

    shopper = shoppers.new_shopper()
    ticket = tickets.issue(sale.pk, shopper, shown_in(sale.pk))
    form = urlencode({"ticket": ticket, "product": sku, "quantity": quantity})
    cookie = f"shopper={shoppers.cookie_value(shopper)}"
    headers = {"Accept": "application/json", "Cookie": cookie}
    click = Request(f"{shop.site}/sales/{sale.slug}/buy", form.encode(), headers)  # noqa: S310  # a loopback address
    with urlopen(click) as reply:  # noqa: S310  # the same
        assert reply.status == 202, reply.status


def get_sale(slug: str = _OPEN) -> "Sale":
    from inventory.models import Sale

    return Sale.objects.get(slug=slug)


# Each state leads to the next, in this order.
SALE_STATES = [
    State("front", "The list of sales: two are open, one opens soon, one is over.", show_sale_list),
    State("upcoming", "A sale before its opening, with a countdown.", show_upcoming),
    State("open", "A sale that is open; stock goes down as others buy.", show_open),
    State(
        "in-line",
        "After the click: the purchase is accepted and waits in the line.",
        show_in_line,
        stop_worker,
    ),
    State("secured", "The purchase was decided: it is the shopper's.", show_secured),
    State("refused", "A click over the limit, from a second tab that did not know.", show_refused),
    State("order", "The page of an order, for its shopper only.", show_order),
    State("orders", "What this shopper has bought so far.", show_orders),
    State("nearly-gone", "A few units are left, of one option none.", show_open, sell_nearly_all),
    State(
        "dashboard",
        "What staff see and do while a sale goes on.",
        show_dashboard,
        create_staff,
        _DESKTOPS,
    ),
    State("paused", "Staff have paused the sale; it will go on.", show_paused, pause_sale),
    State(
        "sold-out", "Everything has gone; what comes back can be bought here.", show_open, sell_all
    ),
    State("ended", "A sale that is over.", show_ended),
]
