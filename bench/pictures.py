"""Takes pictures of every page and writes the document that shows them: `python -m bench.pictures`.

Starts `manage.py up` with data of its own, which holds the demo's sales, brings the open one into one
state after the other, and looks at it in Chromium as a phone and as a desktop, in light and in dark.
"""

import argparse
import io
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode
from urllib.request import Request, urlopen

from PIL import Image
from rich.console import Console
from rich.progress import track

from bench.chromium import ABSENT, ARGUMENTS, executable
from drills.private_shop import HOST, ROOT, say, start_shop, wait_for

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

    from inventory.models import Sale

PHONE, DESKTOP = "phone", "desktop"
SCREENS: dict[str, dict[str, Any]] = {
    PHONE: {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True},
    DESKTOP: {"viewport": {"width": 1280, "height": 800}},
}
SCHEMES = ("light", "dark")
MOST_BYTES = 60_000  # of a picture: all of them are in the repository
PATIENCE = 30_000  # ms; far more than anything takes

_OPEN, _UPCOMING, _ENDED = "autumn-drop", "midnight-sessions", "summer-archive"
_JACKET, _RECORD = "Harbour rain jacket", "Night Signals"
# One option of the shoe has gone, and the rest is about to go.
_NEARLY_GONE = {"RIDGE-42": 3, "RIDGE-43": 0, "HARBOUR-M": 1, "NIGHT-LP": 14, "QUAY-BAG": 2}
_STAFF, _PASSWORD = "anna", "only-for-these-pictures"  # of a shop that is thrown away


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.pictures", description=__doc__)
    parser.add_argument("--into", type=Path, default=ROOT / "docs", help="default: docs/")
    into: Path = parser.parse_args().into
    # As Ctrl-C: whatever ends this command, the shop is ended first.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with a_browser() as browser, start_shop() as (folder, port):
        # Playwright's loop runs in this thread, and Django takes what is done here for coroutines.
        os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "1"
        take_pictures(browser, Shop(f"http://{HOST}:{port}", folder), into / "img" / "pages")
    (into / "pages.md").write_text(document())


