"""Payments at the same time as each other and as everything else; the twins lack a guard, and fail."""

import threading
from functools import partial
from typing import Any
from unittest.mock import patch
from uuid import UUID, uuid4

import pytest
from django.db import IntegrityError
from django.utils import timezone

from conftest import MakeSale
from inventory.models import Sale
from orders import caretaker, holds
from orders.models import Order
from orders.order_status import Status
from payments import events, paying, refunds, transitions
from payments.advance import advance
from payments.models import Attempt, DemoPayment, ProviderEvent, Refund
from payments.providers import demo
from payments.providers.base import NoAnswer, RefundSeen, Seen, Stage
from payments.tests.cast import (
    assert_money_balances,
    attempt_of,
    begin,
    cancel,
    held,
    money_kept,
    paid_sale,
    play,
    provider,
    reconcile,
    second_attempt,
    states,
)
from tests import deadlines
from tests.cast import at_once, end_holds, owned_units
from tests.row_locks import without_row_locks


@pytest.fixture
def order(order: Order) -> Order:
    """A held order whose payment has begun."""
    begin(order)
    return order


# --- Two payments of one order -----------------------------------------------------------------------


def test_of_two_payments_at_once_one_is_captured(order: Order) -> None:
    first, second = attempt_of(order), second_attempt(order)
    for each in (first, second):
        play(each, "pay")
    at_once(*[partial(advance, each.pk) for each in (first, second)] * 3)
    reconcile()
    assert sorted(states(order)) == ["captured", "voided"]
    assert_money_balances(order)


def begin_both(order: Order) -> list[object]:
    """Begin the capture of a second payment while the first one's transaction is open."""
    first, second = attempt_of(order), second_attempt(order)
    seen = Seen(Stage.AUTHORISED, order.total, order.currency)
    store, results = transitions._store, list[object]()

    def stop_before(*args: Any) -> None:
        if not results:
            results.append(None)
            [results[0]] = at_once(partial(transitions.apply, second.pk, seen))
        store(*args)

    with patch.object(transitions, "_store", stop_before):
        results += at_once(partial(transitions.apply, first.pk, seen))
    return results


def test_a_second_payment_waits_for_the_orders_lock(order: Order) -> None:
    second, first = begin_both(order)
    assert first == "capture"
    assert "lock timeout" in str(second)
    assert sorted(states(order)) == ["capturing", "created"]


def test_its_twin_without_lock_and_flag_is_stopped_by_the_constraint(order: Order) -> None:
    with without_row_locks(), patch.object(holds, "begin_capture", lambda order: True):
        second, first = begin_both(order)
    assert second == "capture"
    assert isinstance(first, IntegrityError)
    assert "attempt_captures_once" in str(first)


# --- The end of the hold -----------------------------------------------------------------------------


def expiring(sale: Sale) -> Any:
    """A capture during which the hold ends."""

    def capture(real: Any, *args: Any) -> Any:
        end_holds(sale)
        caretaker.expire_holds()
        return real(*args)

    return capture


def test_a_hold_does_not_expire_while_it_is_captured(sale: Sale, order: Order) -> None:
    play(attempt_of(order), "pay")
    with provider(capture=expiring(sale)):
        paying.returned(order.pk)
    assert states(order) == ["captured"]
    assert sale.variants.get().stock == 0
    assert not sale.variants.get().movements.filter(reason="expired").exists()
    assert_money_balances(order)


def test_its_twin_that_does_not_look_at_captures_is_stopped_by_the_constraint(
    sale: Sale, order: Order
) -> None:
    seen = Seen(Stage.AUTHORISED, order.total, order.currency)
    assert transitions.apply(attempt_of(order).pk, seen) == "capture"
    end_holds(sale)
    careless = holds._EXPIRE.replace("AND NOT capturing", "")
    with patch.object(holds, "_EXPIRE", careless), pytest.raises(IntegrityError, match="captures"):
        holds.expire(sale.pk, [order.variant_id or 0])


def test_its_twin_that_begins_no_capture_sells_paid_units_again(sale: Sale, order: Order) -> None:
    play(attempt_of(order), "pay")
    with (
        provider(capture=expiring(sale)),
        patch.object(holds, "begin_capture", lambda order: True),
        patch.object(holds, "_has_room", lambda *args: False),
    ):
        paying.returned(order.pk)
    assert sale.variants.get().stock == 1
    reconcile()
    assert states(order) == ["refunded"]  # which is why nothing is captured before


def test_units_that_are_free_again_go_to_one_late_payment(make_sale: MakeSale) -> None:
    sale = paid_sale(make_sale, stock=1)
    [order] = held(sale)
    begin(order)
    first, second = attempt_of(order), second_attempt(order)
    end_holds(sale)
    caretaker.expire_holds()
    for each in (first, second):
        play(each, "pay")
    at_once(*[partial(advance, each.pk) for each in (first, second)])
    reconcile()
    assert sorted(states(order)) == ["captured", "voided"]
    assert (sale.variants.get().stock, owned_units(sale)) == (0, 1)
    assert_money_balances(order)


def test_a_hold_that_is_revived_twice_takes_its_units_once(make_sale: MakeSale) -> None:
    sale = paid_sale(make_sale, stock=3, limit=3)
    [order] = held(sale)
    end_holds(sale)
    caretaker.expire_holds()
    results = at_once(*[partial(holds.revive, order.pk)] * 3)
    assert sorted(map(str, results)) == ["False", "False", "True"]
    assert sale.variants.get().stock == 2


