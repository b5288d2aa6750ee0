"""Old rows that are done go; those that are open, or keep news from being told twice, stay."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.utils import timezone

from conftest import MakeSale
from orders import confirmation
from orders.models import Order, OutboxRow
from payments import retention
from payments.models import Attempt, ProviderEvent, Refund
from payments.tasks import remove_old_news
from payments.tests.cast import held, paid_sale

Event, Consumer = OutboxRow.Event, OutboxRow.Consumer


@pytest.fixture
def order(make_sale: MakeSale) -> Order:
    """Confirmed, and paid to the end."""
    [order] = held(paid_sale(make_sale))
    confirmation.confirm_hold(order.pk)
    attempt(order)
    OutboxRow.objects.all().delete()
    ProviderEvent.objects.all().delete()
    return order


def attempt(order: Order, **values: object) -> Attempt:
    money = {"amount": order.total, "currency": order.currency, "provider": "demo"}
    return Attempt.objects.create(
        order=order, **{**money, "state": "captured", "due": None, **values}
    )


def tell(order: Order, days: float = 91, event: str = Event.CONFIRMED, **values: object) -> int:
    """A row that was written so many days ago, and is done."""
    done = {"consumer": Consumer.MAIL, "due": None, "outcome": "done", **values}
    row = OutboxRow.objects.create(order=order, event=event, **done)
    OutboxRow.objects.filter(pk=row.pk).update(at=timezone.now() - timedelta(days=days))
    return row.pk


def hear(event_id: str, days: float, due: bool = False) -> None:
    """An event that was received so many days ago."""
    now = timezone.now()
    ProviderEvent.objects.create(
        provider="demo",
        event_id=event_id,
        received_at=now - timedelta(days=days),
        due=now if due else None,
    )


def test_finished_news_and_events_go_after_ninety_days(order: Order) -> None:
    for number, outcome in enumerate(("done", "unneeded", "failed")):
        tell(order, outcome=outcome, detail=str(number))
    tell(order, consumer=Consumer.REFUND, event=Event.CANCELLED)
    young = tell(order, days=89)
    hear("old", 91)
    hear("young", 89)
    assert (retention.old_news().count(), retention.old_events().count()) == (4, 1)
    remove_old_news()
    assert list(OutboxRow.objects.values_list("pk", flat=True)) == [young]
    assert list(ProviderEvent.objects.values_list("event_id", flat=True)) == ["young"]


def test_what_is_not_done_stays_however_old_it_is(order: Order) -> None:
    tell(order, days=900, due=timezone.now(), outcome="")
    hear("waits", 900, due=True)
    assert retention.remove_old() == (0, 0)


@pytest.mark.parametrize("event", [Event.REFUNDED, Event.SHIPPED])
def test_news_that_may_come_again_is_not_told_again(order: Order, event: str) -> None:
    tell(order, event=event)
    assert retention.remove_old() == (0, 0)


@pytest.mark.parametrize(
    "is_open",
    [
        lambda order: attempt(order, state="unknown", due=timezone.now()),
        lambda order: Refund.objects.create(attempt=order.attempts.get(), amount=1),
    ],
    ids=["payment", "refund"],
)
def test_the_news_of_an_order_with_an_open_payment_stay(
    order: Order, is_open: Callable[[Order], object]
) -> None:
    is_open(order)
    tell(order)
    assert retention.remove_old() == (0, 0)


def test_the_news_of_a_hold_stay(make_sale: MakeSale, order: Order) -> None:
    [hold] = held(paid_sale(make_sale))
    tell(hold, event=Event.EXPIRING)
    assert retention.remove_old() == (0, 0)


def test_a_round_is_bounded_and_the_next_goes_on(
    order: Order, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "BATCH", 2)
    monkeypatch.setattr(retention, "MOST", 4)
    for number in range(5):
        tell(order, detail=str(number))
    assert retention.remove_old() == (4, 0)
    assert retention.remove_old() == (1, 0)
