"""A payment that cannot be found is asked about less and less often; staff are told, nothing is decided."""

import logging
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from unittest.mock import patch

import pytest
from django.conf import LazySettings
from django.utils import timezone

from conftest import MakeSale
from dashboard.reading import Observer
from orders.models import Order
from payments import lost, paying, transitions
from payments.models import Attempt, DemoPayment, Refund
from payments.providers.base import NoAnswer, NotKnown
from payments.tests.cast import (
    assert_money_balances,
    attempt_of,
    begin,
    cancel,
    held,
    paid_sale,
    play,
    provider,
    reconcile,
)


@pytest.fixture(autouse=True)
def nothing_is_open() -> None:
    """Payments that other tests have left are not asked about."""
    Attempt.objects.filter(due__isnull=False).update(due=None)


@pytest.fixture
def order(make_sale: MakeSale) -> Order:
    """Paid by its shopper; the answer to the capture was lost."""
    [order] = held(paid_sale(make_sale))
    begin(order)
    play(attempt_of(order), "pay")
    with provider(capture=lose):
        paying.returned(order.pk)
    assert attempt_of(order).state == "capturing"
    return order


@pytest.fixture
def nothing_found() -> Iterator[None]:
    """The provider does not know any payment."""
    with provider(fetch=deny):
        yield


def deny(real: object, *args: object) -> Any:
    raise NotKnown("404")


def lose(real: object, *args: object) -> Any:
    raise NoAnswer("timed out")


def alarm() -> str:
    return {alarm.code: alarm.words for alarm in Observer().look().alarms}.get("payment-lost", "")


def pause_of(order: Order) -> timedelta:
    due = attempt_of(order).due
    assert due
    return due - timezone.now()


def assert_undecided(order: Order) -> None:
    order.refresh_from_db()
    assert (order.status, order.capturing) == ("held", True)
    assert attempt_of(order).state == "capturing"


@pytest.mark.usefixtures("nothing_found")
def test_it_is_asked_about_at_growing_pauses_up_to_an_hour(order: Order) -> None:
    pauses = []
    for _ in range(15):
        reconcile(1)
        pauses.append(round(pause_of(order).total_seconds()))
    assert pauses == sorted(pauses)
    assert pauses[0] < 10
    assert pauses[-1] == 3600
    assert_undecided(order)


def test_a_provider_that_is_down_is_asked_each_minute(order: Order) -> None:
    with provider(fetch=lose):
        reconcile(15)
    assert pause_of(order) <= timedelta(minutes=1)
    assert alarm() == ""


def test_staff_are_told_after_several_answers_and_it_goes_on_once_it_is_found(
    order: Order, nothing_found: None
) -> None:
    reconcile(lost.ANSWERS - 2)  # one answer, of the capture, was lost before
    assert alarm() == ""
    reconcile(2)
    assert "1 payment cannot be found at the provider. Is it in PAYMENT_PROVIDERS" in alarm()
    assert_undecided(order)
    with provider():
        reconcile()
    order.refresh_from_db()
    assert order.status == "confirmed"
    assert alarm() == ""


def test_a_provider_that_was_removed_is_waited_for(
    order: Order, settings: LazySettings, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    configured, settings.PAYMENT_PROVIDERS = settings.PAYMENT_PROVIDERS, []
    reconcile(12)
    assert pause_of(order) > timedelta(minutes=59)
    assert "'demo' is not in PAYMENT_PROVIDERS" in attempt_of(order).problem
    assert alarm()
    assert_undecided(order)
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]
    settings.PAYMENT_PROVIDERS = configured
    reconcile()
    assert_money_balances(order)


@pytest.mark.usefixtures("nothing_found")
def test_an_event_that_comes_meanwhile_is_not_forgotten(order: Order) -> None:
    reconcile(lost.ANSWERS + 3)

    def postpone(attempt: Any, error: Any) -> None:
        real(attempt, error)
        Attempt.objects.filter(pk=attempt).update(due=timezone.now())  # as `events.take` does

    real = transitions.postpone
    with patch.object(transitions, "postpone", postpone):
        lost.advance_or_wait(attempt_of(order).pk)
    assert pause_of(order) <= timedelta()


def test_the_demo_provider_says_that_it_does_not_know_a_payment(order: Order) -> None:
    DemoPayment.objects.filter(pk=attempt_of(order).reference).delete()
    reconcile(1)
    assert "cannot be found" in attempt_of(order).problem


def test_a_refund_waits_for_a_provider_that_was_removed(
    order: Order, settings: LazySettings, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    reconcile()
    cancel(order)
    configured, settings.PAYMENT_PROVIDERS = settings.PAYMENT_PROVIDERS, []
    reconcile(12)
    refund = Refund.objects.get(attempt__order=order)
    assert (refund.state, "PAYMENT_PROVIDERS" in refund.problem) == ("pending", True)
    assert refund.due
    assert refund.due - timezone.now() > timedelta(minutes=15)
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]
    settings.PAYMENT_PROVIDERS = configured
    reconcile()
    assert_money_balances(order)


def test_a_refund_of_a_payment_that_is_not_known_waits(order: Order) -> None:
    """The key may be that of another account: nothing is decided."""
    reconcile()
    cancel(order)
    with provider(fetch=deny):
        reconcile(12)
    refund = Refund.objects.get(attempt__order=order)
    assert (refund.state, "404" in refund.problem) == ("pending", True)
    reconcile()
    assert_money_balances(order)
