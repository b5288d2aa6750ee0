"""Tells the gate what PostgreSQL has committed: the one way in which it learns anything.

The gate is a replica and the sale's `version` its position. Settlement, staff actions, the caretaker
and the rebuild of a cold gate all come here, so nothing drifts, a late tale is harmless, and a lost
one heals.
"""

import logging
from datetime import datetime

from django.db import connection, transaction

from inventory import announce, gate
from inventory.models import Product, Sale

log = logging.getLogger(__name__)

_ATTEMPTS = 5
_PART = 5_000  # answers that one script applies to a cold gate: some 20 ms of Redis' time
_ANNOUNCED = 2_000  # outcomes in one message; a rebuild is not news to anybody

# Ids as the gate keeps them, and as Python need not make objects of: a rebuild reads 100,000 rows.
_ANSWERS = """
SELECT replace(o.id::text, '-', ''), o.status, o.reason, replace(o.shopper::text, '-', ''),
       coalesce(p.sku, ''), o.quantity
FROM orders_order AS o LEFT JOIN inventory_product AS p ON p.id = o.product_id
WHERE o.sale_id = %(sale)s AND o.version > %(since)s
"""
_BOUGHT = """
SELECT replace(shopper::text, '-', ''),
       coalesce(sum(quantity) FILTER (WHERE status = 'confirmed'), 0)
FROM orders_order
WHERE sale_id = %(sale)s AND shopper IN (
    SELECT shopper FROM orders_order WHERE sale_id = %(sale)s AND version > %(since)s)
GROUP BY shopper
"""


def tell(sale: int) -> bool:
    """Brings the gate to PostgreSQL's version and tells the pages. True once the gate stands there.

    False where the caretaker has to act first: the gate is new, wiped, or ahead (a restored backup).
    Must run outside a transaction. Raises ColdGate and redis.RedisError.
    """
    return _tell(sale, mark="")


def warm(sale: int) -> bool:
    """Tells a cold gate all that it does not know, and opens it if its mark is still the same then."""
    with transaction.atomic():
        locked = Sale.objects.select_for_update(no_key=True).get(pk=sale)
        # Read under the lock: of several caretakers, each stores the mark that really stands.
        _, mark = gate.stands_at(sale)
        if mark and locked.epoch != mark:
            locked.epoch = mark
            locked.save(update_fields=["epoch"])
    return bool(mark) and _tell(sale, mark)


def _tell(sale: int, mark: str) -> bool:
    for _ in range(_ATTEMPTS):
        stands, _ = gate.stands_at(sale)
        if stands == 0 and not mark:
            return False  # new or wiped: only `warm` may tell it everything
        tale = tale_since(sale, stands, mark)
        if tale is None or stands > tale.to:
            return False
        if stands == tale.to and not mark:
            return True
        if _applied(sale, tale):
            announce.changed(sale, tale.answers if len(tale.answers) <= _ANNOUNCED else [])
            return True
    log.warning("sale %s: the gate kept moving while it was told", sale)
    return False


def _applied(sale: int, tale: gate.Tale) -> bool:
    """Whether the gate stands where the tale ends."""
    size = _PART if tale.mark else max(1, len(tale.answers))
    stands = 0
    for part in tale.parts(size):
        applied, stands = gate.tell(sale, part)
        if not applied:
            break
    return stands >= tale.to


def tale_since(sale: int, since: int, mark: str = "") -> gate.Tale | None:
    """What has changed after version `since`, from one database snapshot.

    None for a sale that has no gate: a draft, or a finished one.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        told = Sale.objects.get(pk=sale)
        if told.finished or told.status == Sale.Status.DRAFT:
            return None
        cursor.execute(_ANSWERS, {"sale": sale, "since": since})
        answers = cursor.fetchall()
        bought = {}
        if answers:
            cursor.execute(_BOUGHT, {"sale": sale, "since": since})
            bought = dict(cursor.fetchall())
        stock = dict(Product.objects.filter(listings__sale=told).values_list("sku", "stock"))
    rules = {
        "status": told.status,
        "opens_at": _milliseconds(told.opens_at),
        "closes_at": _milliseconds(told.closes_at),
        "limit": told.limit,
    }
    return gate.Tale(since, told.version, rules, stock, answers, bought, mark)


def _milliseconds(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)
