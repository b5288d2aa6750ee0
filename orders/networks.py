"""The network from which a click came, kept as a keyed hash: staff see that one network holds many units,
but not its address.

The hash is of one sale, so it links nothing across sales. It is carried in sales with a hold only, and
kept only with orders that are held first (`orders/settlement_statements.py`). A holder of the secret key
could try all IPv4 addresses: the hash is personal data, and is erased soon.
"""

import logging
from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models import Count, Q, QuerySet
from django.utils import timezone

from flashsale.database import bounded_transaction
from flashsale.http.request import UNKNOWN_ADDRESS
from flashsale.http.signing import pseudonym
from inventory.models import Sale
from orders.models import Order

log = logging.getLogger(__name__)

KEPT = 7  # days after the end of the sale, fewer if its contacts are kept for fewer
BATCH = 2000  # orders in a transaction
_LABEL = 4  # characters

# Two that erase at the same time share the rows.
_ERASE = """
UPDATE orders_order SET network = '' WHERE id IN (
    SELECT id FROM orders_order
    WHERE sale_id = %(sale)s AND network <> '' AND status <> 'held'
    LIMIT %(most)s FOR NO KEY UPDATE SKIP LOCKED
)
"""


def network_of(sale: int, address: str) -> str:
    """Hash the address of a click, reduced as for the rate (`Request.address`), in hex. "" if it is not
    known."""
    if address == UNKNOWN_ADDRESS:
        return ""
    return pseudonym("network", b"%d %s" % (sale, address.encode()))


def label(network: str) -> str:
    """A short name of a network for staff."""
    return network[:_LABEL]


def erase(orders: Collection[UUID]) -> int:
    """Erase the networks of these orders. Returns how many had one."""
    return Order.objects.filter(pk__in=orders).exclude(network="").update(network="")


def count_overdue(now: datetime | None = None) -> int:
    """Count the orders whose network has to go: see `erase_overdue`."""
    counted = _over().filter(sale__in=_list_overdue_sales(now or timezone.now()))
    return counted.count()


def erase_overdue(now: datetime | None = None) -> int:
    """Erase the networks of finished sales that were over KEPT days ago, in batches; not of orders that are
    still held. Returns how many. Raises django.db.DatabaseError."""
    total = 0
    for sale in _list_overdue_sales(now or timezone.now()):
        while erased := _erase_batch(sale):
            total += erased
    if total:
        log.info("the networks of %d orders are erased: their time is over", total)
    return total


def _list_overdue_sales(now: datetime) -> list[int]:
    counted = dict(_over().values_list("sale").annotate(Count("pk")))
    finished = Sale.objects.filter(pk__in=counted, finished=True)
    return [sale.pk for sale in finished if sale.closes_at + _kept(sale) <= now]


def _kept(sale: Sale) -> timedelta:
    return timedelta(days=min(sale.contact_days or KEPT, KEPT))


def _over() -> "QuerySet[Order]":
    """By index: hardly an old order has a network."""
    return Order.objects.order_by().filter(~Q(network="") & ~Q(status=Order.Status.HELD))


def _erase_batch(sale: int) -> int:
    asked: dict[str, Any] = {"sale": sale, "most": BATCH}
    with bounded_transaction(), connection.cursor() as cursor:
        cursor.execute(_ERASE, asked)
        return int(cursor.rowcount)