@contextmanager
def a_browser() -> "Iterator[Browser]":
    """Ends the command with a line where there is none."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError as error:
        missing = "Playwright is missing. It comes with: pip install -r requirements-dev.txt"
        raise SystemExit(missing) from error
    with sync_playwright() as playwright:
        path = executable(playwright)
        if path is None:
            raise SystemExit(ABSENT)
        with playwright.chromium.launch(executable_path=path, args=ARGUMENTS) as browser:
            yield browser


# --- The states of pages, in the order in which one leads to the next ----------------------------------


@dataclass(frozen=True)
class Shop:
    """A running shop: where it is reached, and where it keeps its data."""

    site: str
    folder: Path


Stage = Callable[[Shop], AbstractContextManager[None]]


def as_it_is(shop: Shop) -> AbstractContextManager[None]:
    return nullcontext()


@dataclass(frozen=True)
class State:
    name: str
    tells: str  # a sentence under its name
    show: "Callable[[Page], object]"  # brings a fresh browser there
    stage: Stage = as_it_is  # what the shop is like meanwhile
    screens: tuple[str, ...] = (PHONE, DESKTOP)

    def pictures(self) -> list[tuple[str, str, str]]:
        """Screen, scheme and file name of each."""
        return [
            (screen, scheme, f"{self.name}-{screen}-{scheme}.webp")
            for screen in self.screens
            for scheme in SCHEMES
        ]


def front(page: "Page") -> None:
    page.goto("/")
    page.get_by_role("link", name="Autumn drop").wait_for()


def upcoming(page: "Page") -> None:
    visit(page, _UPCOMING, "upcoming")


def opened(page: "Page") -> None:
    visit(page, _OPEN, "open")


def paused(page: "Page") -> None:
    visit(page, _OPEN, "paused")


def ended(page: "Page") -> None:
    visit(page, _ENDED, "ended")


def in_line(page: "Page") -> None:
    opened(page)
    buy(page, _JACKET)
    show_answer(page, "queued")


def secured(page: "Page") -> None:
    opened(page)
    buy(page, _JACKET)
    show_answer(page, "confirmed")


def refused(page: "Page") -> None:
    """A page that has not heard what its shopper bought in another tab."""
    page.route_web_socket("**/ws/**", lambda socket: None)
    opened(page)
    other_tab = page.context.new_page()
    opened(other_tab)
    buy(other_tab, _JACKET, 2)
    answer(other_tab, "confirmed").wait_for()
    buy(page, _RECORD)
    show_answer(page, "refused")


def order(page: "Page") -> None:
    secured(page)
    answer(page, "confirmed").get_by_role("link", name="Your order").click()
    page.wait_for_url("**/orders/*/")
    answer(page, "confirmed").wait_for()


def orders(page: "Page") -> None:
    secured(page)
    opened(page)
    buy(page, _RECORD)
    page.locator(".answer").locator(answer(page, "confirmed")).wait_for()
    page.goto("/orders/")
    for product in (_JACKET, _RECORD):
        page.get_by_text(product).first.wait_for()


def dashboard(page: "Page") -> None:
    page.goto("/dashboard/")
    page.get_by_label("Username").fill(_STAFF)
    page.get_by_label("Password").fill(_PASSWORD)
    page.get_by_role("button", name="Log in").click()
    page.locator(".plot canvas").first.wait_for()


def visit(page: "Page", slug: str, phase: str) -> None:
    page.goto(f"/sales/{slug}/")
    page.locator(f"#state[data-phase='{phase}']").wait_for()


def buy(page: "Page", product: str, quantity: int = 1) -> None:
    headed = page.get_by_role("heading", name=product)
    form = page.locator("article.product").filter(has=headed).locator("form.buy")
    if quantity > 1:
        form.locator("[name=quantity]").fill(str(quantity))
    form.get_by_role("button").click()


def answer(page: "Page", status: str) -> "Locator":
    return page.locator(f".outcome[data-status='{status}']")


def show_answer(page: "Page", status: str) -> None:
    """With as much of its product as has room above it."""
    answer(page, status).wait_for()
    answer(page, status).evaluate("box => box.closest('.product').scrollIntoView({block: 'end'})")


# --- What the shop is like meanwhile ------------------------------------------------------------------


@contextmanager
def worker_stopped(shop: Shop) -> Iterator[None]:
    """What is accepted stays in the line. The supervisor of `up` takes a halted worker for a live one."""
    worker = int((shop.folder / "run" / "worker").read_text().split()[0])
    os.kill(worker, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(worker, signal.SIGCONT)


@contextmanager
def nearly_gone(shop: Shop) -> Iterator[None]:
    sell_all_but(shop, _NEARLY_GONE)
    yield


@contextmanager
def sold_out(shop: Shop) -> Iterator[None]:
    sell_all_but(shop, dict.fromkeys(_NEARLY_GONE, 0))
    yield


@contextmanager
def sale_paused(shop: Shop) -> Iterator[None]:
    from orders import lifecycle

    lifecycle.pause(the_sale().pk, by=_STAFF, reason="the courier is late")
    yield
    lifecycle.resume(the_sale().pk, by=_STAFF)


@contextmanager
def staff_employed(shop: Shop) -> Iterator[None]:
    from django.contrib.auth.models import User

    User.objects.create_superuser(_STAFF, password=_PASSWORD)
    yield


def sell_all_but(shop: Shop, left: dict[str, int]) -> None:
    """Other shoppers buy, until so many units of each product are left."""
    from inventory.gate import replica

    sale = the_sale()
    for product in sale.products.all():
        units = product.stock - left[product.sku]
        for begun in range(0, units, sale.limit):
            buy_as_somebody(shop, sale, product.sku, min(sale.limit, units - begun))
    wait_for(lambda: replica.read_view(sale.pk).waiting == 0)


def buy_as_somebody(shop: Shop, sale: "Sale", sku: str, quantity: int) -> None:
    from flashsale.http import shoppers
    from orders import tickets

    shopper = shoppers.new_shopper()
    ticket = tickets.issue(sale.pk, shopper)
    form = urlencode({"ticket": ticket, "product": sku, "quantity": quantity})
    cookie = f"shopper={shoppers.cookie_value(shopper)}"
    headers = {"Accept": "application/json", "Cookie": cookie}
    asked = Request(f"{shop.site}/sales/{sale.slug}/buy", form.encode(), headers)  # noqa: S310  # our own address
    with urlopen(asked) as accepted:  # noqa: S310  # the same
        assert accepted.status == 202, accepted.status


def the_sale() -> "Sale":
    from inventory.models import Sale

    return Sale.objects.get(slug=_OPEN)


STATES = [
    State("front", "The list of sales: one is open, one opens soon, one is over.", front),
    State("upcoming", "A sale before its opening, with a countdown.", upcoming),
    State("open", "A sale that is open; stock goes down as others buy.", opened),
    State(
        "in-line",
        "After the click: the purchase is accepted and waits in the line.",
        in_line,
        worker_stopped,
    ),
    State("secured", "The purchase was decided: it is the shopper's.", secured),
    State("refused", "A click over the limit, from a second tab that did not know.", refused),
    State("order", "The page of an order, for its shopper only.", order),
    State("orders", "What this shopper has bought so far.", orders),
    State("nearly-gone", "A few units are left, of one option none.", opened, nearly_gone),
    State(
        "dashboard",
        "What staff see and do while a sale goes on.",
        dashboard,
        staff_employed,
        (DESKTOP,),
    ),
    State("paused", "Staff have paused the sale; it will go on.", paused, sale_paused),
    State("sold-out", "Everything has gone; what comes back can be bought here.", opened, sold_out),
    State("ended", "A sale that is over.", ended),
]


# --- The pictures ---------------------------------------------------------------------------------

# A picture far below waits until somebody scrolls there; one that is broken never gets a width.
_DRAWN = """() => [...document.images].every(
    (image) => image.naturalWidth || image.getBoundingClientRect().top > innerHeight)"""


def take_pictures(browser: "Browser", shop: Shop, folder: Path) -> None:
    """Of all states. Of earlier ones, those that are no more are removed."""
    folder.mkdir(parents=True, exist_ok=True)
    states = track(STATES, "", console=Console(stderr=True), disable=not sys.stderr.isatty())
    for state in states:
        with state.stage(shop):
            for screen, scheme, name in state.pictures():
                taken = take_picture(browser, shop.site, state, screen, scheme)
                (folder / name).write_bytes(encoded(taken))
    names = {name for state in STATES for _, _, name in state.pictures()}
    for old in folder.glob("*.webp"):
        if old.name not in names:
            old.unlink()
    size = sum(picture.stat().st_size for picture in folder.glob("*.webp"))
    say(f"{len(names)} pictures, {size / 1000:,.0f} kB, in {folder}")


def take_picture(browser: "Browser", site: str, state: State, screen: str, scheme: Any) -> bytes:
    """What a shopper who has never been here sees, in twice the pixels."""
    context = browser.new_context(
        **SCREENS[screen],
        base_url=site,
        color_scheme=scheme,
        device_scale_factor=2,
        locale="en-GB",
        timezone_id="UTC",
        reduced_motion="reduce",
    )
    context.set_default_timeout(PATIENCE)
    page = context.new_page()
    state.show(page)
    page.mouse.move(0, 0)
    page.wait_for_function(_DRAWN)
    taken = page.screenshot(animations="disabled")
    context.close()
    return taken


def encoded(taken: bytes) -> bytes:
    """As WebP of the size in which it was laid out, as good as MOST_BYTES allows."""
    picture = Image.open(io.BytesIO(taken)).convert("RGB").reduce(2)
    for quality in range(80, 0, -5):
        content = io.BytesIO()
        picture.save(content, "WEBP", quality=quality, method=6)
        if content.tell() < MOST_BYTES:
            break
    return content.getvalue()


# --- The document ---------------------------------------------------------------------------------

_HEAD = """# The pages

Every state of every page, on a phone and on a desktop, in light and in dark; a click shows one in full.
They are taken of the demo by `python -m bench.pictures`, which writes this page as well.

| state | phone | desktop |
|---|---|---|
"""
_SHOWN = {PHONE: 110, DESKTOP: 260}  # pixels wide


def document() -> str:
    """`docs/pages.md`: a row for each state."""
    return _HEAD + "".join(map(row, STATES))


def row(state: State) -> str:
    cells = dict.fromkeys(SCREENS, "")
    for screen, scheme, name in state.pictures():
        text = f"{state.name}, {screen}, {scheme}"
        image = f'<img src="img/pages/{name}" alt="{text}" width="{_SHOWN[screen]}">'
        cells[screen] += f"[{image}](img/pages/{name}) "
    return f"| **{state.name}**<br>{state.tells} | {cells[PHONE]}| {cells[DESKTOP]}|\n"


if __name__ == "__main__":
    main()
