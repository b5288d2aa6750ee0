"""What staff and operators see of payments: figures, alarms, admin, and `verify`."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from dashboard.metrics import families
from dashboard.reading import Observer
from dashboard.tests.admin_pages import LOOK, Staff, asking, listed, page_of
from flashsale.observe import telemetry
from inventory.models import Sale
from ops.base_command import INCONSISTENT
from orders import confirmation
from orders.models import AuditEntry, Order
from payments import paying, reconciliation
from payments.figures import read_figures
from payments.models import Attempt, ProviderEvent, Refund
from payments.providers.base import NoAnswer, Refused
from payments.tests.cast import (
    attempt_of,
    begin,
    cancel,
    play,
    provider,
    reconcile,
)
from tests.operators import here

SEES = (*LOOK, "payments.view_attempt", "payments.view_refund", "payments.view_providerevent")


@pytest.fixture
def order(order: Order) -> Order:
    """A held order that the shopper has paid at the provider."""
    begin(order)
    play(attempt_of(order), "pay")
    return order


@pytest.fixture
def refused(order: Order) -> Refund:
    """A refund that the provider has refused."""

    def refuse(real: object, *args: object) -> Any:
        raise Refused("the card is gone")

    paying.returned(order.pk)
    cancel(order)
    with provider(refund=refuse):
        reconcile()
    return Refund.objects.get(attempt__order=order)


def alarms() -> dict[str, str]:
    return {alarm.code: alarm.words for alarm in Observer().look().alarms}


def lose(real: object, *args: object) -> Any:
    raise NoAnswer("timed out")


def test_a_payment_that_is_unknown_for_a_minute_is_an_alarm(order: Order) -> None:
    with provider(capture=lose):
        paying.returned(order.pk)
    attempts = Attempt.objects.filter(order=order)
    attempts.update(changed_at=timezone.now() - timedelta(seconds=20))
    assert "payment-unknown" not in alarms()
    attempts.update(changed_at=timezone.now() - timedelta(seconds=70))
    assert read_figures().oldest_unknown >= 70
    assert "unknown for" in alarms()["payment-unknown"]
    reconcile()
    assert "payment-unknown" not in alarms()


def test_a_failed_refund_is_an_alarm_until_it_is_done(refused: Refund) -> None:
    assert read_figures().refunds["failed"] >= 1
    assert "refund-failed" in alarms()
    seen = {metric.name: metric for metric in families(Observer().look())}
    states = {sample.labels["state"]: sample.value for sample in seen["flashsale_refunds"].samples}
    assert states["failed"] == read_figures().refunds["failed"]
    telemetry.count_payment("forged")
    assert "flashsale_payment_events_forged" in seen


def test_staff_try_a_failed_refund_again(refused: Refund) -> None:
    anna = Staff.with_permissions(*SEES, "payments.retry_refund")
    assert "the card is gone" in anna.opens(page_of(refused))
    order = refused.attempt.order
    assert anna.confirms("retry", refused, reason="a new card") == [
        f"The refund of {order.reference} is tried again."
    ]
    [audit] = AuditEntry.objects.filter(order=order.pk, action="refund")
    assert (audit.actor, audit.reason) == (anna.name, "a new card")
    reconcile()
    refused.refresh_from_db()
    assert refused.state == "done"
    assert asking("retry", refused) not in anna.opens(page_of(refused))


def test_who_may_only_look_tries_no_refund_again(refused: Refund) -> None:
    ben = Staff.with_permissions(*SEES)
    assert asking("retry", refused) not in ben.opens(page_of(refused))
    assert ben.browser.post(asking("retry", refused), {}).status_code == 403


@pytest.mark.parametrize("model", [Attempt, Refund, ProviderEvent])
def test_staff_find_a_payment_and_change_none(refused: Refund, model: Any) -> None:
    ben = Staff.with_permissions(*SEES)
    reference = refused.attempt.reference
    ProviderEvent.objects.create(provider="demo", event_id=f"of {reference}", reference=reference)
    page = ben.browser.get(listed(model), {"q": reference})
    [row] = page.context["cl"].result_list
    assert 'name="_save"' not in ben.opens(page_of(row))
    if model is not ProviderEvent:
        order = refused.attempt.order
        page = ben.browser.get(listed(model), {"q": order.reference})
        assert [row.pk] == [each.pk for each in page.context["cl"].result_list]
    assert Staff.with_permissions(*LOOK).browser.get(listed(model)).status_code == 403


# --- verify -------------------------------------------------------------------------------------------


def faults(sale: Sale) -> set[str]:
    return set(reconciliation.verify(sale.pk).faults)


def test_the_books_of_a_paid_order_balance(sale: Sale, order: Order) -> None:
    paying.returned(order.pk)
    report = reconciliation.verify(sale.pk)
    assert report.faults == {}
    assert report.counted["payments_captured"] == 1
    assert here("verify", "--sale", sale.slug).code == 0


def test_a_confirmed_order_without_a_payment_is_found(sale: Sale, order: Order) -> None:
    confirmation.confirm_hold(order.pk)
    assert faults(sale) == {"confirmed_without_one_payment"}
    told = here("verify", "--sale", sale.slug, "--json")
    assert told.code == INCONSISTENT
    assert "confirmed_without_one_payment" in told.told["faults"]


def test_a_payment_of_another_amount_is_found(sale: Sale, order: Order) -> None:
    paying.returned(order.pk)
    Attempt.objects.filter(order=order).update(amount=1)
    assert faults(sale) == {"confirmed_without_one_payment"}


def test_money_without_an_order_is_found(sale: Sale, order: Order) -> None:
    Attempt.objects.filter(order=order).update(state="captured", due=None)
    assert faults(sale) == {"captured_without_an_order"}


def test_a_cancelled_order_whose_refund_has_not_begun_is_under_way(
    sale: Sale, order: Order
) -> None:
    paying.returned(order.pk)
    cancel(order)
    assert faults(sale) == set()
    order.outbox.filter(consumer="refund").update(due=None)
    assert faults(sale) == {"captured_without_an_order"}


def test_a_refund_that_is_not_the_payments_is_found(sale: Sale, order: Order) -> None:
    paying.returned(order.pk)
    cancel(order)
    reconcile()
    assert faults(sale) == set()
    Refund.objects.filter(attempt__order=order).update(state="failed")
    assert faults(sale) == {"refund_is_not_the_payments"}


def test_a_hold_that_captures_for_no_payment_is_found(sale: Sale, order: Order) -> None:
    Order.objects.filter(pk=order.pk).update(capturing=True)
    assert faults(sale) == {"capturing_without_a_payment"}


def test_a_payment_without_a_next_question_is_found(sale: Sale, order: Order) -> None:
    Attempt.objects.filter(order=order).update(due=None)
    assert faults(sale) == {"payment_is_forgotten"}
