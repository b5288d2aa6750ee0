"""The logs of shoppers are compared with PostgreSQL, and every contradiction is found."""

from collections.abc import Callable
from dataclasses import replace
from uuid import uuid4

import pytest

from conftest import MakeSale
from drills import log_check
from drills.log_check import DatabaseState, Units
from drills.shopper_log import ASKED, CLICKED, LOST, SOCKET, Log, Reply, Update
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
    """A confirmed order."""
    [purchase] = queue_up(sale, 1)
    settlement.settle(sale.pk)
    return Order.objects.get(pk=purchase)


def experienced(order: Order) -> Log:
    """The log of its shopper, who clicked, heard on the socket, and asked."""
    purchase = str(order.pk)
    log = Log("patient", order.shopper)
    log.sent[purchase] = {(skus(order.sale)[0], "1")}
    log.record_reply(Reply(purchase, 1.0, 0.1, 202, "queued", purchase=purchase, became="queued"))
    log.record_update(Update(purchase, "queued", None, CLICKED, 1.0, 1.1))
    log.record_update(Update(purchase, "confirmed", None, SOCKET, 2.0, 2.0))
    log.record_update(Update(purchase, "confirmed", "", ASKED, 3.0, 3.1))
    return log


def kinds(sale: Sale, *logs: Log, before: dict[str, Units] | None = None) -> list[str]:
    if before is None:
        before = {sku: Units(10, 0) for sku in skus(sale)}
    state = DatabaseState.read(sale, before, logs)
    return [fault.kind for fault in log_check.find_faults(logs, state)]


def test_an_undisturbed_purchase_is_consistent(sale: Sale, order: Order) -> None:
    assert kinds(sale, experienced(order)) == []


def _accept(log: Log, order: Order) -> str:
    """Accept another purchase, which PostgreSQL does not have."""
    purchase = str(uuid4())
    log.sent[purchase] = {(skus(order.sale)[0], "1")}
    log.record_reply(Reply(purchase, 1.0, 0.1, 202, "queued", purchase=purchase))
    return purchase


def _update(
    log: Log, order: Order, status: str, reason: str | None = None, asked: float = 4
) -> None:
    log.record_update(Update(str(order.pk), status, reason, ASKED, asked, asked + 0.1))


def _reply(
    log: Log, order: Order, status: int, code: str, named: str = "", malformed: bool = False
) -> None:
    form = "" if malformed else str(order.pk)
    log.record_reply(Reply(form, 5.0, 0.1, status, code, purchase=named, malformed=malformed))


def _accept_and_confirm(log: Log, order: Order) -> None:
    log.record_update(Update(_accept(log, order), "confirmed", "", SOCKET, 2.0, 2.0))


def _forget_everything(log: Log, order: Order) -> None:
    log.__dict__.update(Log("patient", order.shopper).__dict__)


def _replace_updates(log: Log, order: Order, status: str, reason: str) -> None:
    log.updates, log.final = [], {}
    _update(log, order, status, reason)


FAULTS: dict[str, list[Change]] = {
    "unanswered": [_accept],
    "accepted_and_forgotten": [lambda log, order: log.forgotten.add(_accept(log, order))],
    "accepted_without_an_order": [_accept_and_confirm],
    "answer_changed": [
        lambda log, order: _update(log, order, "rejected", "limit"),
        lambda log, order: _update(log, order, "queued", ""),
    ],
    "order_says_otherwise": [
        lambda log, order: _replace_updates(log, order, "rejected", "sold_out"),
        lambda log, order: _replace_updates(log, order, "cancelled", ""),
        lambda log, order: log.sent.update({str(order.pk): {(skus(order.sale)[0], "2")}}),
    ],
    "order_without_an_acceptance": [_forget_everything],
    "answer_outside_the_contract": [
        lambda log, order: _reply(log, order, 500, "internal"),
        lambda log, order: _reply(log, order, 202, "confirmed", str(order.pk)),
        lambda log, order: _reply(log, order, 202, "queued"),
    ],
    "odd_request_accepted": [
        lambda log, order: _reply(log, order, 202, "queued", str(order.pk), malformed=True)
    ],
    "ticket_of_two_purchases": [
        lambda log, order: _reply(log, order, 409, "limit", named=str(uuid4()))
    ],
    "told_of_anothers_purchase": [
        lambda log, order: log.record_update(
            Update(str(uuid4()), "confirmed", None, SOCKET, 2.0, 2.0)
        )
    ],
}


