"""What shoppers were told is compared with PostgreSQL, and whatever does not agree is found."""

from collections.abc import Callable
from dataclasses import replace
from uuid import uuid4

import pytest

from conftest import MakeSale
from drills import consistency
from drills.consistency import Books, Units
from drills.shopper import ASKED, CLICKED, LOST, SOCKET, Heard, Log, Told
from flashsale.http.shoppers import new_shopper
from inventory.models import Sale
from orders import cancellation, settlement, stock_changes
from orders.models import Order
from orders.tickets import new_purchase
from tests.cast import click, queue_up, skus

Change = Callable[[Log, Order], object]


@pytest.fixture
def sale(make_sale: MakeSale) -> Sale:
    return make_sale(stock=10)


@pytest.fixture
def order(sale: Sale) -> Order:
    """A confirmed one."""
    [purchase] = queue_up(sale, 1)
    settlement.settle(sale.pk)
    return Order.objects.get(pk=purchase)


def experienced(order: Order) -> Log:
    """The log of its shopper: clicked, was told on the socket, asked, clicked again."""
    purchase = str(order.pk)
    log = Log("patient", order.shopper)
    log.sent[purchase] = {(skus(order.sale)[0], "1")}
    log.hear(Heard(purchase, 1.0, 0.1, 202, "queued", purchase=purchase, became="queued"))
    log.tell(Told(purchase, "queued", None, CLICKED, 1.0, 1.1))
    log.tell(Told(purchase, "confirmed", None, SOCKET, 2.0, 2.0))
    log.tell(Told(purchase, "confirmed", "", ASKED, 3.0, 3.1))
    return log


def kinds(sale: Sale, *logs: Log, before: dict[str, Units] | None = None) -> list[str]:
    if before is None:
        before = {sku: Units(10, 0) for sku in skus(sale)}
    books = Books.read(sale, before, logs)
    return [fault.kind for fault in consistency.faults_in(logs, books)]


def test_a_purchase_that_went_well_is_consistent(sale: Sale, order: Order) -> None:
    assert kinds(sale, experienced(order)) == []


def _accepted(log: Log, order: Order) -> str:
    """Another purchase, of which PostgreSQL knows nothing."""
    purchase = str(uuid4())
    log.sent[purchase] = {(skus(order.sale)[0], "1")}
    log.hear(Heard(purchase, 1.0, 0.1, 202, "queued", purchase=purchase))
    return purchase


def _told(log: Log, order: Order, status: str, reason: str | None = None, asked: float = 4) -> None:
    log.tell(Told(str(order.pk), status, reason, ASKED, asked, asked + 0.1))


def _heard(
    log: Log, order: Order, status: int, code: str, named: str = "", odd: bool = False
) -> None:
    form = "" if odd else str(order.pk)
    log.hear(Heard(form, 5.0, 0.1, status, code, purchase=named, odd=odd))


def _accepted_and_told(log: Log, order: Order) -> None:
    log.tell(Told(_accepted(log, order), "confirmed", "", SOCKET, 2.0, 2.0))


def _knows_nothing(log: Log, order: Order) -> None:
    log.__dict__.update(Log("patient", order.shopper).__dict__)


def _first_told(log: Log, order: Order, status: str, reason: str) -> None:
    log.told, log.final = [], {}
    _told(log, order, status, reason)


FAULTS: dict[str, list[Change]] = {
    "unanswered": [_accepted],
    "accepted_and_forgotten": [lambda log, order: log.forgotten.add(_accepted(log, order))],
    "accepted_without_an_order": [_accepted_and_told],
    "answer_changed": [
        lambda log, order: _told(log, order, "rejected", "limit"),
        lambda log, order: _told(log, order, "queued", ""),
    ],
    "order_says_otherwise": [
        lambda log, order: _first_told(log, order, "rejected", "sold_out"),
        lambda log, order: _first_told(log, order, "cancelled", ""),
        lambda log, order: log.sent.update({str(order.pk): {(skus(order.sale)[0], "2")}}),
    ],
    "order_without_an_acceptance": [_knows_nothing],
    "answer_outside_the_contract": [
        lambda log, order: _heard(log, order, 500, "internal"),
        lambda log, order: _heard(log, order, 202, "confirmed", str(order.pk)),
        lambda log, order: _heard(log, order, 202, "queued"),
    ],
    "odd_request_accepted": [
        lambda log, order: _heard(log, order, 202, "queued", str(order.pk), odd=True)
    ],
    "ticket_of_two_purchases": [
        lambda log, order: _heard(log, order, 409, "limit", named=str(uuid4()))
    ],
    "told_of_anothers_purchase": [
        lambda log, order: log.tell(Told(str(uuid4()), "confirmed", None, SOCKET, 2.0, 2.0))
    ],
}


