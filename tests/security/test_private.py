"""What a shopper has bought is nobody else's to read, and whether it exists is not either."""

from collections.abc import Callable

import httpx
import pytest

from conftest import MakeSale
from flashsale.http.shoppers import cookie_value, new_shopper
from orders.settlement import settle
from orders.tickets import new_purchase
from tests.cast import HTMX, JSON, PAGE, Shopper

OTHERS: dict[str, Callable[[str], str]] = {
    "nobody": lambda cookie: "",
    "another shopper": lambda cookie: f"shopper={cookie_value(new_shopper())}",
    "a forger": lambda cookie: f"shopper={changed(cookie)}",
    "half a cookie": lambda cookie: f"shopper={cookie[:22]}",
    "a cookie under other names": lambda cookie: f"__Host-shopper={cookie}; Shopper={cookie}",
    "a cookie as a session": lambda cookie: f"sessionid={cookie}",
}
SHAPES = {"page": PAGE, "JSON": JSON, "fragment": HTMX}


def changed(cookie: str) -> str:
    return cookie[:30] + ("A" if cookie[30] != "A" else "B") + cookie[31:]


@pytest.mark.parametrize("state", ["queued", "confirmed"])
def test_anothers_order_is_as_unknown_as_one_that_never_was(
    state: str, stranger: httpx.Client, shopper: Shopper, make_sale: MakeSale
) -> None:
    sale = make_sale()
    purchase = shopper.buy(sale).json()["purchase"]
    if state == "confirmed":
        settle(sale.pk)
    nowhere = str(new_purchase(sale.pk))
    cookie = shopper.client.cookies["shopper"]
    for cookies in (make(cookie) for make in OTHERS.values()):
        for headers in ({**shape, "Cookie": cookies} for shape in SHAPES.values()):
            for address in ("/orders/{}/", "/orders/{}/?own", "/orders/{}/?page=1"):
                reply, nothing = (
                    stranger.get(address.format(number), headers=headers)
                    for number in (purchase, nowhere)
                )
                assert reply.status_code == nothing.status_code == 404
                assert reply.content.replace(purchase.encode(), nowhere.encode()) == (
                    nothing.content
                )


@pytest.mark.parametrize("who", OTHERS)
def test_no_page_of_anybody_else_names_it(
    who: str, stranger: httpx.Client, shopper: Shopper, make_sale: MakeSale
) -> None:
    sale = make_sale()
    purchase = shopper.buy(sale).json()["purchase"]
    settle(sale.pk)
    cookie = OTHERS[who](shopper.client.cookies["shopper"])
    for path in ("/", f"/sales/{sale.slug}/", f"/sales/{sale.slug}/calendar.ics", "/orders/"):
        for shape in SHAPES.values():
            reply = stranger.get(path, headers={**shape, "Cookie": cookie})
            assert reply.status_code == 200
            assert purchase not in reply.text


def test_its_shopper_reads_it_everywhere(shopper: Shopper, make_sale: MakeSale) -> None:
    """So that what is refused above would otherwise be there."""
    sale = make_sale()
    purchase = shopper.buy(sale).json()["purchase"]
    settle(sale.pk)
    for path in (f"/orders/{purchase}/", f"/orders/{purchase}/?own", f"/sales/{sale.slug}/"):
        assert purchase in shopper.client.get(path, headers=PAGE).text
    assert purchase in shopper.client.get("/orders/").text
