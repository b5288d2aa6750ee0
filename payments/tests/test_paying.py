"""A shopper pays: authorised, captured under the hold, confirmed, and every other way that it may go."""

from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from conftest import MakeSale
from inventory.models import Sale
from orders import caretaker, holds
from orders.changes import NotPossible
from orders.models import AuditEntry, Order, OutboxRow
from orders.order_status import Status
from payments import paying, refunds
from payments.models import Attempt, DemoPayment, Refund
from payments.paying import PaymentView, Unavailable
from payments.providers.base import Busy, NoAnswer, Refused, Seen, Stage
from payments.tests.cast import (
    assert_money_balances,
    attempt_of,
    begin,
    cancel,
    held,
    money_kept,
    money_reserved,
    paid_sale,
    play,
    provider,
    reconcile,
    second_attempt,
    states,
)
from tests.cast import end_holds


def stage(order: Order) -> str:
    view = paying.describe(order.pk)
    assert view
    return view.stage


def test_a_payment_is_captured_and_confirms_the_order(order: Order) -> None:
    assert paying.describe(order.pk) is None
    url = begin(order)
    assert stage(order) == "open"
    attempt = attempt_of(order)
    assert attempt.reference in url
    play(attempt, "pay")
    paying.returned(order.pk)
    order.refresh_from_db()
    assert (order.status, order.capturing) == (Status.CONFIRMED, False)
    view = paying.describe(order.pk)
    assert view == PaymentView("paid", 12900, "EUR", "demo", attempt.reference)
    assert money_kept(order) == 12900
    assert_money_balances(order)


def test_a_payment_without_return_and_event_is_found(order: Order) -> None:
    begin(order)
    play(attempt_of(order), "pay")
    reconcile()
    assert stage(order) == "paid"
    assert_money_balances(order)


def test_pay_pressed_again_leads_to_the_same_page(order: Order) -> None:
    assert begin(order) == begin(order)
    assert states(order) == ["created"]


def test_a_checkout_that_is_sent_in_the_last_second_is_paid(order: Order) -> None:
    """Pages count down to the end of the hold; a form is on its way for a moment longer."""
    end_holds(order.sale, -2)
    assert begin(order)


def test_a_checkout_that_is_sent_too_late_is_not(order: Order) -> None:
    end_holds(order.sale, -holds.GRACE - 1)
    with pytest.raises(NotPossible, match="is over"):
        begin(order)


def test_a_declined_card_may_be_followed_by_another(order: Order) -> None:
    first = begin(order)
    play(attempt_of(order), "decline")
    paying.returned(order.pk)
    assert stage(order) == "failed"
    assert begin(order) != first
    play(attempt_of(order), "pay")
    paying.returned(order.pk)
    assert states(order) == ["failed", "captured"]
    assert stage(order) == "paid"
    assert_money_balances(order)


def test_a_slow_bank_is_asked_again(order: Order) -> None:
    begin(order)
    play(attempt_of(order), "slow")
    paying.returned(order.pk)
    assert stage(order) == "open"
    DemoPayment.objects.filter(key=attempt_of(order).pk).update(acts_at=timezone.now())
    reconcile()
    assert stage(order) == "paid"
    assert_money_balances(order)


def test_what_is_paid_while_it_expires_is_revived_if_the_units_are_free(
    sale: Sale, order: Order
) -> None:
    begin(order)
    play(attempt_of(order), "pay")
    end_holds(sale)
    caretaker.expire_holds()
    assert sale.variants.get().stock == 1
    reconcile()
    order.refresh_from_db()
    assert (order.status, sale.variants.get().stock) == (Status.CONFIRMED, 0)
    assert_money_balances(order)


def test_what_is_paid_after_its_units_are_sold_is_voided(sale: Sale, order: Order) -> None:
    begin(order)
    end_holds(sale)
    caretaker.expire_holds()
    [other] = held(sale)
    play(attempt_of(order), "pay")
    reconcile()
    assert states(order) == ["voided"]
    assert (money_kept(order), money_reserved(order)) == (0, 0)
    other.refresh_from_db()
    assert other.status == Status.HELD
    assert_money_balances(order)