@pytest.mark.parametrize(
    ("kind", "change"), [(kind, change) for kind in FAULTS for change in FAULTS[kind]]
)
def test_what_does_not_agree_is_found(kind: str, change: Change, sale: Sale, order: Order) -> None:
    log = experienced(order)
    change(log, order)
    assert kinds(sale, log) == [kind]


def test_an_order_of_somebody_else_is_not_what_was_accepted(sale: Sale, order: Order) -> None:
    log = experienced(order)
    log.shopper = new_shopper()
    assert kinds(sale, log) == ["order_says_otherwise"]


def test_a_purchase_whose_answers_were_lost_may_be_an_order(sale: Sale, order: Order) -> None:
    log = Log("impatient", order.shopper)
    log.hear(Heard(str(order.pk), 1.0, 10.0, 0, LOST))
    assert kinds(sale, log) == []


def test_a_refusal_uses_nothing_up(sale: Sale, order: Order) -> None:
    log = Log("patient", order.shopper)
    log.hear(Heard(str(order.pk), 1.0, 0.1, 409, "sold_out"))
    assert kinds(sale, log) == ["order_without_an_acceptance"]


def test_staff_may_cancel_what_was_confirmed(sale: Sale, order: Order) -> None:
    log = experienced(order)
    cancellation.cancel_order(order.pk, by="staff")
    assert kinds(sale, log) == []
    _told(log, order, "cancelled", "")
    assert kinds(sale, log) == []
    _told(log, order, "confirmed", "", asked=6)
    assert kinds(sale, log) == ["answer_changed"]


def test_a_frame_that_was_late_changes_nothing(sale: Sale, order: Order) -> None:
    cancellation.cancel_order(order.pk, by="staff")
    log = experienced(order)
    _told(log, order, "cancelled", "")
    log.tell(Told(str(order.pk), "confirmed", None, SOCKET, 6.0, 6.0))
    assert kinds(sale, log) == []


def test_more_than_the_limit_is_found(make_sale: MakeSale) -> None:
    sale = make_sale(limit=2)
    shopper, purchases = new_shopper(), [new_purchase(sale.pk) for _ in range(2)]
    for purchase in purchases:
        click(sale, purchase, shopper)
    settlement.settle(sale.pk)
    log = Log("many tabs", shopper)
    for order in Order.objects.filter(shopper=shopper):
        of_one = experienced(order)
        log.sent |= of_one.sent
        log.accepted |= of_one.accepted
        log.final |= of_one.final
    books = Books.read(sale, consistency.stock_of(sale), [log])
    available = dict.fromkeys(skus(sale), 10)
    for limit, found in ((2, []), (1, ["over_the_limit"])):
        seen = replace(books, limit=limit, available=available)
        assert [fault.kind for fault in consistency.faults_in([log], seen)] == found


def test_what_staff_cancelled_makes_room_for_another(sale: Sale, order: Order) -> None:
    """The sale's limit is 1, and nobody told the shopper of the cancellation."""
    cancellation.cancel_order(order.pk, by="staff")
    again = new_purchase(sale.pk)
    click(sale, again, order.shopper)
    settlement.settle(sale.pk)
    log, of_another = experienced(order), experienced(Order.objects.get(pk=again))
    log.sent |= of_another.sent
    log.accepted |= of_another.accepted
    log.final |= of_another.final
    assert kinds(sale, log) == []


def test_more_units_than_there_were_are_found(sale: Sale, order: Order) -> None:
    [sku] = skus(sale)
    latest = consistency.stock_of(sale)[sku].movement
    assert kinds(sale, experienced(order), before={sku: Units(0, latest)}) == ["oversold"]


def test_units_that_came_in_meanwhile_may_be_sold(sale: Sale, order: Order) -> None:
    [sku] = skus(sale)
    latest = consistency.stock_of(sale)[sku].movement
    stock_changes.restock(order.product_id or 0, 1, by="staff")
    assert kinds(sale, experienced(order), before={sku: Units(0, latest)}) == []
