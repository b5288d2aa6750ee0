"""A browser without cookies is told so, and two first pages of one browser are one shopper's."""

from collections.abc import Callable, Iterator
from uuid import UUID

import httpx
import pytest
from django.conf import settings

from conftest import MakeSale
from flashsale.http import shoppers
from inventory.models import Sale
from orders import tickets
from orders.settlement import settle
from tests.cast import HTMX, JSON, PAGE, Shopper, forms, skus, ticket_of
from tests.contract.conftest import Web
from tests.contract.shapes import (
    WORDS,
    boxes,
    buy,
    in_each_shape,
    location,
    purchase_in,
    state,
)

NewShopper = Callable[[], Shopper]


def keep(shopper: Shopper, name: str, value: str) -> None:
    """As if a page of the shop had set the cookie."""
    shopper.client.cookies.set(name, value, domain="127.0.0.1", path="/")


# --- No cookies -----------------------------------------------------------------------------------


@in_each_shape
def test_a_browser_that_keeps_no_cookies_is_told_that_they_are_needed(
    shape: str, shopper: Shopper, make_sale: MakeSale
) -> None:
    sale = make_sale()
    for _ in range(2):
        ticket = shopper.ticket(sale)
        before = state(sale)
        shopper.client.cookies.clear()
        reply = buy(shopper, sale, shape, ticket)
        assert "shopper" in reply.cookies  # once more: it may be kept this time
        shopper.client.cookies.clear()
        needs_cookies(reply, shape, sale)
        assert state(sale) == before


def needs_cookies(reply: httpx.Response, shape: str, sale: Sale) -> None:
    if shape == "json":
        assert (reply.status_code, reply.json()) == (403, {"error": "cookies"})
    elif shape == "htmx":
        assert (reply.status_code, reply.text.count(WORDS["cookies"])) == (403, 1)
    else:
        assert location(reply) == f"/sales/{sale.slug}/?message=cookies"


def test_the_page_that_a_plain_form_is_sent_back_to_says_so_until_there_is_a_cookie(
    shopper: Shopper, make_sale: MakeSale
) -> None:
    back = f"/sales/{make_sale().slug}/?message=cookies"
    assert shopper.client.get(back, headers=PAGE).text.count(WORDS["cookies"]) == 1
    page = shopper.client.get(back, headers=PAGE).text  # with the cookie that has just come
    assert WORDS["cookies"] not in page
    assert WORDS["ticket"] in page


@in_each_shape
def test_once_cookies_are_allowed_the_next_click_buys(
    shape: str, shopper: Shopper, make_sale: MakeSale
) -> None:
    sale = make_sale()
    ticket = shopper.ticket(sale)
    shopper.client.cookies.clear()
    reply = buy(shopper, sale, shape, ticket)
    if shape == "form":
        reply = shopper.client.get(location(reply), headers=PAGE)
    [form] = [{}] if shape == "json" else forms(reply.text)
    assert bought(buy(shopper, sale, shape, **form))


def test_a_form_without_a_ticket_says_nothing_of_cookies(
    shopper: Shopper, make_sale: MakeSale
) -> None:
    sale = make_sale()
    for ticket in ("", "forged", "\uff11" * 43, "A" * 44):
        shopper.client.cookies.clear()
        assert shopper.buy(sale, ticket).json() == {"error": "ticket"}


# --- Two first pages ------------------------------------------------------------------------------


class Tabs:
    """A browser that opens two tabs at once, without a cookie: neither request can know of the other. The
    second answer comes last."""

    def __init__(self, shopper: Shopper, sale: Sale) -> None:
        self.shopper, self.sale = shopper, sale
        pages = [httpx.get(f"{shopper.url}/sales/{sale.slug}/", headers=PAGE) for _ in range(2)]
        for page in pages:
            shopper.client.cookies.extract_cookies(page)
        self.ids = [cookie_of(page) for page in pages]
        self.tickets = [forms(page.text)[0]["ticket"] for page in pages]

    def click(self, tab: int, shape: str = "json") -> httpx.Response:
        return buy(self.shopper, self.sale, shape, self.tickets[tab])


def cookie_of(page: httpx.Response) -> UUID:
    found = shoppers.shopper_in(page.cookies["shopper"])
    assert found is not None
    return found


def bought(reply: httpx.Response) -> bool:
    return reply.status_code == 202 or location(reply).startswith("/orders/")


@in_each_shape
@pytest.mark.parametrize("tab", [0, 1])
def test_a_newcomer_with_two_tabs_buys_with_one_click_in_either(
    tab: int, shape: str, shopper: Shopper, make_sale: MakeSale
) -> None:
    sale = make_sale()
    tabs = Tabs(shopper, sale)
    assert len({*tabs.ids, *tabs.tickets}) == 4  # or there would be nothing to try
    assert bought(tabs.click(tab, shape))
    settle(sale.pk)
    purchase = str(purchase_in(tabs.tickets[tab]))
    assert shopper.order(purchase).json()["status"] == "confirmed"
    assert purchase in shopper.client.get("/orders/", headers=PAGE).text


