"""Remove finished rows of the outbox, and old events of payment providers.

It lies here because an order's payments say whether its news can come again.
"""

import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TypeVar

from django.db.models import Exists, Model, OuterRef, Q, QuerySet
from django.utils import timezone

from flashsale.database import bounded_transaction
from orders.models import Order, OutboxRow
from payments.models import Attempt, ProviderEvent

log = logging.getLogger(__name__)

KEPT = timedelta(days=90)
BATCH = 1_000  # rows in a transaction
MOST = 200_000  # rows of a kind in a round: the next goes on

Event = OutboxRow.Event
Row = TypeVar("Row", bound=Model)


def old_news(now: datetime | None = None) -> QuerySet[OutboxRow]:
    """The rows of the outbox that may go. A row that is there keeps the same news from being told again,
    so it stays as long as its order may cause it: a hold may end, a late payment may bring the hold back,
    a parcel may be corrected and a bank may return a refund, which is then made again."""
    payments = Attempt.objects.filter(order=OuterRef("order"))
    asked = payments.filter(Q(due__isnull=False) | Q(refund__due__isnull=False))
    done = OutboxRow.objects.filter(due=None, at__lt=(now or timezone.now()) - KEPT)
    done = done.exclude(outcome=OutboxRow.Outcome.PENDING).exclude(event=Event.REFUNDED)
    done = done.exclude(event=Event.SHIPPED, order__status=Order.Status.CONFIRMED)
    return done.exclude(order__status=Order.Status.HELD).filter(~Exists(asked))


def old_events(now: datetime | None = None) -> QuerySet[ProviderEvent]:
    """The events that may go. A provider repeats one for days (Stripe: 3, by hand 30), and one that comes
    once more only has its payment asked about."""
    taken = ProviderEvent.objects.filter(due=None)
    return taken.filter(received_at__lt=(now or timezone.now()) - KEPT)


def remove_old() -> tuple[int, int]:
    """Remove them, in batches and at most MOST of a kind. Returns how many rows of the outbox, and how many
    events. Raises django.db.DatabaseError."""
    removed = _remove(old_news), _remove(old_events)
    if any(removed):
        log.info("removed %d old rows of the outbox and %d old events of providers", *removed)
    return removed


def _remove(find: Callable[[], QuerySet[Row]]) -> int:
    total = 0
    while total < MOST:
        with bounded_transaction():
            # Locked, because staff may put one back. What they have locked is not done.
            free = find().select_for_update(skip_locked=True, of=("self",)).order_by("pk")
            keys = list(free.values_list("pk", flat=True)[:BATCH])
            total += find().filter(pk__in=keys).delete()[0]
        if len(keys) < BATCH:
            break
    return total
