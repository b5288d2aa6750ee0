"""A shopper sees that an order is shipped, and what finds its parcel; nothing of it costs a click."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import OperationalError

from conftest import MakeSale
from flashsale.http.shoppers import new_shopper, parse_cookies, shopper_of
from inventory.models import Sale
from orders import cancellation
from orders.models import Order
from orders.settlement import settle
from orders.shipping import mark_shipped
from storefront import parcels
from storefront.parcels import find_parcel
from storefront.tests.test_own_orders import an_order
from tests.cast import HTMX, PAGE, Shopper

LINK = "https://dhl.example/?id=JJD0034&lang=de"
DHL: dict[str, Any] = {"carrier": "D<H>L", "number": "JJD0034", "url": LINK}
GERMAN = {**PAGE, "Accept-Language": "de"}


def bought(shopper: Shopper, sale: Sale, minutes_ago: int = 5) -> Order:
    """A confirmed order of this browser."""
    shopper.sale(sale)
    who = shopper_of(parse_cookies(f"shopper={shopper.client.cookies['shopper']}", False), False)
    assert who
    return an_order(sale, who, minutes_ago)


def test_the_page_names_the_parcel(shopper: Shopper, make_sale: MakeSale) -> None:
    order = bought(shopper, make_sale())
    assert "Shipped" not in shopper.order(str(order.pk), PAGE).text
    mark_shipped(order.pk, **DHL, by="staff")
    page = shopper.order(str(order.pk), PAGE).text
    assert "<dt>Shipped</dt>" in page
    assert "<bdi>D&lt;H&gt;L</bdi> <bdi>JJD0034</bdi>" in page
    assert 'href="https://dhl.example/?id=JJD0034&amp;lang=de" rel="noopener noreferrer"' in page
    assert "Sendung verfolgen" in shopper.order(str(order.pk), GERMAN).text
    listed = shopper.client.get("/orders/", headers=PAGE).text
    assert "Shipped <bdi>D&lt;H&gt;L</bdi> <bdi>JJD0034</bdi>" in listed
    assert "Track your parcel" in listed


def test_an_order_shipped_without_tracking_says_so_much(
    shopper: Shopper, make_sale: MakeSale
) -> None:
    order = bought(shopper, make_sale())
    mark_shipped(order.pk, by="staff")
    page = shopper.order(str(order.pk), PAGE).text
    assert "<dt>Shipped</dt>" in page
    assert "Track your parcel" not in page


def test_a_program_reads_it(shopper: Shopper, make_sale: MakeSale) -> None:
    order = bought(shopper, make_sale())
    before = shopper.order(str(order.pk)).json()
    mark_shipped(order.pk, **DHL, by="staff")
    after = shopper.order(str(order.pk)).json()
    shipped = after.pop("shipped")
    assert after == before
    left = datetime.fromisoformat(shipped.pop("at"))
    assert timedelta() <= datetime.now(UTC) - left < timedelta(minutes=5)
    assert shipped == DHL


def test_a_cancelled_order_names_no_parcel(shopper: Shopper, make_sale: MakeSale) -> None:
    order = bought(shopper, make_sale())
    mark_shipped(order.pk, **DHL, by="staff")
    Sale.objects.filter(pk=order.sale_id).update(confirmed=1)  # settlement did not make the order
    cancellation.cancel_order(order.pk, by="staff")
    for page in (shopper.order(str(order.pk), PAGE).text, shopper.client.get("/orders/").text):
        assert "Shipped" not in page


def test_nobody_else_reads_it(shopper: Shopper, make_sale: MakeSale) -> None:
    order = bought(shopper, make_sale())
    mark_shipped(order.pk, **DHL, by="staff")
    stranger = Shopper(shopper.url)
    with stranger.client:
        for headers in (PAGE, HTMX, {}):
            assert "JJD0034" not in stranger.order(str(order.pk), headers).text


def test_the_answer_to_a_click_asks_for_no_parcel(
    make_sale: MakeSale, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    async def ask(*_: object) -> None:
        asked.append(1)

    monkeypatch.setattr(parcels, "in_thread", ask)
    order = an_order(make_sale(), new_shopper())
    just_now = datetime.now(UTC) - timedelta(seconds=50)
    for status, at in (("confirmed", just_now), ("held", None), ("queued", None)):
        assert asyncio.run(find_parcel(order.pk, status, at)) is None
    assert asked == []
    asyncio.run(find_parcel(order.pk, "confirmed", just_now - timedelta(seconds=15)))
    assert asked == [1]


def test_a_page_does_not_wait_for_postgresql(
    make_sale: MakeSale, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    async def away(*_: object) -> None:
        asked.append(1)
        raise OperationalError

    monkeypatch.setattr(parcels, "in_thread", away)
    order = an_order(make_sale(), new_shopper())
    for _ in range(3):
        assert asyncio.run(find_parcel(order.pk, "confirmed", None)) is None
    assert len(asked) == 1  # a crowd does not wait each time


def test_the_usual_way_of_a_click_is_as_before(shopper: Shopper, make_sale: MakeSale) -> None:
    sale = make_sale()
    purchase = shopper.buy(sale).json()["purchase"]
    settle(sale.pk)
    assert "shipped" not in shopper.order(purchase).json()
