"""Give the lots of a draw their outcomes, in order of rank, a batch per locked transaction.

Winners get units, as `winners` in `orders/draws/ranking.py` says, of what was in stock at the freeze:
anybody can compute them from the published file. Units that come meanwhile are for standby, or for sale
by arrival, when the draw is done.
"""

from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Any

from django.db import connection
from django.db.models.functions import Now

from flashsale.database import give_back_after
from inventory.models import Sale
from orders import outcomes
from orders.allotment import given_by
from orders.changes import DoneBefore, change_unreplicated, lock_variants
from orders.models import Draw, Order
from orders.outcomes import Outcome, Waiting

BATCH = 4000  # lots in a transaction: others wait for its locks some 0.2 s

_NEXT = """
SELECT l.rank, o.status, o.id, o.product_id, o.sku, o.quantity
FROM orders_lot AS l JOIN orders_order AS o ON o.id = l.order_id
WHERE l.sale_id = %(sale)s AND l.rank > %(allotted)s AND l.rank <= %(allotted)s + %(most)s
ORDER BY l.rank
"""


def allot(sale_id: int) -> bool:
    """Give the next batch of ranks its outcomes; after the last one the draw is done. False if the draw is
    not under way. Raises NotPossible if another sale has listed a variant just now, and
    django.db.DatabaseError."""
    if not Draw.objects.filter(pk=sale_id).exclude(seed="").exists():
        return False
    written: list[Outcome] | None = None
    with suppress(DoneBefore), change_unreplicated([sale_id]) as (sale,):
        variants = sale.variants.values_list("pk", flat=True)
        lock_variants(list(variants), [sale])
        draw = Draw.objects.get(pk=sale_id)
        if sale.draw != Sale.Draw.FROZEN:
            raise DoneBefore
        batch, ranks = _decide(sale, draw)
        outcomes.write(sale, batch)
        draw.allotted += ranks
        done = ranks < BATCH
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


def _decide(sale: Sale, draw: Draw) -> tuple[list[Outcome], int]:
    """The outcomes of the next batch, and how many ranks it has. Lowers `draw.left`."""
    asked: dict[str, Any] = {"sale": sale.pk, "allotted": draw.allotted, "most": BATCH}
    with connection.cursor() as cursor:
        cursor.execute(_NEXT, asked)
        rows = cursor.fetchall()
    batch, given = [], given_by(sale)
    for rank, status, *order in rows:
        waiting = Waiting(*order)
        if status != Order.Status.WAITING:
            continue  # not by this code: `refuse_during_draw`
        if waiting.quantity <= draw.left.get(waiting.sku, 0):
            draw.left[waiting.sku] -= waiting.quantity
            batch.append(Outcome(waiting, given, place=rank))
        elif sale.standby:
            batch.append(Outcome(waiting, Order.Status.WAITING, place=rank))
        else:
            batch.append(
                Outcome(waiting, Order.Status.REJECTED, Order.Reason.NOT_DRAWN, place=rank)
            )
    return batch, len(rows)