def test_an_expired_order_is_not_revived_over_the_shoppers_limit(make_sale: MakeSale) -> None:
    sale = paid_sale(make_sale, stock=2)
    [order] = held(sale)
    begin(order)
    end_holds(sale)
    caretaker.expire_holds()
    [other] = held(sale)
    with connection.cursor() as cursor:  # the same shopper, who has bought again since
        cursor.execute("ALTER TABLE orders_order DISABLE TRIGGER order_final")
        cursor.execute(
            "UPDATE orders_order SET shopper = %s WHERE id = %s", [order.shopper, other.pk]
        )
        cursor.execute("ALTER TABLE orders_order ENABLE TRIGGER order_final")
    play(attempt_of(order), "pay")
    reconcile()
    assert states(order) == ["voided"]
    assert_money_balances(order)


def test_a_page_that_nobody_paid_is_closed_after_the_hold(sale: Sale, order: Order) -> None:
    begin(order)
    end_holds(sale, -120)
    caretaker.expire_holds()
    reconcile()
    assert states(order) == ["voided"]
    play(attempt_of(order), "pay")
    assert (money_kept(order), money_reserved(order)) == (0, 0)


def test_of_two_payments_of_one_order_the_second_is_voided(order: Order) -> None:
    begin(order)
    first, second = attempt_of(order), second_attempt(order)
    play(first, "pay")
    play(second, "pay")
    reconcile()
    assert sorted(states(order)) == ["captured", "voided"]
    assert_money_balances(order)
    assert money_reserved(order) == 0


def test_a_second_payment_at_a_provider_that_takes_it_at_once_is_refunded(order: Order) -> None:
    begin(order)
    play(attempt_of(order), "pay")
    paying.returned(order.pk)
    second = second_attempt(order)
    DemoPayment.objects.filter(key=second.pk).update(state="captured", captured=12900)
    reconcile()
    assert sorted(states(order)) == ["captured", "refunded"]
    assert_money_balances(order)


def test_another_amount_is_never_confirmed(order: Order) -> None:
    begin(order)
    play(attempt_of(order), "pay")
    DemoPayment.objects.filter(key=attempt_of(order).pk).update(amount=1)
    reconcile()
    order.refresh_from_db()
    assert order.status == Status.HELD
    assert states(order) == ["failed"]
    assert "another amount" in attempt_of(order).problem
    assert (money_kept(order), money_reserved(order)) == (0, 0)


def test_another_amount_that_was_captured_goes_back(order: Order) -> None:
    def wrong_amount(real: object, reference: str, *_: object) -> Seen:
        DemoPayment.objects.filter(pk=reference).update(state="captured", captured=1)
        return Seen(Stage.CAPTURED, 1, "EUR")

    begin(order)
    play(attempt_of(order), "pay")
    with provider(capture=wrong_amount):
        reconcile()
    order.refresh_from_db()
    assert (order.status, order.capturing) == (Status.HELD, False)
    assert states(order) == ["refunded"]
    assert Refund.objects.get(attempt__order=order).amount == 1
    assert money_kept(order) == 0
    assert "another amount" in attempt_of(order).problem


@pytest.mark.parametrize("acts", [True, False])
def test_a_lost_answer_to_a_capture_is_unknown_and_then_known(order: Order, acts: bool) -> None:
    def lost(real: object, *args: object) -> Seen:
        if acts:
            real(*args)  # type: ignore[operator]  # the real call
        raise NoAnswer("timed out")

    begin(order)
    play(attempt_of(order), "pay")
    with provider(capture=lost) as seen:
        paying.returned(order.pk)
        assert stage(order) == "unknown"
        end_holds(order.sale)
        caretaker.expire_holds()
        order.refresh_from_db()
        assert order.status == Status.HELD  # it is being captured, for all that we know
        if not acts:
            reconcile()
    assert len(set(seen.keys("capture"))) == 1
    reconcile()
    assert stage(order) == "paid"
    assert_money_balances(order)


