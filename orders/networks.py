"""The networks from which a click came, as keyed hashes: staff see that one network holds many units, and
the gate bounds the units of each, but neither sees its address.

A hash is of one sale, so it links nothing across sales. It is kept with orders that are held first
(`orders/settlement_statements.py`), and in the gate of a sale with a bound per network. A holder of the
secret key could try all IPv4 addresses: the hash is personal data, and is erased soon.
"""

import logging
import socket
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
# Wider networks of IPv6, of which each may take twice as much as the one before: a customer gets one of
# 56 bits at home and one of 48 at work (RIPE 690), a telephone one of 64 from among its neighbours'.
_WIDER = (7, 6)  # bytes
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
    return _hash(sale, address)


def list_networks(sale: int, address: str) -> tuple[str, ...]:
    """Hash the networks whose units a sale bounds: the address, reduced as for the rate, then of IPv6 the
    networks of 56 and 48 bits around it. Clicks whose address is not known are of one network, as for the
    rate."""
    if ":" not in address:
        return (_hash(sale, address),)
    packed = socket.inet_pton(socket.AF_INET6, address)
    wider = (f"{packed[:size].hex()}/{8 * size}" for size in _WIDER)
    return (_hash(sale, address), *(_hash(sale, network) for network in wider))


def _hash(sale: int, network: str) -> str:
    return pseudonym("network", b"%d %s" % (sale, network.encode()))


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
