"""The list of a shopper's own orders."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from django.db import OperationalError, connection
from django.template.loader import render_to_string
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from flashsale.http import shoppers
from inventory.models import Sale
from orders import cancellation, tickets
from orders.models import Order
from storefront import views
from tests.checkouts import held_order

MakeSale = Callable[..., Sale]


def browser_of(shopper: UUID, secure: bool = False) -> Client:
    browser = Client()
    browser.cookies[shoppers.cookie_name(secure)] = shoppers.cookie_value(shopper)
    return browser


def page(browser: Client, **query: Any) -> str:
    return browser.get("/orders/", query).content.decode()


def an_order(sale: Sale, shopper: UUID, minutes_ago: int = 0, **values: Any) -> Order:
    """An order of two units, confirmed unless `values` say otherwise."""
    at = timezone.now() - timedelta(minutes=minutes_ago)
    known = {
        "variant": sale.variants.first(),
        "status": "confirmed",
        "quantity": 2,
        "unit_price": 12900,
        "currency": "EUR",
        "accepted_at": at,
    }
    return Order.objects.create(
        id=tickets.new_purchase(sale.pk),
        sale=sale,
        shopper=shopper,
        version=sale.version,
        settled_at=at,
        **{**known, **values},
    )


def test_orders_are_listed_newest_first_with_what_they_cost(make_sale: MakeSale) -> None:
    sale, anna = make_sale(), shoppers.new_shopper()
    older, newer = an_order(sale, anna, minutes_ago=5), an_order(sale, anna)
    shown = page(browser_of(anna))
    assert shown.index(str(newer.pk)) < shown.index(str(older.pk))
    assert "€258.00" in shown
    assert f'href="/orders/{newer.pk}/">{newer.reference}</a>' in shown


def test_orders_of_other_shoppers_are_not_listed(make_sale: MakeSale) -> None:
    order = an_order(make_sale(), shoppers.new_shopper())
    assert str(order.pk) not in page(browser_of(shoppers.new_shopper()))


@pytest.mark.parametrize("cookie", [None, "", "nonsense", "é", "A" * 64])
def test_without_a_valid_cookie_the_list_is_empty(cookie: str | None) -> None:
    browser = Client()
    if cookie is not None:
        browser.cookies["shopper"] = cookie
    assert "Nothing here yet" in page(browser)


def test_a_forged_cookie_shows_no_orders(make_sale: MakeSale) -> None:
    anna = shoppers.new_shopper()
    order = an_order(make_sale(), anna)
    browser = browser_of(anna)
    cookie = shoppers.cookie_value(anna)
    browser.cookies["shopper"] = ("B" if cookie[0] == "A" else "A") + cookie[1:]
    assert str(order.pk) not in page(browser)


def test_over_https_only_the_host_cookie_counts(make_sale: MakeSale) -> None:
    anna = shoppers.new_shopper()
    order = an_order(make_sale(), anna)
    assert (
        str(order.pk) in browser_of(anna, secure=True).get("/orders/", secure=True).content.decode()
    )
    assert str(order.pk) not in browser_of(anna).get("/orders/", secure=True).content.decode()


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"status": "rejected", "reason": "sold_out"}, "Sold out before your turn"),
        ({"status": "rejected", "reason": "limit"}, "More than one shopper may buy"),
        ({"status": "rejected", "reason": "error"}, "Could not be processed"),
        ({"status": "rejected", "reason": "error", "variant": None}, "Unknown product"),
        ({"status": "cancelled"}, "Cancelled"),
    ],
)
def test_every_status_has_a_text(make_sale: MakeSale, values: dict[str, Any], words: str) -> None:
    anna = shoppers.new_shopper()
    an_order(make_sale(), anna, **values)
    shown = page(browser_of(anna))
    assert words in shown
    assert "€" not in shown  # nothing is owed


def test_what_the_shopper_gave_back_does_not_read_as_cancelled(make_sale: MakeSale) -> None:
    sale = make_sale(stock=2, hold=10)
    orders = [held_order(sale, shoppers.new_shopper()) for _ in range(2)]
    given, cancelled = orders
    cancellation.give_back(given.pk)
    cancellation.cancel_order(cancelled.pk, by="staff")
    assert "Given back" in page(browser_of(given.shopper))
    assert "Cancelled" not in page(browser_of(given.shopper))
    assert "Cancelled" in page(browser_of(cancelled.shopper))


def test_many_orders_are_shown_in_pages(make_sale: MakeSale) -> None:
    sale, anna = make_sale(), shoppers.new_shopper()
    orders = [an_order(sale, anna, minutes_ago=number) for number in range(21)]
    first, second = page(browser_of(anna)), page(browser_of(anna), page=2)
    assert str(orders[0].pk) in first
    assert str(orders[20].pk) not in first
    assert str(orders[20].pk) in second
    assert page(browser_of(anna), page="nonsense").count("<tr>") == first.count("<tr>")


def test_times_are_in_the_time_zone_of_the_sale(make_sale: MakeSale) -> None:
    sale, anna = make_sale(), shoppers.new_shopper()
    Sale.objects.filter(pk=sale.pk).update(time_zone="Asia/Tokyo")
    at = datetime(2026, 7, 1, 15, 5, tzinfo=UTC)
    an_order(sale, anna, accepted_at=at)
    shown = page(browser_of(anna))
    assert '<time datetime="2026-07-01T15:05:00+00:00">2 July 2026, 00:05</time>' in shown
    assert "(Asia/Tokyo, UTC+9)" in shown


def test_rendering_the_list_makes_no_query(make_sale: MakeSale) -> None:
    anna = shoppers.new_shopper()
    an_order(make_sale(), anna)
    orders = views._page_of_orders(anna, False, "1")
    with CaptureQueriesContext(connection) as captured:
        render_to_string("storefront/own_orders.html", orders)
    assert len(captured) == 0


def test_the_list_takes_no_post() -> None:
    assert Client().post("/orders/").status_code == 405


@pytest.mark.parametrize("error", [TimeoutError, OperationalError])
def test_without_postgresql_the_list_is_a_503_with_retry_after(
    error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*args: object) -> None:
        raise error

    monkeypatch.setattr(views, "in_thread", away)
    answer = browser_of(shoppers.new_shopper()).get("/orders/")
    assert (answer.status_code, answer["Retry-After"]) == (503, "2")
    assert 'data-code="busy"' in answer.content.decode()


def test_the_list_is_not_cached() -> None:
    answer = Client().get("/orders/")
    assert set(answer["Cache-Control"].split(", ")) == {"private", "no-store"}
    assert answer["Vary"] == "Accept, Accept-Language, Cookie"


def test_a_held_order_leads_to_its_checkout(make_sale: MakeSale) -> None:
    sale, shopper = make_sale(hold=10), shoppers.new_shopper()
    end = timezone.now() + timedelta(minutes=10)
    held = an_order(sale, shopper, status="held", hold_until=end)
    sold = an_order(sale, shopper)
    shown = page(browser_of(shopper))
    assert f'href="/orders/{held.pk}/checkout/"' in shown
    assert f'href="/orders/{sold.pk}/checkout/"' not in shown