def test_a_capture_that_is_refused_ends_with_a_void(sale: Sale, order: Order) -> None:
    def refuse(real: object, *args: object) -> Seen:
        raise Refused("not any more")

    begin(order)
    play(attempt_of(order), "pay")
    with provider(capture=refuse):
        reconcile()
    assert states(order) == ["failed"]
    assert "not any more" in attempt_of(order).problem
    assert money_reserved(order) == 0
    end_holds(sale)
    caretaker.expire_holds()
    order.refresh_from_db()
    assert order.status == Status.EXPIRED
    assert_money_balances(order)


def test_a_failure_that_the_provider_keeps_under_its_key_does_not_last(order: Order) -> None:
    broken: list[object] = []

    def keeps_the_failure(real: object, *args: object) -> Seen:
        if not broken:
            broken.append(args[-1])
        if args[-1] in broken:
            raise NoAnswer("500")
        return real(*args)  # type: ignore[operator, no-any-return]  # the real call

    begin(order)
    play(attempt_of(order), "pay")
    with provider(capture=keeps_the_failure):
        reconcile(8)
    assert stage(order) == "paid"
    assert_money_balances(order)


# --- Cancelled ---------------------------------------------------------------------------------------


def paid(order: Order) -> None:
    begin(order)
    play(attempt_of(order), "pay")
    paying.returned(order.pk)


def test_a_cancelled_paid_order_is_refunded_once(order: Order) -> None:
    paid(order)
    cancel(order)
    assert_money_balances_soon(order)
    [refund] = Refund.objects.filter(attempt__order=order)
    assert (refund.state, refund.amount) == ("done", 12900)
    assert stage(order) == "refunded"
    told = OutboxRow.objects.filter(order=order, event=OutboxRow.Event.REFUNDED)
    assert told.count() == 1


def assert_money_balances_soon(order: Order) -> None:
    reconcile()
    assert_money_balances(order)


def test_a_refund_whose_answer_is_lost_is_not_paid_twice(order: Order) -> None:
    def lost(real: object, *args: object) -> object:
        real(*args)  # type: ignore[operator]  # the real call
        raise NoAnswer("timed out")

    paid(order)
    cancel(order)
    with provider(refund=lost):
        reconcile(1)
        assert stage(order) == "refund_pending"
    reconcile()
    assert stage(order) == "refunded"
    assert_money_balances(order)


def test_a_refused_refund_is_shown_and_tried_again(order: Order) -> None:
    def refuse(real: object, *args: object) -> object:
        raise Refused("the card is gone")

    paid(order)
    cancel(order)
    with provider(refund=refuse) as before:
        reconcile()
    assert stage(order) == "refund_failed"
    refund = Refund.objects.get(attempt__order=order)
    assert refund.problem == "the card is gone"
    assert refunds.retry(refund.pk, by="anna", reason="they called")
    assert not refunds.retry(refund.pk, by="anna")
    [audit] = AuditEntry.objects.filter(order=order.pk, action="refund")
    assert (audit.actor, audit.reason, audit.subject) == ("anna", "they called", order.reference)
    with provider() as after:
        reconcile()
    assert stage(order) == "refunded"
    assert set(before.keys("refund")).isdisjoint(after.keys("refund"))
    assert_money_balances(order)


def test_a_refund_that_another_process_has_ended_stays_done(order: Order) -> None:
    """A slow call comes after it, with another key, and the provider refuses a second refund."""

    def be_late(real: object, *args: object) -> object:
        real(*args)  # type: ignore[operator]  # the real call
        with provider():
            refunds.push(Refund.objects.get(attempt__order=order).pk)
        raise Refused("it is refunded")

    paid(order)
    cancel(order)
    refunds.begin_refund(OutboxRow.objects.get(order=order, consumer="refund").pk)
    with provider(refund=be_late):
        refunds.push(Refund.objects.get(attempt__order=order).pk)
    assert Refund.objects.get(attempt__order=order).state == "done"
    assert stage(order) == "refunded"


