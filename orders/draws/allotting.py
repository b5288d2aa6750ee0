"""Give the lots of a draw their outcomes, winners first and by rank, a batch per locked transaction.

Winners get units, as `winners` in `orders/draws/ranking.py` says, of the stock at the freeze: anybody can
compute them from the published file. Units that come meanwhile are for standby, or for sale by arrival,
when the draw is done.
"""

import json
from collections import deque
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Any, NamedTuple
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
_LOOKED_AT = 100_000  # lots that are read at once: there is no index of ranks (`Lot`)

# Lots that want more than is left cannot win, and need not be looked at.
_NEXT = """
SELECT rank, order_id, sku, quantity FROM orders_lot
WHERE sale_id = %(sale)s AND rank > %(after)s AND rank <= %(until)s
  AND quantity <= coalesce((%(left)s::jsonb ->> sku)::integer, 0)
ORDER BY rank
"""
_WINNERS = """
SELECT id, product_id, sku, quantity FROM orders_order
WHERE id = ANY(%(entries)s::uuid[]) AND status = 'waiting'
"""
# One statement, because a million need not become objects. In the order of the index, which is that of the
# table. In order of rank each batch would change as many pages as it has orders, and PostgreSQL writes each
# page that changes.
_REST = """
WITH chosen AS MATERIALIZED (
    SELECT id FROM orders_order
    WHERE sale_id = %(sale)s AND product_id = %(variant)s AND status = 'waiting' AND place IS NULL
    ORDER BY place LIMIT %(most)s
)
UPDATE orders_order AS o
SET status = %(status)s, reason = %(reason)s, version = %(version)s, place = l.rank
FROM chosen JOIN orders_lot AS l ON l.order_id = chosen.id
WHERE o.id = chosen.id
RETURNING o.id, o.product_id, o.sku, o.quantity, o.place
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
        all_decided = draw.allotted == draw.entries
        outcomes.prefer_indexes()
        batch = _write_rest(sale, variants) if all_decided else _write_winners(sale, draw)
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


def _write_winners(sale: Sale, draw: Draw) -> list[Outcome]:
    """Write the next winners. Lowers `draw.left`, and raises `draw.allotted` to the last decided rank, or
    to the number of entries if no units are left."""
    won: dict[UUID, int] = {}
    ahead = _look_ahead(sale, draw)
    while ahead.candidates and len(won) < BATCH:
        rank, entry, sku, quantity = ahead.candidates.popleft()
        if quantity <= draw.left[sku]:
            draw.left[sku] -= quantity
            won[entry] = rank
        draw.allotted = rank
    if not ahead.candidates:
        draw.allotted = ahead.until
    _ahead[sale.pk] = ahead._replace(after=draw.allotted)
    orders = [Waiting(*row) for row in _read(_WINNERS, {"entries": list(won)})]
    batch = [Outcome(order, given_by(sale), place=won[order.order]) for order in orders]
    outcomes.write(sale, batch, Event.DRAWN)
    return batch


class _Ahead(NamedTuple):
    """The lots of the ranks above `after`, up to `until`, that may win, by rank."""

    after: int
    until: int
    candidates: deque[tuple[int, UUID, str, int]]


_ahead: dict[int, _Ahead] = {}  # of which sale, in this process


def _look_ahead(sale: Sale, draw: Draw) -> _Ahead:
    """Read them, unless they are at hand: ranks never change, and units become fewer."""
    found = _ahead.pop(sale.pk, None)
    if found and found.after == draw.allotted and found.candidates:
        return found
    assert draw.entries is not None
    if not any(draw.left.values()):
        return _Ahead(draw.allotted, draw.entries, deque())
    until = min(draw.allotted + _LOOKED_AT, draw.entries)
    asked = {"sale": sale.pk, "after": draw.allotted, "until": until, "left": json.dumps(draw.left)}
    return _Ahead(draw.allotted, until, deque(_read(_NEXT, asked)))


def _write_rest(sale: Sale, variants: Iterable[Variant]) -> list[Outcome]:
    """Write a batch of those who have not won: with standby they get a place, without a rejection."""
    waits = sale.standby
    status = Order.Status.WAITING if waits else Order.Status.REJECTED
    reason = "" if waits else Order.Reason.NOT_DRAWN
    asked = {"sale": sale.pk, "status": status, "reason": reason, "version": sale.version}
    batch: list[Outcome] = []
    for variant in variants:
        more = {"variant": variant.pk, "most": BATCH - len(batch)}
        for *order, rank in _read(_REST, asked | more) if len(batch) < BATCH else ():
            batch.append(Outcome(Waiting(*order), status, reason, place=rank))
    outcomes.count(sale, batch)
    return batch


def _read(statement: str, asked: dict[str, Any]) -> Rows:
    with connection.cursor() as cursor:
        cursor.execute(statement, asked)
        rows: Rows = cursor.fetchall()
        return rows
