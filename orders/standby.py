"""Standby: who waits gets what comes back, in order of place, and a rejection when the sale ends.

Whatever brings units back (an expired hold, a cancellation, a restock, a correction) only puts them into
stock. New entries cannot take them: settlement lets them wait behind (`orders/allotment.py`). The caretaker
gives them away here, to the first that fit.
"""

from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime
from typing import Any

from django.db import connection
from django.db.models import QuerySet

from flashsale.database import read_clock
from inventory.models import Sale, Variant
from orders import outcomes
from orders.allotment import given_by
from orders.changes import DoneBefore, change_unreplicated, lock_variants
from orders.models import Order
from orders.outbox import Event
from orders.outcomes import Outcome, Waiting

BATCH = 2000  # orders in a transaction: others wait for its locks some 0.1 s
MOST_COUNTED = 1000  # orders before another one

_OVER = (Sale.Draw.NONE, Sale.Draw.DONE)  # there is no draw, or it has given everybody a place

_FIRST_THAT_FIT = """
SELECT id, product_id, sku, quantity FROM orders_order
WHERE sale_id = %(sale)s AND product_id = %(variant)s AND status = 'waiting' AND place IS NOT NULL
  AND quantity <= %(left)s
ORDER BY place LIMIT %(most)s
"""
# The last ones first: who has a lower place must be able to get units until the very end.
_LAST = """
SELECT id, product_id, sku, quantity FROM orders_order
WHERE sale_id = %(sale)s AND status = 'waiting'
ORDER BY place DESC NULLS FIRST, id LIMIT %(most)s
"""
_BEFORE = """
SELECT count(*) FROM (
    SELECT FROM orders_order
    WHERE sale_id = %(sale)s AND product_id = %(variant)s AND status = 'waiting' AND place < %(place)s
    LIMIT %(most)s
) AS before
"""


def find() -> list[int]:
    """The sales for which `serve` may have something to do."""
    undrained = Sale.objects.filter(finished=False).exclude(status=Sale.Status.DRAFT)
    waiting = undrained.exclude(waiting={}).filter(draw__in=(*_OVER, Sale.Draw.OFF))
    return list(waiting.values_list("pk", flat=True))


def serve(sale: int) -> int:
    """Give the sale's stock to those who wait, in batches. If the sale has ended, then reject the rest:
    sold_out, or not_drawn if the draw was called off. Returns the number of orders that changed.

    Each batch is a transaction and a delta of its own, and several processes at once share them. A paused
    sale gives nothing until it goes on or ends. Entries that are in the line of an ended sale do not
    matter: they come after all who wait. Raises NotPossible if another sale has listed a variant just now,
    and django.db.DatabaseError; the next call goes on.
    """
    total = 0
    while _has_work(sale) and (changed := _serve_batch(sale)):
        total += changed
    return total


def count_before(order: Order) -> int:
    """How many orders wait for the same variant before this one; at most MOST_COUNTED. 0 for an order
    without a place. Raises django.db.DatabaseError."""
    if order.status != Order.Status.WAITING or order.place is None:
        return 0
    asked: dict[str, Any] = {
        "sale": order.sale_id,
        "variant": order.variant_id,
        "place": order.place,
        "most": MOST_COUNTED,
    }
    with connection.cursor() as cursor:
        cursor.execute(_BEFORE, asked)
        [counted] = cursor.fetchone() or (0,)
    return int(counted)


# --- Helpers --------------------------------------------------------------------------------------


def _gives(sale: Sale, now: datetime) -> bool:
    """Whether standby gets units at `now`. A sale that has ended gives once more what came back before."""
    return sale.draw in _OVER and (sale.status != Sale.Status.PAUSED or sale.ended(now))


def _is_over(sale: Sale, now: datetime) -> bool:
    """Whether only the stock at `now` is still given."""
    return sale.draw == Sale.Draw.OFF or (sale.draw in _OVER and sale.ended(now))


def _has_work(sale_id: int) -> bool:
    """Look without locks: units that are too few for all who wait must not cost a lock twice a second."""
    sale, now = Sale.objects.get(pk=sale_id), read_clock()
    if not sale.waiting or _is_over(sale, now):
        return bool(sale.waiting)
    stocked = _variants_with_waiting(sale).filter(stock__gt=0) if _gives(sale, now) else ()
    return any(_list_fitting(sale, each, each.stock, most=1) for each in stocked)


def _serve_batch(sale_id: int) -> int:
    written: list[Outcome] = []
    with suppress(DoneBefore), change_unreplicated([sale_id]) as (sale,):
        keys = _variants_with_waiting(sale).values_list("pk", flat=True)
        variants = lock_variants(list(keys), [sale])
        outcomes.prefer_indexes()
        batch = _decide(sale, variants)
        if not batch:
            raise DoneBefore
        outcomes.write(sale, batch, Event.SERVED)
        written = batch
    if written:
        outcomes.replicate(sale_id, written)
    return len(written)


def _decide(sale: Sale, variants: Iterable[Variant]) -> list[Outcome]:
    """The outcomes of one batch, under the locks."""
    now = read_clock()
    if _gives(sale, now) and (first := _choose(sale, variants)):
        return [Outcome(order, given_by(sale)) for order in first]
    if _is_over(sale, now):
        off = sale.draw == Sale.Draw.OFF
        reason = Order.Reason.NOT_DRAWN if off else Order.Reason.SOLD_OUT
        asked = {"sale": sale.pk, "most": BATCH}
        last = _list(_LAST, asked)
        return [Outcome(order, Order.Status.REJECTED, reason) for order in last]
    return []


def _choose(sale: Sale, variants: Iterable[Variant]) -> list[Waiting]:
    """The first that fit, of each variant in order of place, at most BATCH."""
    chosen: list[Waiting] = []
    for variant in variants:
        left, most = variant.stock, BATCH - len(chosen)
        if left == 0 or most == 0:
            continue
        for order in _list_fitting(sale, variant, left, most=most):
            if order.quantity <= left:
                left -= order.quantity
                chosen.append(order)
    return chosen


def _variants_with_waiting(sale: Sale) -> QuerySet[Variant]:
    return Variant.objects.filter(listings__sale=sale, sku__in=sale.waiting)


def _list_fitting(sale: Sale, variant: Variant, left: int, *, most: int) -> list[Waiting]:
    asked = {"sale": sale.pk, "variant": variant.pk, "left": left, "most": most}
    return _list(_FIRST_THAT_FIT, asked)


def _list(statement: str, asked: dict[str, Any]) -> list[Waiting]:
    with connection.cursor() as cursor:
        cursor.execute(statement, asked)
        return [Waiting(*row) for row in cursor.fetchall()]