def test_an_order_cancelled_before_it_is_paid_has_its_page_closed(order: Order) -> None:
    begin(order)
    cancel(order)
    reconcile()
    assert states(order) == ["voided"]
    assert_money_balances(order)


def test_an_order_cancelled_while_it_is_captured_is_refunded(order: Order) -> None:
    def cancelled_meanwhile(real: object, *args: object) -> object:
        cancel(order)
        return real(*args)  # type: ignore[operator]  # the real call

    begin(order)
    play(attempt_of(order), "pay")
    with provider(capture=cancelled_meanwhile):
        paying.returned(order.pk)
    reconcile()
    assert states(order) == ["refunded"]
    assert_money_balances(order)


# --- Refusals ----------------------------------------------------------------------------------------


def test_only_a_hold_can_be_paid(order: Order) -> None:
    cancel(order)
    with pytest.raises(NotPossible, match="cancelled"):
        begin(order)
    assert states(order) == []


def test_a_hold_whose_time_is_over_cannot_be_paid(sale: Sale, order: Order) -> None:
    end_holds(sale)
    with pytest.raises(NotPossible, match="over"):
        begin(order)


def test_a_paid_order_is_not_paid_again(order: Order) -> None:
    paid(order)
    with pytest.raises(NotPossible):
        begin(order)


def test_an_order_is_not_tried_without_end(order: Order) -> None:
    for _ in range(paying.MOST_ATTEMPTS):
        begin(order)
        play(attempt_of(order), "decline")
        paying.returned(order.pk)
    with pytest.raises(NotPossible, match="too often"):
        begin(order)


@pytest.mark.parametrize(
    ("error", "then"),
    [(NoAnswer("down"), "unknown"), (Busy("429"), "created"), (Refused("no key"), "failed")],
)
def test_pay_says_so_if_the_provider_does_not_answer(
    sale: Sale, order: Order, error: Exception, then: str
) -> None:
    def fail(real: object, *args: object) -> object:
        raise error

    with provider(start=fail), pytest.raises(Unavailable) as refused:
        begin(order)
    assert refused.value.retry_after >= 1
    assert states(order) == [then]
    order.refresh_from_db()
    assert (order.status, order.capturing) == (Status.HELD, False)
    assert begin(order)
    play(attempt_of(order), "pay")
    reconcile()
    assert stage(order) == "paid"
    assert_money_balances(order)


def test_a_shopper_who_returns_is_not_kept_by_a_provider_that_is_down(order: Order) -> None:
    def fail(real: object, *args: object) -> object:
        raise NoAnswer("down")

    begin(order)
    with provider(fetch=fail):
        paying.returned(order.pk)
    assert stage(order) == "unknown"
    reconcile()
    assert stage(order) == "open"


def test_a_start_that_was_never_answered_ends(order: Order) -> None:
    begin(order)
    Attempt.objects.filter(order=order).update(reference="", url="")
    reconcile()
    assert states(order) == ["failed"]


def test_a_sale_that_asks_for_no_payment_takes_none(make_sale: MakeSale) -> None:
    sale = make_sale(stock=1, hold=10)
    [order] = held(sale)
    with pytest.raises(NotPossible):
        begin(order)


def test_what_is_due_is_asked_with_growing_pauses(order: Order) -> None:
    begin(order)
    pauses = []
    for _ in range(4):
        reconcile(1)
        due = attempt_of(order).due
        assert due
        pauses.append((due - timezone.now()) / timedelta(seconds=1))
    assert pauses == sorted(pauses)
    assert pauses[3] > 10