def test_an_order_that_is_cancelled_and_paid_at_once_ends_one_way(make_sale: MakeSale) -> None:
    orders = held(paid_sale(make_sale, stock=8), 8)
    for order in orders:
        begin(order)
        play(attempt_of(order), "pay")
    at_once(
        *[partial(paying.returned, order.pk) for order in orders],
        *[partial(cancel, order) for order in orders],
    )
    reconcile()
    for order in orders:
        assert_money_balances(order)
        assert states(order)[0] in ("refunded", "voided", "captured")


# --- Events ------------------------------------------------------------------------------------------


def event_of(attempt: Attempt, kind: str = "payment.captured") -> tuple[bytes, dict[str, str]]:
    payment = DemoPayment.objects.get(pk=attempt.reference)
    payment.state = kind.removeprefix("payment.")
    return demo._event(payment, str(attempt.pk))


def test_an_event_is_not_believed(order: Order) -> None:
    """It is genuine, and says more than is true: from an old copy, or about another payment."""
    attempt = attempt_of(order)
    assert events.receive("demo", *event_of(attempt))
    reconcile()
    order.refresh_from_db()
    assert (order.status, states(order)) == (Status.HELD, ["created"])


def test_an_event_has_its_payment_asked_about_at_once(order: Order) -> None:
    attempt = attempt_of(order)
    Attempt.objects.filter(pk=attempt.pk).update(due=None)
    assert events.receive("demo", *event_of(attempt))
    attempt.refresh_from_db()
    assert attempt.due
    assert attempt.due <= timezone.now()
    told = ProviderEvent.objects.get(reference=attempt.reference)
    assert told.due is None


def test_an_event_comes_once_however_often_it_is_sent(order: Order) -> None:
    attempt = attempt_of(order)
    play(attempt, "pay")
    event = event_of(attempt)
    received = at_once(*[partial(events.receive, "demo", *event)] * 5)
    assert sorted(map(str, received)) == ["False"] * 4 + ["True"]
    reconcile()
    assert_money_balances(order)


def test_an_event_that_comes_before_the_answer_to_the_start_finds_its_payment(
    order: Order,
) -> None:
    attempt = attempt_of(order)
    play(attempt, "pay")
    event = event_of(attempt)
    Attempt.objects.filter(pk=attempt.pk).update(reference="", url="")
    events.receive("demo", *event)
    reconcile()
    assert states(order) == ["captured"]
    assert_money_balances(order)


def test_a_second_payment_that_only_an_event_tells_of_is_voided(order: Order) -> None:
    for event in demo.play(attempt_of(order).reference, "twice"):
        events.receive("demo", *event)
    reconcile()
    assert sorted(states(order)) == ["captured", "voided"]
    assert_money_balances(order)


def test_an_event_about_a_payment_of_another_shop_is_left_in_the_end(order: Order) -> None:
    payment = DemoPayment.objects.create(
        key="another shop's", amount=1, currency="EUR", back="https://other.example/"
    )
    events.receive("demo", *demo._event(payment, str(uuid4())))
    reconcile()
    assert states(order) == ["created"]


# --- Refunds -----------------------------------------------------------------------------------------


class Purse:
    """A provider that pays a refund for each new key, and does not say so for a while."""

    def __init__(self) -> None:
        self.paid: dict[str, int] = {}
        self.both_came = threading.Barrier(2)

    def refund(self, real: Any, reference: str, amount: int, currency: str, key: str) -> RefundSeen:
        self.paid[key] = amount
        self.both_came.wait(deadlines.seconds(10))
        return RefundSeen("refund", done=True)


def test_two_workers_refund_a_payment_once(order: Order) -> None:
    play(attempt_of(order), "pay")
    paying.returned(order.pk)
    cancel(order)
    [row] = order.outbox.filter(consumer="refund").values_list("pk", flat=True)
    refunds.begin_refund(row)
    refund = Refund.objects.get(attempt__order=order)
    purse = Purse()
    with provider(refund=purse.refund):
        at_once(*[partial(refunds.push, refund.pk)] * 2)
    assert list(purse.paid.values()) == [12900]


def test_a_cancelled_order_is_written_down_for_its_refund_once(order: Order) -> None:
    play(attempt_of(order), "pay")
    paying.returned(order.pk)
    cancel(order)
    [row] = order.outbox.filter(consumer="refund").values_list("pk", flat=True)
    at_once(*[partial(refunds.begin_refund, row)] * 4)
    assert Refund.objects.filter(attempt__order=order).count() == 1
    reconcile()
    assert_money_balances(order)


def test_a_capture_that_lasts_longer_than_its_lease_is_made_once(order: Order) -> None:
    """Another worker takes over, while the first one still waits for the answer."""

    def takes_over(real: Any, *args: Any) -> Any:
        if not begun:
            begun.append(args)
            reconcile(1)
        result = real(*args)
        if args in begun[:1]:
            return result
        raise NoAnswer("late")

    begun: list[Any] = []
    play(attempt_of(order), "pay")
    with provider(capture=takes_over) as calls:
        paying.returned(order.pk)
    assert len(calls.keys("capture")) == 2
    assert len(set(calls.keys("capture"))) == 1
    assert money_kept(order) == 12900
    assert_money_balances(order)


def test_many_shoppers_pay_at_once(make_sale: MakeSale) -> None:
    orders = held(paid_sale(make_sale, stock=20), 20)
    begun = at_once(*[partial(begin, order) for order in orders])
    assert all(isinstance(url, str) and UUID(url.split("/")[-2]) for url in begun), begun
    for order in orders:
        play(attempt_of(order), "pay")
    at_once(*[partial(paying.returned, order.pk) for order in orders])
    reconcile()
    for order in orders:
        assert_money_balances(order)
        assert states(order) == ["captured"]
