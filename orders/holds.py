"""Holds: units that are a shopper's until a time. A hold is confirmed, given back or expires, and
never two of these. While a payment of it is being captured it does neither expire nor is given back.

Settlement makes holds, `orders/confirmation.py` confirms them, `orders/cancellation.py` ends one on
request. Which of them comes first is decided by the lock of the sale and of the order's row; that a hold
has ended, by PostgreSQL's clock under these locks.
"""

import logging
from collections import Counter, defaultdict
from collections.abc import Callable, Collection
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models import Case, Count, Sum, When
from django.db.models.functions import Coalesce, Now

from accounts import people
from flashsale.database import require_transaction
from flashsale.observe import logs
from inventory import stock
from inventory.models import Listing, Sale, StockMovement, Variant
from orders import outbox
from orders.changes import (
    DoneBefore,
    NotReplicated,
    change_sales,
    count_orders,
    find_selling,
    lock_variant,
    lock_variants,
    take_arrow,
)
from orders.models import Order

log = logging.getLogger(__name__)

# Pages count down to `Order.hold_until`. A checkout that is sent in the last second is on its way
# for a moment longer.
GRACE = 5  # seconds
BATCH = 2000  # orders in a transaction
OVERDUE = timedelta(minutes=1)  # after the end: a caretaker that lives has expired it long before

_FIND = """
SELECT DISTINCT sale_id, product_id FROM orders_order
WHERE status = 'held' AND NOT capturing AND hold_until <= now() - %(grace)s * interval '1 second'
"""
# `now()` is the begin of the transaction: a wait for the locks lets no hold end earlier. The second look
# is at each row as it is when its lock is held.
_EXPIRE = """
WITH due AS MATERIALIZED (
    SELECT id FROM orders_order
    WHERE sale_id = %(sale)s AND product_id = ANY(%(variants)s)
      AND status = 'held' AND NOT capturing AND hold_until <= now() - %(grace)s * interval '1 second'
    ORDER BY hold_until, id LIMIT %(most)s
)
UPDATE orders_order SET status = 'expired', version = %(version)s
WHERE id IN (SELECT id FROM due)
  AND status = 'held' AND NOT capturing AND hold_until <= now() - %(grace)s * interval '1 second'
RETURNING id, product_id, quantity
"""


Within = Callable[[Order], None]


def begin_capture(order: UUID) -> bool:
    """Keep a held order from expiring until `end_capture` or its next status. False if it is not held,
    or another payment of it is being captured.

    Must run in a transaction: the row stays locked until its end. That lock is enough. Expiry looks
    again under it, and no unit moves, so that gate and pages have nothing to learn.
    """
    require_transaction()
    held = Order.objects.filter(pk=order, status=Order.Status.HELD, capturing=False)
    return bool(held.update(capturing=True))


def end_capture(order: UUID) -> None:
    """Let a hold expire again: its payment was not captured. Must run in a transaction."""
    require_transaction()
    Order.objects.filter(pk=order, status=Order.Status.HELD, capturing=True).update(capturing=False)


def revive(order: UUID, within: Within | None = None) -> bool:
    """Hold an expired order again, for a payment that came late and is captured at once. False if its
    units are not free, the shopper's limit does not allow them, or it has not expired.

    The hold does not expire before `end_capture`, and then at once. One transaction, with the locks
    of `orders/cancellation.py` in their order. `within` is called as by `confirm_hold`. Raises
    Order.DoesNotExist, and the errors of `orders/changes.py`.
    """
    seen = Order.objects.get(pk=order)
    if seen.variant_id is None:
        return False
    try:
        with change_sales([seen.sale_id, *find_selling(seen.variant_id)]) as sales:
            variant = lock_variant(seen.variant_id, sales)
            locked = Order.objects.select_for_update(no_key=True).get(pk=order)
            sale = next(sale for sale in sales if sale.pk == locked.sale_id)
            sellers = [each for each in sales if not each.finished] or [sale]
            if locked.status != Order.Status.EXPIRED or not _has_room(
                locked, sale, variant, sellers
            ):
                raise DoneBefore
            if within:
                within(locked)
            take_arrow([locked], Order.Status.HELD, sale)
            begin_capture(locked.pk)
            sold = StockMovement.Reason.SOLD
            stock.move(variant, -locked.quantity, sold, sales=sellers, order=locked.pk)
    except DoneBefore:
        return False
    return True


