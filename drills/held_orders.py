"""Orders that are held, made in bulk without clicks, and the ends of their holds."""

from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from uuid import UUID, uuid4

from django.db import connection

from inventory.gate.entries import Entry
from inventory.models import Sale
from orders import replication, settlement
from orders.changes import change_sales
from orders.tickets import new_purchase

_IN_A_BATCH = 2000
_SWITCH = "ALTER TABLE orders_order {} TRIGGER order_final"
_END = """
UPDATE orders_order SET version = %s,
    hold_until = date_trunc('milliseconds', now()) + %s * interval '1 second'
WHERE id = ANY(%s) AND status = 'held'
"""


def make_entries(sale: Sale, skus: Sequence[str], number: int) -> list[Entry]:
    """Entries of one unit each, by as many shoppers, that no gate has accepted."""
    now = datetime.now(UTC)
    return [
        Entry(f"0-{each}", new_purchase(sale.pk), uuid4(), skus[each % len(skus)], 1, now)
        for each in range(number)
    ]


def hold(sale: Sale, entries: Sequence[Entry]) -> None:
    """Let settlement decide the entries. Called again, it decides those that are no orders yet.

    Raises django.db.DatabaseError and redis.RedisError.
    """
    for start in range(0, len(entries), _IN_A_BATCH):
        batch = list(entries[start : start + _IN_A_BATCH])
        sale.refresh_from_db()
        while settlement.decide(sale.pk, sale.epoch, batch) is None:  # a worker settles the sale
            sale.refresh_from_db()
    replication.replicate(sale.pk)


def end_holds(sale: Sale, orders: Collection[UUID], seconds: float) -> None:
    """Let the holds of these orders end together, in so many seconds."""
    with change_sales([sale.pk]) as (locked,), connection.cursor() as cursor:
        cursor.execute(_SWITCH.format("DISABLE"))
        cursor.execute(_END, [locked.version, seconds, list(orders)])
        cursor.execute(_SWITCH.format("ENABLE"))
