"""Check a draw against PostgreSQL: its published facts, and the outcomes of its entries.

`orders/draws/record_check.py` checks the record as outsiders can. Here the orders are compared as well: the
lots are their entries, and who was drawn has got units.
"""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import NamedTuple
from uuid import UUID

from django.db import connection

from inventory.models import Sale
from orders.draws import ranking, record, record_check
from orders.draws.publication import find_revealed, header_of
from orders.draws.record import Lot as Entry
from orders.draws.record_check import Fault, Published
from orders.models import Draw, Lot, Order

_PIECE = 10_000  # lots that are read at once
_RANKED = 100_000  # by rank, of which there is no index
_WITHOUT_UNITS = (Order.Status.WAITING, Order.Status.REJECTED)

_UNLIKE = """
SELECT count(*) FROM orders_lot AS l LEFT JOIN orders_order AS o ON o.id = l.order_id
WHERE l.sale_id = %(sale)s AND (o.id IS NULL OR o.sale_id <> l.sale_id OR o.sku <> l.sku
    OR o.quantity <> l.quantity OR (o.reason = 'set_aside') <> l.set_aside
    OR o.place IS DISTINCT FROM l.rank AND (o.place IS NOT NULL OR %(done)s))
"""
_GIVEN = """
SELECT l.order_id FROM orders_lot AS l JOIN orders_order AS o ON o.id = l.order_id
WHERE l.sale_id = %(sale)s AND l.rank <= %(allotted)s AND (o.owned > 0 OR o.status = 'expired')
"""


class Verified(NamedTuple):
    """The faults of a draw, and how many entries it has."""

    faults: list[Fault]
    entries: int


def verify(sale: Sale) -> Verified:
    """Recompute the draw of a sale. Takes 32 bytes of memory for each entry, and some for each winner.

    Raises Unpublished and django.db.DatabaseError.
    """
    draw = find_revealed(sale)
    header = header_of(sale, draw)
    published = Published(draw.commitment, draw.beacon, draw.round, draw.root)
    faults = record_check.check(record.Record(header, _read_entries(sale)), published)
    return Verified([*faults, *_compare_orders(sale, draw)], header.entries)


def _read_entries(sale: Sale) -> Iterator[Entry]:
    """All lots by leaf. Not by a cursor of PostgreSQL's, which a pooler would lose."""
    first = 0
    columns = ("order_id", "sku", "quantity", "set_aside", "rank", "leaf")
    while True:
        lots = Lot.objects.filter(sale=sale, leaf__gte=first).order_by("leaf")
        piece = list(lots.values_list(*columns)[:_PIECE])
        yield from (Entry(*row[:-1]) for row in piece)
        if len(piece) < _PIECE:
            return
        first = piece[-1][-1] + 1


def _compare_orders(sale: Sale, draw: Draw) -> Iterator[Fault]:
    asked = {"sale": sale.pk, "allotted": draw.allotted, "done": sale.draw == Sale.Draw.DONE}
    with connection.cursor() as cursor:
        cursor.execute(_UNLIKE, asked)
        [unlike] = cursor.fetchone()
        cursor.execute(_GIVEN, asked)
        given = {order for (order,) in cursor.fetchall()}
    if unlike:
        yield Fault("orders", f"{unlike:,} orders are not as their entries and ranks say.")
    drawn = set(ranking.winners(_read_ranked(sale, draw.allotted), draw.stock))
    if passed := _count_without_units(drawn):
        yield Fault("winners", f"{passed:,} entries were drawn, and got no units.")
    if not sale.standby and (favoured := len(given - drawn)):
        yield Fault("winners", f"{favoured:,} entries got units, and were not drawn.")


def _read_ranked(sale: Sale, allotted: int) -> Iterator[tuple[UUID, str, int]]:
    """Order, sku and units of the lots that have their outcome, by rank."""
    for first in range(0, allotted, _RANKED):
        last = min(first + _RANKED, allotted)
        lots = Lot.objects.filter(sale=sale, rank__gt=first, rank__lte=last).order_by("rank")
        yield from lots.values_list("order_id", "sku", "quantity")


def _count_without_units(orders: Iterable[UUID]) -> int:
    """How many of them never got any."""
    numbers, counted = iter(orders), 0
    while part := list(islice(numbers, _PIECE)):
        never = Order.objects.filter(pk__in=part, status__in=_WITHOUT_UNITS)
        counted += never.count()
    return counted