def test_both_tabs_are_one_shoppers(shopper: Shopper, make_sale: MakeSale) -> None:
    tabs = Tabs(shopper, make_sale(limit=1))
    first = tabs.click(1).json()
    assert tabs.click(0).json() == {"status": "refused", "reason": "limit"}
    assert tabs.click(1).json() == first
    page = shopper.client.get(f"/sales/{tabs.sale.slug}/", headers=PAGE)
    assert boxes(page)[-1] == (str(purchase_in(tabs.tickets[1])), "queued")


def test_a_purchase_made_before_the_second_tab_has_its_page_stays_its_shoppers(
    shopper: Shopper, make_sale: MakeSale
) -> None:
    sale = make_sale(limit=2)
    tabs = Tabs(shopper, sale)
    early = {**JSON, "Cookie": f"shopper={shoppers.cookie_value(tabs.ids[0])}"}
    click = {"ticket": tabs.tickets[0], "product": skus(sale)[0]}
    path = f"{shopper.url}/sales/{sale.slug}/buy"
    accepted = httpx.post(path, data=click, headers=early).json()
    assert tabs.click(0).json() == accepted
    assert shopper.order(accepted["purchase"]).status_code == 200
    assert bought(tabs.click(1))
    assert set(sale_shoppers(sale)) == {tabs.ids[0]}


def sale_shoppers(sale: Sale) -> list[UUID]:
    settle(sale.pk)
    return list(sale.orders.values_list("shopper", flat=True))


@pytest.mark.parametrize("path", ["/sales/{}/", "/", "/orders/"])
def test_the_first_tabs_cookie_lasts_beyond_the_browsers_session(
    path: str, shopper: Shopper, make_sale: MakeSale
) -> None:
    sale = make_sale()
    tabs = Tabs(shopper, sale)
    assert cookie_named(shopper) == tabs.ids[1]
    shopper.client.get(path.format(sale.slug), headers=PAGE)
    assert cookie_named(shopper) == tabs.ids[0]


def cookie_named(shopper: Shopper) -> UUID | None:
    return shoppers.shopper_in(shopper.client.cookies["shopper"])


STOLEN: dict[str, Callable[[str], dict[str, str]]] = {
    "none": lambda theirs: {},
    "empty": lambda theirs: {f"shopper-{theirs[:8]}": ""},
    "forged": lambda theirs: {f"shopper-{theirs[:8]}": theirs[:22] + "A" * 21 + theirs[43:]},
    "cut": lambda theirs: {f"shopper-{theirs[:8]}": theirs[:22]},
    "misnamed": lambda theirs: {f"shopper_{theirs[:8]}": theirs},
    "of another program": lambda theirs: {f"other-{theirs[:8]}": theirs},
}


@in_each_shape
def test_a_form_of_another_browsers_first_page_buys_nothing(
    shape: str, new_shopper: NewShopper, make_sale: MakeSale
) -> None:
    sale = make_sale()
    for how, stolen in STOLEN.items():
        thief = new_shopper()
        Tabs(thief, sale)
        victim = Tabs(new_shopper(), sale)
        for name, value in stolen(shoppers.cookie_value(victim.ids[0])).items():
            keep(thief, name, value)
        before = state(sale)
        reply = buy(thief, sale, shape, victim.tickets[0])
        assert not bought_anything(reply), how
        assert state(sale) == before, how
        assert bought(victim.click(0, shape)), how


def bought_anything(reply: httpx.Response) -> bool:
    return reply.status_code in (200, 202) or "/orders/" in reply.headers.get("location", "")


def test_who_is_known_stays_who_they_are_whatever_first_pages_their_browser_had(
    shopper: Shopper, make_sale: MakeSale
) -> None:
    sale, anna = make_sale(limit=2), shoppers.new_shopper()
    tabs = Tabs(shopper, sale)
    keep(shopper, "shopper", shoppers.cookie_value(anna))
    assert bought(tabs.click(0))
    assert bought(buy(shopper, sale, "json", ticket_of(sale.pk, anna)))
    assert set(sale_shoppers(sale)) == {anna}
    assert cookie_named(shopper) == anna


def test_a_browser_with_many_first_pages_is_answered(shopper: Shopper, make_sale: MakeSale) -> None:
    sale = make_sale()
    tabs = Tabs(shopper, sale)
    many = [f"shopper-{n:08x}={shoppers.cookie_value(tabs.ids[0])}" for n in range(400)]
    headers = {
        **JSON,
        "Cookie": "; ".join([f"shopper={shoppers.cookie_value(tabs.ids[0])}", *many]),
    }
    form = {"ticket": "A" * 43, "product": skus(sale)[0]}
    reply = httpx.post(f"{shopper.url}/sales/{sale.slug}/buy", data=form, headers=headers)
    assert reply.json() == {"error": "ticket"}


# --- Renewed when seen ----------------------------------------------------------------------------

