"""Something is down or full: a clear answer at once, and the same form finds out what became of it."""

import time
from collections.abc import Callable, Iterator

import httpx
import pytest

from conftest import MakeSale
from flashsale.redis import blocking_clients
from inventory.gate import replica
from orders.settlement import settle
from tests import deadlines
from tests.cast import HTMX, JSON, PAGE, Shopper, forms, run_caretaker
from tests.contract.conftest import Web
from tests.contract.shapes import (
    SHAPES,
    buy,
    failed,
    in_each_shape,
    purchase_in,
    state,
    waiting,
)
from tests.contract.wire import Wire

NewShopper = Callable[[Web], Shopper]


def unanswered(reply: httpx.Response, shape: str, ticket: str, code: str) -> None:
    """503: whether it was accepted is for the same ticket to find out. A page still holds its form, and
    sends it again; a plain form gets the same form back."""
    assert reply.status_code == 503
    assert reply.headers["retry-after"] == "1"
    if shape == "json":
        purchase = {"purchase": str(purchase_in(ticket))} if code == "unknown" else {}
        assert reply.json() == {"error": code, **purchase}
        return
    assert f'data-code="{code}"' in reply.text
    if shape == "form":
        [form] = forms(reply.text)
        assert form["ticket"] == ticket


@pytest.fixture
def cold_again() -> Iterator[None]:
    """Makes whole what the test has made of the Valkey that all tests share."""
    yield
    run_caretaker()


@in_each_shape
def test_a_full_line_takes_nobody_until_it_has_moved(
    shape: str, narrow: Web, new_shopper: NewShopper, make_sale: MakeSale
) -> None:
    sale, shopper = make_sale(), new_shopper(narrow)
    new_shopper(narrow).buy(sale)
    ticket, before = shopper.ticket(sale), state(sale)
    unanswered(buy(shopper, sale, shape, ticket), shape, ticket, "busy")
    assert state(sale) == before
    settle(sale.pk)
    assert shopper.buy(sale, ticket).status_code == 202


def test_who_stands_in_a_full_line_is_still_answered(
    narrow: Web, new_shopper: NewShopper, make_sale: MakeSale
) -> None:
    sale, shopper = make_sale(), new_shopper(narrow)
    ticket = shopper.ticket(sale)
    assert [shopper.buy(sale, ticket).status_code for _ in range(2)] == [202, 202]


@in_each_shape
@pytest.mark.parametrize("lost", ["scripts", "gate"])
@pytest.mark.usefixtures("cold_again")
def test_a_valkey_that_has_forgotten_takes_nobody_until_it_was_told_again(
    lost: str, shape: str, shopper: Shopper, make_sale: MakeSale
) -> None:
    sale = make_sale()
    ticket = shopper.ticket(sale)
    if lost == "scripts":
        blocking_clients.client_of(0).script_flush()
    else:
        replica.remove([sale.pk])
    unanswered(buy(shopper, sale, shape, ticket), shape, ticket, "busy")
    assert waiting(sale) == 0
    run_caretaker()
    assert shopper.buy(sale, ticket).status_code == 202


@in_each_shape
def test_without_valkey_nobody_waits_for_an_answer(
    shape: str, without_redis: Web, new_shopper: NewShopper, make_sale: MakeSale
) -> None:
    sale, shopper = make_sale(), new_shopper(without_redis)
    ticket, began = shopper.ticket(sale), time.monotonic()
    unanswered(buy(shopper, sale, shape, ticket), shape, ticket, "busy")
    assert time.monotonic() - began < deadlines.seconds(20)
    assert "Redis" not in shopper.client.get(f"/sales/{sale.slug}/", headers=PAGE).text


@in_each_shape
def test_a_lost_reply_is_found_again_with_the_same_form(
    shape: str, narrow: Web, wire: Wire, new_shopper: NewShopper, make_sale: MakeSale
) -> None:
    sale, shopper = make_sale(limit=5), new_shopper(narrow)
    ticket = shopper.ticket(sale)
    wire.lose_next_reply()
    unanswered(buy(shopper, sale, shape, ticket), shape, ticket, "unknown")
    assert waiting(sale) == 1
    assert buy(shopper, sale, "json", ticket).json()["status"] == "queued"
    settle(sale.pk)
    assert buy(shopper, sale, "json", ticket).json()["status"] == "confirmed"
    assert sale.orders.count() == 1


def test_a_lost_reply_is_found_by_the_purchase_id(
    narrow: Web, wire: Wire, new_shopper: NewShopper, make_sale: MakeSale
) -> None:
    sale, shopper = make_sale(), new_shopper(narrow)
    ticket = shopper.ticket(sale)
    wire.lose_next_reply()
    purchase = shopper.buy(sale, ticket).json()["purchase"]
    assert shopper.order(purchase).json()["status"] == "queued"


@pytest.mark.parametrize("shape", ["htmx", "form"])
def test_the_form_that_a_busy_shop_gives_back_buys(
    shape: str, narrow: Web, new_shopper: NewShopper, make_sale: MakeSale
) -> None:
    sale, shopper = make_sale(limit=2), new_shopper(narrow)
    new_shopper(narrow).buy(sale)
    reply = shopper.buy(sale, headers=PAGE, quantity=2)
    settle(sale.pk)
    [form] = forms(reply.text)
    assert shopper.buy(sale, headers=PAGE, **form).status_code == 303
    settle(sale.pk)
    assert shopper.order(str(purchase_in(form["ticket"]))).json()["quantity"] == 2


@in_each_shape
@pytest.mark.usefixtures("cold_again")
def test_an_outcome_that_nobody_can_say_now_is_asked_for_again_in_a_second(
    shape: str, shopper: Shopper, make_sale: MakeSale
) -> None:
    sale = make_sale()
    purchase = shopper.buy(sale).json()["purchase"]
    replica.remove([sale.pk])
    reply = shopper.order(purchase, SHAPES[shape])
    failed(reply, shape, 503, "busy")
    assert reply.headers["retry-after"] == "1"


def test_a_place_that_was_lost_is_told_as_lost(shopper: Shopper, make_sale: MakeSale) -> None:
    sale = make_sale()
    purchase = shopper.buy(sale).json()["purchase"]
    replica.remove([sale.pk])
    assert shopper.order(purchase, JSON).status_code == 503  # nobody can say yet
    run_caretaker()
    reply = shopper.order(purchase, HTMX)
    assert (reply.status_code, "your place may be lost" in reply.text) == (404, True)
