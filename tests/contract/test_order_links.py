"""A mailed link opens its order on any device, and nothing else."""

from collections.abc import Callable
from uuid import uuid4

import pytest
from django.conf import settings

from conftest import MakeSale
from flashsale.http import signing
from inventory.models import Sale
from orders import order_links
from orders.models import Order
from orders.settlement import settle
from tests.cast import JSON, PAGE, Shopper
from tests.contract.shapes import SHAPES, location, not_on_this_device
from tests.contract.test_held import NewShopper, give_back, held

in_each_shape = pytest.mark.parametrize("shape", SHAPES)


def open_link(browser: Shopper, order: Order, key: str | None = None, shape: str = "form") -> str:
    """Follow the link as far as its redirect. Gives where that leads."""
    key = order_links.key_of(order.pk) if key is None else key
    reply = browser.client.get(f"/orders/{order.pk}/?key={key}", headers=SHAPES[shape])
    return location(reply)


@in_each_shape
def test_a_link_opens_the_order_in_another_browser(
    shape: str, shopper: Shopper, new_shopper: NewShopper, make_sale: MakeSale
) -> None:
    _, _, order = held(shopper, make_sale)
    other = new_shopper()
    not_on_this_device(other.order(str(order.pk), SHAPES[shape]), shape)
    assert open_link(other, order, shape=shape) == f"/orders/{order.pk}/"
    reply = other.order(str(order.pk), SHAPES[shape])
    assert reply.status_code == 200
    assert "held" in reply.text
    assert order_links.key_of(order.pk) not in reply.text


def test_the_cookie_of_a_link_is_for_one_order(
    shopper: Shopper, new_shopper: NewShopper, make_sale: MakeSale
) -> None:
    _, _, order = held(shopper, make_sale)
    key = order_links.key_of(order.pk)
    reply = new_shopper().client.get(f"/orders/{order.pk}/?key={key}", headers=PAGE)
    assert reply.headers.get_list("set-cookie") == [
        f"order-key={key}; Path=/orders/{order.pk}/; Max-Age=86400; HttpOnly; SameSite=Lax"
    ]
    assert reply.headers["cache-control"] == "private, no-store"
    assert reply.headers["referrer-policy"] == "same-origin"


def test_a_link_opens_no_other_order_of_its_shopper(
    shopper: Shopper, new_shopper: NewShopper, make_sale: MakeSale
) -> None:
    sale = make_sale(stock=2, hold=10, limit=2)
    first, second = (bought(shopper, sale) for _ in range(2))
    other = new_shopper()
    open_link(other, first)
    assert other.order(str(first.pk)).status_code == 200
    assert other.order(str(second.pk)).status_code == 404
    assert str(first.pk) not in other.client.get("/orders/", headers=PAGE).text
    page = other.client.get(f"/sales/{sale.slug}/", headers=PAGE).text
    assert str(first.pk) not in page
    assert str(second.pk) not in page


def bought(shopper: Shopper, sale: Sale) -> Order:
    purchase = shopper.buy(sale).json()["purchase"]
    settle(sale.pk)
    return sale.orders.get(pk=purchase)


def of_another_order(order: Order) -> str:
    return order_links.key_of(uuid4())


def with_another_end(order: Order) -> str:
    key = order_links.key_of(order.pk)
    return ("B" if key[0] == "A" else "A") + key[1:]


def without_its_end(order: Order) -> str:
    return order_links.key_of(order.pk)[:-1]


def nothing(order: Order) -> str:
    return ""


def odd_bytes(order: Order) -> str:
    return "%ff%00ä" + "&a=1" * 5000


@pytest.mark.parametrize(
    "make", [of_another_order, with_another_end, without_its_end, nothing, odd_bytes]
)
@in_each_shape
def test_a_wrong_key_is_an_order_that_is_not_there(
    shape: str,
    make: Callable[[Order], str],
    shopper: Shopper,
    new_shopper: NewShopper,
    make_sale: MakeSale,
) -> None:
    _, _, order = held(shopper, make_sale)
    other, key = new_shopper(), make(order)
    address = f"/orders/{order.pk}/?key={key}"
    reply = other.client.get(address, headers=SHAPES[shape])
    not_on_this_device(reply, shape)
    assert "set-cookie" not in reply.headers
    unknown = other.client.get(f"/orders/{uuid4()}/?key={key}", headers=SHAPES[shape])
    assert (unknown.status_code, unknown.content) == (reply.status_code, reply.content)
    other.client.cookies.set("order-key", key[:40].replace("ä", ""))
    not_on_this_device(other.order(str(order.pk), SHAPES[shape]), shape)


def test_its_own_shopper_needs_no_key(shopper: Shopper, make_sale: MakeSale) -> None:
    _, _, order = held(shopper, make_sale)
    reply = shopper.client.get(f"/orders/{order.pk}/?key=wrong", headers=JSON)
    assert reply.status_code == 200


@in_each_shape
def test_who_has_the_link_can_give_the_hold_back(
    shape: str, shopper: Shopper, new_shopper: NewShopper, make_sale: MakeSale
) -> None:
    _, _, order = held(shopper, make_sale)
    other = new_shopper()
    assert give_back(other, order, "", shape).status_code == 403
    open_link(other, order)
    assert give_back(other, order, "", shape).status_code in (200, 303)
    order.refresh_from_db()
    assert order.status == "cancelled"


def test_a_form_from_elsewhere_gives_nothing_back_by_the_link(
    shopper: Shopper, new_shopper: NewShopper, make_sale: MakeSale
) -> None:
    _, _, order = held(shopper, make_sale)
    other = new_shopper()
    open_link(other, order)
    assert give_back(other, order, "", Origin="https://evil.example").status_code == 403
    order.refresh_from_db()
    assert order.status == "held"


def test_a_key_of_a_former_secret_opens_too(
    shopper: Shopper, make_sale: MakeSale, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, _, order = held(shopper, make_sale)
    former = order_links.key_of(order.pk)
    monkeypatch.setattr(settings, "SECRET_KEY_FALLBACKS", [settings.SECRET_KEY])
    monkeypatch.setattr(settings, "SECRET_KEY", "x" * 50)
    signing._keys.cache_clear()
    try:
        assert order_links.key_of(order.pk) != former
        assert order_links.opens(order.pk, former)
    finally:
        monkeypatch.undo()
        signing._keys.cache_clear()
