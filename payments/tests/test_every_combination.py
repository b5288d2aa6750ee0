"""Every state of an order with every state of its payment, here and at the provider: each is brought to an
end by the reconciler, and the books of both companies agree afterwards."""

import itertools
from uuid import uuid4

import pytest

from conftest import MakeSale
from orders import cancellation, confirmation
from orders.changes import NotPossible
from orders.models import Order
from orders.order_status import Status
from payments.models import Attempt, DemoPayment, Refund
from payments.providers.base import Stage
from payments.tests.cast import (
    cancel,
    expire,
    held,
    money_kept,
    money_reserved,
    paid_sale,
    reconcile,
)

State = Attempt.State
ORDERS = [Status.HELD, Status.CONFIRMED, Status.EXPIRED, Status.CANCELLED]
# What our books may say while the provider's say something. Others would be a provider that goes back.
POSSIBLE = {
    State.CREATED: list(Stage),
    State.UNKNOWN: list(Stage),
    State.AUTHORISED: [Stage.AUTHORISED, Stage.CAPTURED, Stage.VOIDED, Stage.FAILED],
    State.CAPTURING: [Stage.AUTHORISED, Stage.CAPTURED, Stage.VOIDED, Stage.FAILED],
    State.CAPTURED: [Stage.CAPTURED, Stage.REFUNDED],
    State.VOIDED: [Stage.VOIDED, Stage.FAILED],
    State.FAILED: [Stage.OPEN, Stage.AUTHORISED, Stage.CAPTURED, Stage.VOIDED, Stage.FAILED],
    State.REFUND_PENDING: [Stage.CAPTURED, Stage.REFUNDED],
    State.REFUNDED: [Stage.REFUNDED],
}
COMBINATIONS = [
    (status, state, stage)
    for status, (state, stages) in itertools.product(ORDERS, POSSIBLE.items())
    for stage in stages
    # Such an order is written in the same transaction as such an attempt.
    if not (state == State.CAPTURED and status in (Status.HELD, Status.EXPIRED))
    and not (state == State.CAPTURING and status in (Status.EXPIRED, Status.CONFIRMED))
]


def bring(order: Order, status: Status) -> None:
    if status == Status.CONFIRMED:
        confirmation.confirm_hold(order.pk)
    elif status == Status.CANCELLED:
        cancel(order)


def attempt(order: Order, state: Attempt.State, stage: Stage) -> None:
    taken = order.total if stage in (Stage.CAPTURED, Stage.REFUNDED) else 0
    payment = DemoPayment.objects.create(
        key=str(uuid4()),
        amount=order.total,
        currency=order.currency,
        back="https://shop.example/",
        state=stage,
        captured=taken,
        refunded=taken if stage is Stage.REFUNDED else 0,
    )
    made = Attempt.objects.create(
        order=order,
        provider="demo",
        reference=str(payment.pk),
        amount=order.total,
        currency=order.currency,
        state=state,
    )
    if state == State.REFUND_PENDING:
        Refund.objects.create(attempt=made, amount=order.total, tries=1)


@pytest.mark.parametrize("room", [True, pytest.param(False, marks=pytest.mark.deep)])
def test_every_combination_comes_to_an_end(make_sale: MakeSale, room: bool) -> None:
    sale = paid_sale(make_sale, stock=len(COMBINATIONS))
    orders = held(sale, len(COMBINATIONS))
    cases = list(zip(orders, COMBINATIONS, strict=True))
    expire([order for order, (status, _, _) in cases if status == Status.EXPIRED])
    for order, (status, _, _) in cases:
        bring(order, status)
    if not room:
        held(sale, sale.variants.get().stock)
    for order, (_, state, stage) in cases:
        attempt(order, state, stage)
    for order, (status, state, _) in cases:
        if (status, state) == (Status.HELD, State.CAPTURING):
            Order.objects.filter(pk=order.pk).update(capturing=True)
    for _ in range(len(COMBINATIONS) // 40 + 4):
        reconcile(1)
    for order, combination in cases:
        _check(order, combination, room)


def _check(order: Order, combination: tuple[Status, Attempt.State, Stage], room: bool) -> None:
    status, _, _ = combination
    order.refresh_from_db()
    now = Attempt.objects.get(order=order)
    why = (*combination, order.status, now.state, now.problem)
    assert not order.capturing, why
    kept = money_kept(order)
    assert (now.state == State.CAPTURED) == (kept > 0), why
    if kept:
        assert (order.status, kept) == (Status.CONFIRMED, order.total), why
    if order.status == Status.CONFIRMED and status != Status.CONFIRMED:
        assert kept == order.total, why
        assert status == Status.HELD or room, why
    waits = order.status == Status.HELD and now.state == State.CREATED
    assert money_reserved(order) == (1 if waits else 0), why
    assert waits == (now.due is not None), why
    if status == Status.CANCELLED:
        assert order.status == Status.CANCELLED, why


def test_an_order_that_captures_is_not_given_back_by_its_shopper(make_sale: MakeSale) -> None:
    [order] = held(paid_sale(make_sale))
    Order.objects.filter(pk=order.pk).update(capturing=True)
    with pytest.raises(NotPossible, match="being paid"):
        cancellation.give_back(order.pk)
    assert cancellation.cancel_order(order.pk, by="staff")
    order.refresh_from_db()
    assert (order.status, order.capturing) == (Status.CANCELLED, False)
