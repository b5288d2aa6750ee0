"""A purchase of a sale with a hold: until when it is held, and how its shopper gives it back."""

import re
from collections.abc import Callable
from datetime import timedelta
from uuid import uuid4

import httpx
import pytest
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from conftest import MakeSale
from inventory.models import Sale
from orders import cancellation, caretaker, confirmation, finishing, sale_lifecycle
from orders.models import Order
from orders.settlement import settle
from tests.cast import HTMX, JSON, PAGE, Shopper, end_holds, forms
from tests.contract.shapes import SHAPES, boxes, location, not_on_this_device

NewShopper = Callable[[], Shopper]
in_each_shape = pytest.mark.parametrize("shape", SHAPES)


def held(shopper: Shopper, make_sale: MakeSale) -> tuple[Sale, str, Order]:
    """A sale of one unit, the ticket that has bought it, and the order that holds it."""
    sale = make_sale(stock=1, hold=10)
    ticket = shopper.ticket(sale)
    purchase = shopper.buy(sale, ticket).json()["purchase"]
    settle(sale.pk)
    return sale, ticket, sale.orders.get(pk=purchase)


def give_back(
    shopper: Shopper, order: Order, ticket: str, shape: str = "json", **headers: str
) -> httpx.Response:
    return shopper.client.post(
        f"/orders/{order.pk}/give-back", data={"ticket": ticket}, headers=SHAPES[shape] | headers
    )


def test_a_program_learns_until_when_it_is_held(shopper: Shopper, make_sale: MakeSale) -> None:
    sale, ticket, order = held(shopper, make_sale)
    told = shopper.order(str(order.pk)).json()
    until = parse_datetime(told.pop("hold_until"))
    assert until == order.hold_until
    assert until
    assert timedelta(minutes=9) < until - timezone.now() < timedelta(minutes=10, seconds=5)
    assert told == {
        "purchase": str(order.pk),
        "status": "held",
        "checkout": f"/orders/{order.pk}/checkout/",
        "reason": "",
        "product": order.sku,
        "quantity": 1,
        "unit_price": 12900,
        "total": 12900,
        "currency": "EUR",
    }
    again = shopper.buy(sale, ticket)
    assert again.status_code == 200
    assert again.json().keys() == {"purchase", "status", "reason", "hold_until"}
    assert again.json()["status"] == "held"


@pytest.mark.parametrize("status", ["confirmed", "expired", "cancelled"])
def test_a_program_learns_how_it_ended(status: str, shopper: Shopper, make_sale: MakeSale) -> None:
    _, ticket, order = held(shopper, make_sale)
    end(order, status, shopper, ticket)
    told = shopper.order(str(order.pk)).json()
    assert told["status"] == status
    assert not {"hold_until", "checkout"} & told.keys()


@pytest.mark.parametrize("where", ["sale", "order"])
def test_the_page_counts_down_and_can_give_it_back(
    where: str, shopper: Shopper, make_sale: MakeSale
) -> None:
    sale, _, order = held(shopper, make_sale)
    assert order.hold_until
    address = f"/sales/{sale.slug}/" if where == "sale" else f"/orders/{order.pk}/"
    page = shopper.client.get(address, headers=PAGE).text
    assert f'data-until="{round(order.hold_until.timestamp() * 1000)}"' in page
    assert "Held until <time" in page
    assert "js/hold" in page
    [form] = [form for form in forms(page) if set(form) == {"ticket"}]
    assert give_back(shopper, order, form["ticket"], "form").status_code == 303
    order.refresh_from_db()
    assert order.status == "cancelled"


@pytest.mark.parametrize(
    ("ends_in", "soonest", "latest"), [(600, 60, 60), (40, 30, 46), (0, 15, 15)]
)
def test_the_page_of_a_held_order_looks_again_without_javascript(
    ends_in: int, soonest: int, latest: int, shopper: Shopper, make_sale: MakeSale
) -> None:
    sale, ticket, order = held(shopper, make_sale)
    end_holds(sale, ends_in)
    [seconds] = reloads(shopper, order)
    assert soonest <= seconds <= latest
    end(order, "expired", shopper, ticket)
    assert reloads(shopper, order) == []


def reloads(shopper: Shopper, order: Order) -> list[int]:
    """The seconds after which the order's page reloads."""
    page = shopper.order(str(order.pk), PAGE).text
    return [
        int(after)
        for after in re.findall(r'<noscript><meta http-equiv="refresh" content="(\d+)">', page)
    ]


def test_a_page_of_a_sale_without_a_hold_says_nothing_of_it(
    shopper: Shopper, make_sale: MakeSale
) -> None:
    page = shopper.client.get(f"/sales/{make_sale().slug}/", headers=PAGE).text
    assert "js/hold" not in page
    assert "hold-rule" not in page


@in_each_shape
def test_a_hold_is_given_back_once(shape: str, shopper: Shopper, make_sale: MakeSale) -> None:
    sale, ticket, order = held(shopper, make_sale)
    for _ in range(2):
        reply = give_back(shopper, order, ticket, shape)
        if shape == "json":
            assert (reply.status_code, reply.json()["status"]) == (200, "cancelled")
        elif shape == "htmx":
            assert (reply.status_code, boxes(reply)) == (200, [(str(order.pk), "cancelled")])
        else:
            assert location(reply) == f"/orders/{order.pk}/"
    assert sale.variants.get().stock == 1
    assert shopper.sale(sale)["products"][0]["stock"] == 1


