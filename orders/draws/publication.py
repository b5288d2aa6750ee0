"""The record of a draw as it is published: from PostgreSQL in pieces, in bounded memory.

It never changes once the seed is revealed. So each piece is a query of its own, and a client that reads
slowly keeps neither a session nor a snapshot.
"""

from collections.abc import AsyncIterator, Iterator

from django.db import connection

from flashsale.database import in_thread
from inventory.models import Sale
from orders.draws import record
from orders.draws.record import Header
from orders.models import Draw

_PIECE = 10_000  # lines: half a megabyte

# The lines of `orders/draws/record.py` `write`, in SQL: a million lots need not become objects.
_LINES = """
SELECT string_agg(replace(order_id::text, '-', '') || ',' || sku || ',' || quantity || ',' || set_aside::int
    || ',' || coalesce(rank::text, '') || E'\\n', '' ORDER BY leaf)
FROM orders_lot WHERE sale_id = %(sale)s AND leaf >= %(first)s AND leaf < %(last)s
"""


class Unpublished(Exception):
    """The draw is not revealed yet, or there is none. The message is for staff."""


def find_revealed(sale: Sale) -> Draw:
    """The draw of a sale. Raises Unpublished, django.db.DatabaseError."""
    draw = Draw.objects.filter(pk=sale.pk).first()
    if draw is None:
        kind = "is not scheduled yet" if sale.draw_at else "sells by arrival: it has no draw"
        raise Unpublished(f"{sale.slug} {kind}.")
    if not draw.seed:
        raise Unpublished(f"The draw of {sale.slug} is {sale.draw}: its seed is not revealed yet.")
    return draw


def find_published(slug: str) -> tuple[Sale, Header] | None:
    """The public sale with this slug and the header of its record. None if there is no such sale, or if its
    draw is not revealed yet. Raises django.db.DatabaseError."""
    public = Sale.objects.exclude(status=Sale.Status.DRAFT)
    sale = public.select_related("lottery").filter(slug=slug, lottery__isnull=False).first()
    if sale is None or not sale.lottery.seed:
        return None
    return sale, header_of(sale, sale.lottery)


def header_of(sale: Sale, draw: Draw) -> Header:
    """The header of a revealed draw."""
    return Header(
        sale=sale.slug,
        commitment=draw.commitment,
        seed=draw.seed,
        beacon=draw.beacon,
        round=draw.round,
        signature=draw.signature,
        root=draw.root,
        entries=draw.entries or 0,
        stock=draw.stock,
    )


def write(sale: Sale) -> Iterator[bytes]:
    """The record in pieces. Raises Unpublished, and DatabaseError meanwhile."""
    return _write(sale.pk, header_of(sale, find_revealed(sale)))


def _write(sale: int, header: Header) -> Iterator[bytes]:
    yield _head(header)
    for first in range(0, header.entries, _PIECE):
        yield _read_lines(sale, first)


async def stream(sale: int, header: Header) -> AsyncIterator[bytes]:
    """The record in pieces, each read in a thread. Raises DatabaseError and TimeoutError."""
    yield _head(header)
    for first in range(0, header.entries, _PIECE):
        yield await in_thread(_read_lines, sale, first)


def _head(header: Header) -> bytes:
    return b"".join(record.write(header, ()))


def _read_lines(sale: int, first: int) -> bytes:
    with connection.cursor() as cursor:
        cursor.execute(_LINES, {"sale": sale, "first": first, "last": first + _PIECE})
        [lines] = cursor.fetchone() or ("",)
    return str(lines or "").encode()
