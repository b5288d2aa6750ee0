"""The outbox: news of an order are written in the transaction that they tell of.

So nothing is told that did not happen, and nothing that happened is not told. Consumers lie in other
rooms: mail and payments take their rows after the commit, as often as it takes.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeAlias
from uuid import UUID

from django.db import DEFAULT_DB_ALIAS, connection
from django.db.models import Count, Min, QuerySet
from django.db.models.functions import Now

from flashsale.database import BOUNDS, ask_together, bounded_transaction, require_transaction
from orders.models import OutboxRow
from orders.order_status import Status

Consumer: TypeAlias = OutboxRow.Consumer
Event: TypeAlias = OutboxRow.Event
Outcome: TypeAlias = OutboxRow.Outcome

# A row that its consumer has taken is not taken again for so long, unless it is finished or postponed:
# longer than the slowest mail server or provider lets a consumer wait.
LEASE = timedelta(minutes=2)
_FIRST_PAUSE, _LONGEST_PAUSE = 5, 900  # seconds until a row is tried again
_FAILURES_SHOWN = timedelta(days=1)

_CONSUMERS: dict[Event, tuple[Consumer, ...]] = {
    Event.DRAWN: (Consumer.MAIL,),
    Event.SERVED: (Consumer.MAIL,),
    Event.SECURED: (Consumer.MAIL,),
    Event.EXPIRING: (Consumer.MAIL,),
    Event.EXPIRED: (Consumer.MAIL,),
    Event.CONFIRMED: (Consumer.MAIL,),
    Event.CANCELLED: (Consumer.MAIL, Consumer.REFUND),
    Event.REFUNDED: (Consumer.MAIL,),
    Event.SHIPPED: (Consumer.MAIL,),
    Event.FOUND: (Consumer.MAIL,),
}
# What `take_arrow` (`orders/changes.py`) tells. Holds expire in batches: `orders/holds.py`.
OF_ARROWS = {Status.CONFIRMED: Event.CONFIRMED, Status.CANCELLED: Event.CANCELLED}

# The end of a hold makes its rows unique: an order that was revived may expire again.
_END_OF_HOLD = """to_char(hold_until AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')"""
_TELL_EXPIRED = f"""
INSERT INTO orders_outboxrow (consumer, event, order_id, detail)
SELECT 'mail', 'expired', id, {_END_OF_HOLD} FROM orders_order WHERE id = ANY(%s)
ON CONFLICT DO NOTHING
"""  # noqa: S608  # a constant
# `now()` is the begin of the transaction. A hold that is confirmed meanwhile has a row too many: the mail
# looks at the order again.
_TELL_EXPIRING = f"""
INSERT INTO orders_outboxrow (consumer, event, order_id, detail)
SELECT 'mail', 'expiring', o.id, {_END_OF_HOLD}
FROM orders_order o JOIN inventory_sale s ON s.id = o.sale_id
WHERE o.status = 'held' AND NOT o.capturing AND s.ask <> ''
  AND o.hold_until > now() AND o.hold_until <= now() + %(ahead)s
  AND s.hold_minutes * interval '1 minute' > %(long)s
  AND NOT EXISTS (
    SELECT FROM orders_outboxrow r
    WHERE r.order_id = o.id AND r.consumer = 'mail' AND r.event = 'expiring'
      AND r.detail = {_END_OF_HOLD}
  )
ON CONFLICT DO NOTHING
"""  # noqa: S608  # a constant


_TELL = """
INSERT INTO orders_outboxrow (consumer, event, order_id, detail)
SELECT consumer, %s, id, %s FROM unnest(%s::uuid[]) AS id, unnest(%s::text[]) AS consumer
ON CONFLICT DO NOTHING
"""
_COLUMNS = [field.attname for field in OutboxRow._meta.concrete_fields]
_TAKE = f"""
UPDATE orders_outboxrow SET due = now() + %(lease)s, tries = least(tries + 1, 32767)
WHERE id = (
    SELECT id FROM orders_outboxrow WHERE consumer = %(consumer)s AND due <= now()
    ORDER BY due, id LIMIT 1 FOR UPDATE SKIP LOCKED
)
RETURNING {", ".join(_COLUMNS)}
"""  # noqa: S608  # constants


# --- Telling --------------------------------------------------------------------------------------


def tell(orders: Iterable[UUID], event: Event, detail: str = "") -> None:
    """Add a row for each order and each consumer of the event; one that is there already stays.

    Must run in the transaction of the change. `detail` has at most 200 characters and nothing personal.
    """
    require_transaction()
    values = (event, detail, list(orders), list(_CONSUMERS[event]))
    with connection.cursor() as cursor:
        cursor.execute(_TELL, values)


def tell_expired(orders: list[UUID]) -> None:
    """Tell of a batch of holds that have expired. Must run in the transaction that ends them."""
    require_transaction()
    with connection.cursor() as cursor:
        cursor.execute(_TELL_EXPIRED, [orders])


def tell_expiring(ahead: timedelta, long: timedelta) -> int:
    """Tell once of each hold that ends within `ahead`, if its sale holds for longer than `long` and asks
    for an address. Returns how many are new. Raises django.db.DatabaseError."""
    bounds: dict[str, Any] = {"ahead": ahead, "long": long}
    with bounded_transaction(), connection.cursor() as cursor:
        cursor.execute(_TELL_EXPIRING, bounds)
        told: int = cursor.rowcount
        return told


# --- Consuming ------------------------------------------------------------------------------------


def take(consumer: Consumer) -> OutboxRow | None:
    """Take the row that has been due the longest; None if none is due. It is the caller's for LEASE:
    no transaction stays open while the caller talks to another machine."""
    _, rows = ask_together(BOUNDS, (_TAKE, {"consumer": consumer, "lease": LEASE}))
    return OutboxRow.from_db(DEFAULT_DB_ALIAS, _COLUMNS, rows[0]) if rows else None


def finish(row: OutboxRow, outcome: Outcome, problem: str = "") -> None:
    """Finish a row that was taken. Does nothing if the lease is over and another has taken it since."""
    _of_this_try(row).update(due=None, outcome=outcome, problem=problem[:200])


def postpone(row: OutboxRow, problem: str) -> None:
    """Try a row that was taken again later: after seconds at first, then with growing pauses."""
    pause = min(_FIRST_PAUSE * 2 ** min(row.tries - 1, 20), _LONGEST_PAUSE)
    _of_this_try(row).update(due=Now() + timedelta(seconds=pause), problem=problem[:200])


def _of_this_try(row: OutboxRow) -> QuerySet[OutboxRow]:
    return OutboxRow.objects.filter(pk=row.pk, tries=row.tries, due__isnull=False)


# --- Looking --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Backlog:
    """The rows of one consumer: how many wait, since when the oldest does, and how many were given up
    within a day."""

    waiting: int = 0
    oldest: datetime | None = None
    failed: int = 0


def look(consumer: Consumer) -> Backlog:
    """Raises django.db.DatabaseError."""
    rows = OutboxRow.objects.filter(consumer=consumer)
    waiting = rows.filter(due__isnull=False).aggregate(count=Count("pk"), oldest=Min("at"))
    failed = rows.filter(outcome=Outcome.FAILED, at__gte=Now() - _FAILURES_SHOWN)
    return Backlog(waiting["count"], waiting["oldest"], failed.count())