@pytest.mark.parametrize("by", ["its shopper", "staff"])
def test_pages_say_who_cancelled_it(by: str, shopper: Shopper, make_sale: MakeSale) -> None:
    sale, ticket, order = held(shopper, make_sale)
    if by == "staff":
        cancellation.cancel_order(order.pk, by="staff")
    for page in (
        give_back(shopper, order, ticket, "htmx").text,  # staff were faster, or it is its own
        shopper.order(str(order.pk), HTMX).text,
        shopper.order(str(order.pk), PAGE).text,
        shopper.client.get(f"/sales/{sale.slug}/", headers=PAGE).text,
    ):
        assert ("You gave" in page) == (by != "staff")
        assert ("was cancelled" in page) == (by == "staff")


@pytest.mark.parametrize("status", ["confirmed", "expired"])
@in_each_shape
def test_what_is_not_held_any_more_is_not_given_back(
    shape: str, status: str, shopper: Shopper, make_sale: MakeSale
) -> None:
    _, ticket, order = held(shopper, make_sale)
    end(order, status, shopper, ticket)
    reply = give_back(shopper, order, ticket, shape)
    if shape == "json":
        assert reply.status_code == 409
        assert (reply.json()["error"], reply.json()["status"]) == ("not_held", status)
    elif shape == "htmx":
        assert (reply.status_code, boxes(reply)) == (409, [(str(order.pk), status)])
    else:
        assert location(reply) == f"/orders/{order.pk}/"
    order.refresh_from_db()
    assert order.status == status


@in_each_shape
def test_only_its_own_ticket_gives_a_hold_back(
    shape: str, new_shopper: NewShopper, make_sale: MakeSale
) -> None:
    shopper, other = new_shopper(), new_shopper()
    sale, ticket, order = held(shopper, make_sale)
    for who, with_ticket in (
        (other, ticket),
        (other, other.ticket(sale)),
        (shopper, shopper.ticket(sale)),
        (shopper, ""),
        (shopper, ticket[:-1] + ("A" if ticket[-1] != "A" else "B")),
    ):
        reply = give_back(who, order, with_ticket, shape)
        assert reply.status_code == 403
    order.refresh_from_db()
    assert order.status == "held"


def test_a_browser_without_cookies_is_told_so(new_shopper: NewShopper, make_sale: MakeSale) -> None:
    _, ticket, order = held(new_shopper(), make_sale)
    reply = give_back(new_shopper(), order, ticket)
    assert (reply.status_code, reply.json()) == (403, {"error": "cookies"})


def test_a_request_from_elsewhere_gives_nothing_back(shopper: Shopper, make_sale: MakeSale) -> None:
    _, ticket, order = held(shopper, make_sale)
    assert give_back(shopper, order, ticket, Origin="https://evil.example").status_code == 403
    address = f"/orders/{order.pk}/give-back"
    assert shopper.client.get(address, headers=JSON).status_code == 405
    assert shopper.client.post(address, content="x", headers=JSON).status_code == 415
    order.refresh_from_db()
    assert order.status == "held"


@in_each_shape
def test_there_is_nothing_to_give_back(shape: str, shopper: Shopper, make_sale: MakeSale) -> None:
    sale = make_sale()
    ticket = shopper.ticket(sale)
    purchase = shopper.buy(sale, ticket).json()["purchase"]  # not decided yet
    reply = give_back(shopper, Order(pk=purchase), ticket, shape)
    not_on_this_device(reply, shape)
    reply = shopper.client.post(
        "/orders/none/give-back", data={"ticket": ticket}, headers=SHAPES[shape]
    )
    not_on_this_device(reply, shape)
    assert give_back(shopper, Order(pk=uuid4()), ticket, shape).status_code == 403


def test_a_hold_outlasts_its_sale(shopper: Shopper, make_sale: MakeSale) -> None:
    sale, ticket, order = held(shopper, make_sale)
    sale_lifecycle.end(sale.pk, by="staff")
    assert finishing.finish_sale(sale.pk)
    assert shopper.order(str(order.pk)).json()["hold_until"]
    assert "Held until" in shopper.order(str(order.pk), PAGE).text
    assert give_back(shopper, order, ticket).json()["status"] == "cancelled"
    assert sale.variants.get().stock == 1


def test_the_list_of_own_orders_says_until_when(shopper: Shopper, make_sale: MakeSale) -> None:
    held(shopper, make_sale)
    page = shopper.client.get("/orders/", headers=PAGE).text
    assert 'data-status="held">Held</span>' in page
    assert "Held until <time" in page
    assert "€129.00" in page
    german = shopper.client.get("/orders/", headers={**PAGE, "Accept-Language": "de"}).text
    assert "Reserviert bis <time" in german


def end(order: Order, status: str, shopper: Shopper, ticket: str) -> None:
    if status == "confirmed":
        confirmation.confirm_hold(order.pk)
    elif status == "expired":
        end_holds(order.sale)
        caretaker.expire_holds()
    else:
        assert give_back(shopper, order, ticket).status_code == 200
    order.refresh_from_db()
    assert order.status == status