ANSWERED: dict[str, Callable[[Shopper, Sale, str], httpx.Response]] = {
    "sale": lambda s, sale, order: s.client.get(f"/sales/{sale.slug}/", headers=PAGE),
    "sale as JSON": lambda s, sale, order: s.client.get(f"/sales/{sale.slug}/", headers=JSON),
    "live parts": lambda s, sale, order: s.client.get(f"/sales/{sale.slug}/", headers=HTMX),
    "order": lambda s, sale, order: s.order(order, PAGE),
    "order as JSON": lambda s, sale, order: s.order(order),
    "order's fragment": lambda s, sale, order: s.order(order, HTMX),
    "another's order": lambda s, sale, order: s.order(str(tickets.new_purchase(sale.pk)), PAGE),
    "front page": lambda s, sale, order: s.client.get("/", headers=PAGE),
    "front page as JSON": lambda s, sale, order: s.client.get("/", headers=JSON),
    "own orders": lambda s, sale, order: s.client.get("/orders/", headers=PAGE),
}
OLD: dict[str, Callable[[str], str]] = {
    "of the version before": lambda fresh: fresh[:44],
    "of last week": lambda fresh: fresh[:44] + "1." + fresh.rpartition(".")[2],
    "of another key": lambda fresh: fresh[:-6] + "000000",
}


@pytest.mark.parametrize("how", OLD)
def test_an_old_cookie_is_renewed_by_each_page_once(
    how: str, shopper: Shopper, make_sale: MakeSale
) -> None:
    sale = make_sale()
    order = shopper.buy(sale).json()["purchase"]
    fresh = shopper.client.cookies["shopper"]
    for page, answered in ANSWERED.items():
        shopper.client.cookies.clear()
        keep(shopper, "shopper", OLD[how](fresh))
        [renewed] = answered(shopper, sale, order).headers.get_list("set-cookie")
        assert renewed.startswith(f"shopper={fresh};"), page
        assert f"Max-Age={shoppers.KEPT_FOR};" in renewed, page
        assert "set-cookie" not in answered(shopper, sale, order).headers, page


def test_a_click_is_answered_without_renewing(shopper: Shopper, make_sale: MakeSale) -> None:
    sale = make_sale()
    ticket = shopper.ticket(sale)
    old = {**JSON, "Cookie": f"shopper={shopper.client.cookies['shopper'][:44]}"}
    shopper.client.cookies.clear()
    reply = shopper.buy(sale, ticket, old)
    assert (reply.status_code, "set-cookie" in reply.headers) == (202, False)


@pytest.mark.parametrize(
    "forge",
    [
        lambda fresh: fresh[:30] + ("A" if fresh[30] != "A" else "B") + fresh[31:44],
        lambda fresh: fresh[:43] + "=1.00000",
        lambda fresh: fresh + "0",
        lambda fresh: fresh[:-1],
    ],
    ids=["signature", "stamp", "too long", "too short"],
)
def test_a_forged_cookie_is_not_renewed(
    forge: Callable[[str], str], shopper: Shopper, make_sale: MakeSale
) -> None:
    sale = make_sale()
    order = shopper.buy(sale).json()["purchase"]
    forged = {"Cookie": f"shopper={forge(shopper.client.cookies['shopper'])}"}
    shopper.client.cookies.clear()
    for path in ("/", "/orders/", f"/orders/{order}/"):
        assert "set-cookie" not in shopper.client.get(path, headers={**PAGE, **forged}).headers


def test_a_cookie_that_others_could_read_is_not_renewed(
    shopper: Shopper, make_sale: MakeSale
) -> None:
    sale = make_sale()
    shopper.sale(sale)
    old = {"Cookie": f"shopper={shopper.client.cookies['shopper'][:44]}", "Host": "example.com"}
    shopper.client.cookies.clear()
    for path in ("/", f"/sales/{sale.slug}/"):
        assert "set-cookie" not in shopper.client.get(path, headers={**PAGE, **old}).headers


@pytest.mark.parametrize("page", ["sale", "order", "own orders", "front page", "live parts"])
def test_who_comes_by_while_both_keys_are_known_is_known_by_the_new_key_alone(
    page: str, shopper: Shopper, two_keys: Web, new_key: Web, make_sale: MakeSale
) -> None:
    sale = make_sale(limit=1)
    order = shopper.buy(sale).json()["purchase"]
    assert at(new_key, shopper).order(order).status_code == 404
    ANSWERED[page](at(two_keys, shopper), sale, order)
    assert at(new_key, shopper).order(order).status_code == 200
    again = at(new_key, shopper).buy(sale)
    assert again.json() == {"status": "refused", "reason": "limit"}


def at(web: Web, shopper: Shopper) -> Shopper:
    """The same browser at another process of the shop."""
    shopper.client.base_url = httpx.URL(web.url)
    return shopper


NEW_KEY = "a new key, which is long and random enough: 6f1d5bb0c4"


@pytest.fixture(scope="module")
def two_keys() -> Iterator[Web]:
    with Web.running(SECRET_KEY=NEW_KEY, SECRET_KEY_FALLBACKS=settings.SECRET_KEY) as web:
        yield web


@pytest.fixture(scope="module")
def new_key() -> Iterator[Web]:
    with Web.running(SECRET_KEY=NEW_KEY) as web:
        yield web
