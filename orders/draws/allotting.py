"""Give the lots of a draw their outcomes, winners first and by rank, a batch per locked transaction.

Winners get units, as `winners` in `orders/draws/ranking.py` says, of the stock at the freeze: anybody can
compute them from the published file. Units that come meanwhile are for standby, or for sale by arrival,
when the draw is done.
"""

import json
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models.functions import Now

from flashsale.database import Rows, give_back_after
from inventory.models import Sale, Variant
from orders import outcomes
from orders.allotment import given_by
from orders.changes import DoneBefore, change_unreplicated, lock_variants
from orders.models import Draw, Order
from orders.outbox import Event
from orders.outcomes import Outcome, Waiting

BATCH = 4000  # orders in a transaction: others wait for its locks some 0.2 s
_LOOKED_AT = 100_000  # lots in a transaction, of which few can win

# Lots that want more than is left at the begin of the batch cannot win, and need not be looked at.
_NEXT = """
SELECT l.rank, l.order_id, l.sku, l.quantity FROM orders_lot AS l
WHERE l.sale_id = %(sale)s AND l.rank > %(allotted)s
  AND l.rank <= %(until)s
  AND l.quantity <= coalesce((%(left)s::jsonb ->> l.sku)::integer, 0)
ORDER BY l.rank LIMIT %(most)s
"""
_LAST = "SELECT coalesce(max(rank), 0) FROM orders_lot WHERE sale_id = %(sale)s"
_WINNERS = """
SELECT id, product_id, sku, quantity FROM orders_order
WHERE id = ANY(%(entries)s::uuid[]) AND status = 'waiting'
"""
# In the order of the index, which is that of the table. In order of rank each batch would change as many
# pages as it has orders, and PostgreSQL writes each page that changes.
_REST = """
SELECT o.id, o.product_id, o.sku, o.quantity, l.rank
FROM (
    SELECT id, product_id, sku, quantity FROM orders_order
    WHERE sale_id = %(sale)s AND product_id = %(variant)s AND status = 'waiting' AND place IS NULL
    ORDER BY place LIMIT %(most)s
) AS o JOIN orders_lot AS l ON l.order_id = o.id
"""


def allot(sale_id: int) -> bool:
    """Give the next batch its outcomes: first to winners, in order of rank, then to the others. After the
    last one the draw is done. False if the draw is not under way. Raises NotPossible if another sale has
    listed a variant just now, and django.db.DatabaseError."""
    if not Draw.objects.filter(pk=sale_id).exclude(seed="").exists():
        return False
    written: list[Outcome] | None = None
    with suppress(DoneBefore), change_unreplicated([sale_id]) as (sale,):
        variants = lock_variants(list(sale.variants.values_list("pk", flat=True)), [sale])
        draw = Draw.objects.get(pk=sale_id)
        if sale.draw != Sale.Draw.FROZEN:
            raise DoneBefore
        [[last]] = _read(_LAST, {"sale": sale_id})
        all_decided = draw.allotted == last
        outcomes.prefer_indexes()
        batch = _choose_rest(sale, variants) if all_decided else _choose_winners(sale, draw, last)
        outcomes.write(sale, batch, Event.DRAWN)
        done = all_decided and not batch
        if done:
            sale.draw = Sale.Draw.DONE
            draw.drawn_at = Now()
        draw.save(update_fields=["allotted", "left", "drawn_at"])
        written = batch
    if written is not None:
        _tell(sale_id, written, wait_for_it=done)
    return written is not None


def _tell(sale: int, written: list[Outcome], *, wait_for_it: bool) -> None:
    """Replicate a batch while the next one is written: Redis and PostgreSQL work at the same time."""
    if before := _telling.pop(sale, None):
        before.result()
    telling = _teller.submit(give_back_after, outcomes.replicate, sale, written)
    if wait_for_it:
        telling.result()
    else:
        _telling[sale] = telling


_teller = ThreadPoolExecutor(1, thread_name_prefix="draws")
_telling: dict[int, Future[None]] = {}  # of which sale, in this process


def _choose_winners(sale: Sale, draw: Draw, last: int) -> list[Outcome]:
    """The next winners with their outcome. Lowers `draw.left`, and raises `draw.allotted` to the last rank
    that is decided by it; `last` is the last of all."""
    until = min(draw.allotted + _LOOKED_AT, last) if any(draw.left.values()) else last
    asked = {
        "sale": sale.pk,
        "allotted": draw.allotted,
        "until": until,
        "left": json.dumps(draw.left),
        "most": BATCH,
    }
    candidates = _read(_NEXT, asked) if any(draw.left.values()) else []
    won: dict[UUID, int] = {}
    for rank, entry, sku, quantity in candidates:
        if quantity <= draw.left[sku]:
            draw.left[sku] -= quantity
            won[entry] = rank
    draw.allotted = candidates[-1][0] if len(candidates) == BATCH else until
    orders = [Waiting(*row) for row in _read(_WINNERS, {"entries": list(won)})]
    return [Outcome(order, given_by(sale), place=won[order.order]) for order in orders]


def _choose_rest(sale: Sale, variants: Iterable[Variant]) -> list[Outcome]:
    """A batch of those who have not won, with their outcome."""
    batch: list[Outcome] = []
    for variant in variants:
        asked = {"sale": sale.pk, "variant": variant.pk, "most": BATCH - len(batch)}
        for *order, rank in _read(_REST, asked) if len(batch) < BATCH else ():
            batch.append(_lose(sale, Waiting(*order), rank))
    return batch


def _lose(sale: Sale, order: Waiting, rank: int) -> Outcome:
    if sale.standby:
        return Outcome(order, Order.Status.WAITING, place=rank)
    return Outcome(order, Order.Status.REJECTED, Order.Reason.NOT_DRAWN, place=rank)


def _read(statement: str, asked: dict[str, Any]) -> Rows:
    with connection.cursor() as cursor:
        cursor.execute(statement, asked)
        rows: Rows = cursor.fetchall()
        return rows