@pytest.mark.parametrize(
    ("kind", "change"), [(kind, change) for kind in FAULTS for change in FAULTS[kind]]
)
def test_a_contradiction_is_found(kind: str, change: Change, sale: Sale, order: Order) -> None:
    log = experienced(order)
    change(log, order)
    assert kinds(sale, log) == [kind]


def test_an_order_of_another_shopper_is_a_fault(sale: Sale, order: Order) -> None:
    log = experienced(order)
    log.shopper = new_shopper()
    assert kinds(sale, log) == ["order_says_otherwise"]


def test_a_purchase_whose_replies_were_lost_may_be_an_order(sale: Sale, order: Order) -> None:
    log = Log("impatient", order.shopper)
    log.record_reply(Reply(str(order.pk), 1.0, 10.0, 0, LOST))
    assert kinds(sale, log) == []


def test_a_refused_ticket_must_not_become_an_order(sale: Sale, order: Order) -> None:
    log = Log("patient", order.shopper)
    log.record_reply(Reply(str(order.pk), 1.0, 0.1, 409, "sold_out"))
    assert kinds(sale, log) == ["order_without_an_acceptance"]


def test_staff_may_cancel_a_confirmed_order(sale: Sale, order: Order) -> None:
    log = experienced(order)
    cancellation.cancel_order(order.pk, by="staff")
    assert kinds(sale, log) == []
    _update(log, order, "cancelled", "")
    assert kinds(sale, log) == []
    _update(log, order, "confirmed", "", asked=6)
    assert kinds(sale, log) == ["answer_changed"]


def test_a_late_frame_changes_nothing(sale: Sale, order: Order) -> None:
    cancellation.cancel_order(order.pk, by="staff")
    log = experienced(order)
    _update(log, order, "cancelled", "")
    log.record_update(Update(str(order.pk), "confirmed", None, SOCKET, 6.0, 6.0))
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
    state = DatabaseState.read(sale, log_check.read_stock(sale), [log])
    available = dict.fromkeys(skus(sale), 10)
    for limit, found in ((2, []), (1, ["over_the_limit"])):
        seen = replace(state, limit=limit, available=available)
        assert [fault.kind for fault in log_check.find_faults([log], seen)] == found


def test_a_cancelled_order_makes_room_for_another(sale: Sale, order: Order) -> None:
    """The sale's limit is 1, and the shopper did not learn of the cancellation."""
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
    latest = log_check.read_stock(sale)[sku].movement
    assert kinds(sale, experienced(order), before={sku: Units(0, latest)}) == ["oversold"]


def test_units_restocked_meanwhile_may_be_sold(sale: Sale, order: Order) -> None:
    [sku] = skus(sale)
    latest = log_check.read_stock(sale)[sku].movement
    stock_changes.restock(order.variant_id or 0, 1, by="staff")
    assert kinds(sale, experienced(order), before={sku: Units(0, latest)}) == []


def test_who_waits_is_told_the_outcome_later(sale: Sale, order: Order) -> None:
    log = _waited(order)
    assert kinds(sale, log) == []
    _update(log, order, order.status, "")
    assert kinds(sale, log) == []


def test_who_has_an_outcome_does_not_wait_again(sale: Sale, order: Order) -> None:
    log = _waited(order)
    _update(log, order, order.status, "")
    _update(log, order, "waiting", "", asked=6)
    assert kinds(sale, log) == ["answer_changed"]


def test_two_outcomes_after_waiting_are_a_fault(sale: Sale, order: Order) -> None:
    log = _waited(order)
    _update(log, order, order.status, "")
    _update(log, order, "rejected", "not_drawn")
    assert kinds(sale, log) == ["answer_changed"]


def test_a_rejection_after_waiting_is_no_second_outcome(sale: Sale, order: Order) -> None:
    """The order here is confirmed, so that only the order disagrees."""
    log = _waited(order)
    _update(log, order, "rejected", "not_drawn")
    assert kinds(sale, log) == ["order_says_otherwise"]


def _waited(order: Order) -> Log:
    """The log of a shopper who has entered a draw, and knows no more."""
    log = experienced(order)
    log.updates.clear()
    log.final.clear()
    _update(log, order, "waiting", "")
    return log
