"""The record of a draw as it is published: from PostgreSQL in pieces, in bounded memory.

It never changes once the seed is revealed. So each piece is a query of its own, and a client that reads
slowly keeps neither a session nor a snapshot.
"""

import asyncio
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager
from hashlib import sha256

from django.db import connection

from flashsale.database import in_thread
from inventory.models import Sale
from orders.draws import record
from orders.draws.record import Header
from orders.models import Draw

_PIECE = 10_000  # lines: half a megabyte

# Downloads of a process: their queries need the threads that also answer shoppers.
MOST_AT_ONCE = 2
UNREAD = 60.0  # seconds for the client to take a piece

_running: set[object] = set()

# The lines of `orders/draws/record.py` `write`, in SQL: a million lots need not become objects.
_LINES = """
SELECT string_agg(replace(order_id::text, '-', '') || ',' || sku || ',' || quantity || ',' || set_aside::int
    || ',' || coalesce(rank::text, '') || E'\\n', '' ORDER BY leaf)
FROM orders_lot WHERE sale_id = %(sale)s AND leaf >= %(first)s AND leaf < %(last)s
"""


class DownloadsRunning(Exception):
    """MOST_AT_ONCE downloads are running in this process."""


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


def tag_of(header: Header) -> str:
    """A name of the record's bytes: seed and root determine the lots and their ranks."""
    return sha256(_head(header)).hexdigest()


async def start_download(sale: int, header: Header) -> AsyncGenerator[bytes, None]:
    """Take a place for a download. Returns the record in pieces, each read in a thread.

    Raises DownloadsRunning. The pieces raise DatabaseError and TimeoutError; TimeoutError too if the client
    has not taken one within UNREAD.
    """
    pieces = _stream(sale, header)
    await anext(pieces)
    return pieces


async def _stream(sale: int, header: Header) -> AsyncGenerator[bytes, None]:
    """The pieces, after an empty one: there is a place."""
    with _place() as place:
        yield b""
        with _given_up_after(UNREAD, place):
            yield _head(header)
        for first in range(0, header.entries, _PIECE):
            if place not in _running:
                raise TimeoutError("the client did not read")
            lines = await in_thread(_read_lines, sale, first)
            with _given_up_after(UNREAD, place):
                yield lines


@contextmanager
def _place() -> Iterator[object]:
    """One of the places for downloads. It may be given up before the end."""
    if len(_running) >= MOST_AT_ONCE:
        raise DownloadsRunning
    place = object()
    _running.add(place)
    try:
        yield place
    finally:
        _running.discard(place)


@contextmanager
def _given_up_after(seconds: float, place: object) -> Iterator[None]:
    """Free the place if the client does not read."""
    timer = asyncio.get_running_loop().call_later(seconds, _running.discard, place)
    try:
        yield
    finally:
        timer.cancel()


def _head(header: Header) -> bytes:
    return b"".join(record.write(header, ()))


def _read_lines(sale: int, first: int) -> bytes:
    with connection.cursor() as cursor:
        cursor.execute(_LINES, {"sale": sale, "first": first, "last": first + _PIECE})
        [lines] = cursor.fetchone() or ("",)
    return str(lines or "").encode()