def _has_room(order: Order, sale: Sale, variant: Variant, sellers: list[Sale]) -> bool:
    """Whether units are free, and the shopper may have so many more. Under the locks. Units for which
    others wait in a sale that has the variant now are theirs. As in settlement, a sale that asks for a
    proof counts for all ids of a person."""
    buyers = people.ids_of_same(order.shopper) if sale.entrants else {order.shopper}
    own = Order.objects.filter(sale=sale, shopper__in=buyers).exclude(pk=order.pk)
    waiting = Case(When(status=Order.Status.WAITING, then="quantity"), default="owned")
    claimed = own.aggregate(units=Coalesce(Sum(waiting), 0))["units"]
    awaited = any(each.awaits_draw or variant.sku in each.waiting for each in sellers)
    free = variant.stock >= order.quantity and not awaited
    return free and claimed + order.quantity <= sale.limit


def find_due() -> dict[int, list[int]]:
    """The sales with holds that have ended, and the variants of these holds: where to look, and not
    yet a decision."""
    due = defaultdict(list)
    with connection.cursor() as cursor:
        cursor.execute(_FIND, {"grace": GRACE})
        for sale, variant in cursor.fetchall():
            due[sale].append(variant)
    return due


def count_overdue() -> dict[Sale, int]:
    """Count the holds that should have expired long ago, by sale: their units are not on sale."""
    overdue = Order.objects.filter(status=Order.Status.HELD, hold_until__lt=Now() - OVERDUE)
    counted = dict(overdue.order_by().values_list("sale").annotate(Count("pk")))
    return {sale: counted[sale.pk] for sale in Sale.objects.filter(pk__in=counted)}


def expire(sale: int, variants: Collection[int]) -> int:
    """Expire the sale's holds of these variants that have ended, in batches. Returns their number.

    Each batch is a transaction and a delta of its own: others wait for its locks some 0.1 s. Several
    processes at once share the batches. Raises NotPossible if another sale has listed a variant just
    now, and django.db.DatabaseError; the next call goes on.
    """
    total = 0
    while expired := _expire_batch(sale, variants):
        total += expired
        if expired < BATCH:
            break
    return total


def _expire_batch(sale_id: int, variants: Collection[int]) -> int:
    selling = dict(
        Listing.objects.filter(variant__in=variants, sale__finished=False).values_list(
            "variant", "sale"
        )
    )
    expired: list[tuple[UUID, int, int]] = []
    try:
        with change_sales([sale_id, *selling.values()]) as sales:
            by_key = {sale.pk: sale for sale in sales}
            locked = lock_variants(variants, sales)
            expired = _end_holds(by_key[sale_id], variants)
            if not expired:
                raise DoneBefore
            units: Counter[int] = Counter()
            for _, variant, quantity in expired:
                units[variant] += quantity
            for each in [variant for variant in locked if units[variant.pk]]:
                seller = by_key.get(selling.get(each.pk, 0))
                stock.move(
                    each,
                    units[each.pk],
                    StockMovement.Reason.EXPIRED,
                    sales=[seller] if seller else [],
                    note=f"{by_key[sale_id].slug}, version {by_key[sale_id].version}",
                )
    except DoneBefore:
        return 0
    except NotReplicated as warning:
        log.warning("sale %s: %s", sale_id, warning)  # the caretaker replicates it
    _log(sale_id, expired)
    return len(expired)


def _end_holds(sale: Sale, variants: Collection[int]) -> list[tuple[UUID, int, int]]:
    """Expire a batch and tell of it, under the locks of sales and variants. Returns order, variant and
    units."""
    asked: dict[str, Any] = {
        "sale": sale.pk,
        "variants": list(variants),
        "grace": GRACE,
        "most": BATCH,
        "version": sale.version,
    }
    with connection.cursor() as cursor:
        cursor.execute(_EXPIRE, asked)
        expired: list[tuple[UUID, int, int]] = cursor.fetchall()
    if expired:
        count_orders(sale, Order.Status.HELD, -len(expired), "")
        outbox.tell_expired([order for order, _, _ in expired])
    return expired


def _log(sale: int, expired: list[tuple[UUID, int, int]]) -> None:
    log.info("sale %s: %d holds have expired", sale, len(expired))
    logs.log_steps((order, "expired", {"sale": sale}) for order, _, _ in expired)
