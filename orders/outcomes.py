"""What becomes of waiting orders: they get their units, a place, or a rejection, a batch in one statement.

A draw (`orders/draws/`) or standby (`orders/standby.py`) decides it; both write it here, under the locks
of the sale and the variants. These are enough: whatever changes a waiting order locks its sale.
"""

import logging
from collections import Counter
from collections.abc import Collection
from typing import Any, NamedTuple
from uuid import UUID

from django.db import connection

from flashsale.database import require_transaction
from flashsale.observe import logs
from inventory import stock
from inventory.models import Sale
from orders import outbox
from orders.allotment import add_waiting
from orders.changes import NotReplicated, replicate_change
from orders.models import Order
from orders.settlement_statements import array_of

log = logging.getLogger(__name__)

# All holds of a batch end together, in whole milliseconds, as those of settlement.
_WRITE = f"""
WITH {stock.SELLING}, clock AS MATERIALIZED (
    SELECT date_trunc('milliseconds', clock_timestamp()) + %(minutes)s * interval '1 minute' AS until
)
UPDATE orders_order AS o
SET status = t.status, reason = t.reason, version = %(version)s, place = coalesce(o.place, t.place),
    hold_until = CASE WHEN t.status = 'held' THEN (SELECT until FROM clock) END
FROM unnest(%(ids)s::uuid[], %(statuses)s::text[], %(reasons)s::text[], %(places)s::bigint[])
     AS t (id, status, reason, place)
WHERE o.id = t.id AND o.status = 'waiting'
"""  # noqa: S608  # a constant


class Waiting(NamedTuple):
    """A waiting order, as it is under the locks."""

    order: UUID
    variant: int
    sku: str
    quantity: int


class Outcome(NamedTuple):
    """What a waiting order becomes. `place` is the one that it gets; None: it keeps its own."""

    order: Waiting
    status: Order.Status
    reason: str = ""
    place: int | None = None


def prefer_indexes() -> None:
    """Look up a batch's rows one by one until the transaction ends: PostgreSQL would rather read the whole
    table, which has a million, for each batch."""
    require_transaction()
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT set_config(name, 'off', true) FROM unnest(%s::text[]) AS name",
            [["enable_seqscan", "enable_hashjoin", "enable_mergejoin"]],
        )


def write(sale: Sale, outcomes: Collection[Outcome], held: outbox.Event) -> None:
    """Write a batch of outcomes in the locked sale's new version: orders, stock, ledger and counts.

    The caller has locked the variants too, has read the orders under these locks, and saves the sale.
    The outbox tells of holds by the event `held`: their shoppers have not clicked just now, and may look
    at no page. It tells of nothing else: without a hold there is nothing to do before a time.
    """
    require_transaction()
    if not outcomes:
        return
    given = [each for each in outcomes if each.status.owns_units]
    sold: Counter[int] = Counter()
    for each in given:
        sold[each.order.variant] += each.order.quantity
    asked: dict[str, Any] = {
        "sale": sale.pk,
        "version": sale.version,
        "minutes": sale.hold_minutes,
        "sold": list(sold),
        "units": list(sold.values()),
        "ids": array_of(each.order.order.hex for each in outcomes),
        "statuses": array_of(each.status.value for each in outcomes),
        "reasons": array_of(str(each.reason) for each in outcomes),
        "places": array_of("NULL" if each.place is None else each.place for each in outcomes),
    }
    with connection.cursor() as cursor:
        cursor.execute(_WRITE, asked)
        if cursor.rowcount != len(outcomes):
            raise RuntimeError(
                f"sale {sale.pk}: an order waits no longer, although its sale was locked"
            )
    if holds := [each.order.order for each in given if each.status == Order.Status.HELD]:
        outbox.tell(holds, held)
    count(sale, outcomes)


def replicate(sale: int, outcomes: Collection[Outcome]) -> None:
    """Tell the gate and the pages of committed outcomes. The caretaker repeats what Redis does not take."""
    logs.log_steps(
        (each.order.order, each.status.value, {"sale": sale, "reason": str(each.reason)})
        for each in outcomes
    )
    try:
        replicate_change(sale)
    except NotReplicated as late:
        log.warning("sale %s: %s", sale, late)


def count(sale: Sale, outcomes: Collection[Outcome]) -> None:
    """Count outcomes that are written in the locked sale, which the caller saves."""
    given = sum(each.status.owns_units for each in outcomes)
    if sale.has_checkout:
        sale.held += given
    else:
        sale.confirmed += given
    left = Counter(each.order.sku for each in outcomes if each.status != Order.Status.WAITING)
    sale.waiting = add_waiting(sale.waiting, {sku: -orders for sku, orders in left.items()})
