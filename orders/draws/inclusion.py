"""Inclusion proofs of a frozen draw, made of one chunk of its leaves and the roots of all chunks.

A proof from all leaves would read a million of them for each shopper who asks. The roots of their chunks
are a thousand hashes, and stay as they are.
"""

from collections.abc import Iterator
from typing import NamedTuple
from uuid import UUID

from django.db import connection

from orders.draws import merkle
from orders.draws.record import Lot as Entry
from orders.draws.record import leaf_of, leaf_of_sale
from orders.models import Draw, Lot

CHUNK = 1024  # leaves: a power of two, so that the roots of chunks are nodes of the tree
_TOGETHER = 64  # chunks in one query: 2 MB

# `hash_leaf` of `leaf_of`, in SQL: a million leaves need not become objects. Entry i is leaf i + 1.
_HASHES = """
SELECT string_agg(sha256('\\x00'::bytea || convert_to(
    replace(order_id::text, '-', '') || ',' || sku || ',' || quantity || ',' || set_aside::int, 'UTF8')), ''
    ORDER BY leaf)
FROM orders_lot WHERE sale_id = %(sale)s AND leaf >= %(first)s - 1 AND leaf < %(last)s - 1
"""


class NotTheRoot(Exception):
    """The lots in PostgreSQL do not give the root that was published."""


class Included(NamedTuple):
    """A shopper's entry in a frozen draw. `proof` leads from its leaf, of so many `leaves`, to the root.
    `rank` is None if it was set aside, or is not drawn yet."""

    order: UUID
    data: str
    leaf: int
    leaves: int
    proof: list[str]  # in hex
    rank: int | None
    set_aside: bool


def prove_entries(sale: int, shopper: UUID) -> list[Included]:
    """The entries of a shopper in a frozen draw, with their proofs; none before the freeze. Prepares the
    draw, unless it is prepared. Raises NotTheRoot, django.db.DatabaseError."""
    draw = _find_frozen(sale)
    if draw is None:
        return []
    lots = Lot.objects.filter(sale=sale, order__shopper=shopper).order_by("leaf")
    return [_prove(draw, lot) for lot in lots]


def is_prepared(root: str) -> bool:
    """Whether this process can prove the entries of the draw with this root at once."""
    return root in _kept


def prepare(sale: int) -> None:
    """Read all leaves of a frozen draw: a million take a second or two. Raises as `prove_entries`."""
    if draw := _find_frozen(sale):
        _chunk_roots(draw)


def _find_frozen(sale: int) -> Draw | None:
    return Draw.objects.filter(pk=sale).exclude(root="").select_related("sale").first()


def _leaves(draw: Draw) -> int:
    return (draw.entries or 0) + 1  # leaf 0 is the sale


def _prove(draw: Draw, lot: Lot) -> Included:
    leaf = lot.leaf + 1
    roots, chunk = _chunk_roots(draw), leaf // CHUNK
    hashes = _read_hashes(draw, chunk * CHUNK, (chunk + 1) * CHUNK)
    within = merkle.prove(hashes, leaf % CHUNK, len(hashes))
    beside = merkle.prove(roots, chunk, len(roots))
    data = leaf_of(Entry(lot.order_id, lot.sku, lot.quantity, lot.set_aside, lot.rank)).decode()
    proof = [node.hex() for node in within + beside]
    return Included(lot.order_id, data, leaf, _leaves(draw), proof, lot.rank, lot.set_aside)


_kept: dict[str, list[bytes]] = {}  # by root: what it is made of cannot change
_MOST_KEPT = 32


def _chunk_roots(draw: Draw) -> list[bytes]:
    if draw.root not in _kept:
        roots = list(_read_chunk_roots(draw))
        if merkle.root_of_hashes(roots).hex() != draw.root:
            raise NotTheRoot(f"The lots of sale {draw.pk} do not give the root {draw.root}.")
        if len(_kept) >= _MOST_KEPT:
            _kept.clear()
        _kept[draw.root] = roots
    return _kept[draw.root]


def _read_chunk_roots(draw: Draw) -> Iterator[bytes]:
    for first in range(0, _leaves(draw), CHUNK * _TOGETHER):
        hashes = _read_hashes(draw, first, first + CHUNK * _TOGETHER)
        for start in range(0, len(hashes), CHUNK):
            yield merkle.root_of_hashes(hashes[start : start + CHUNK])


def _read_hashes(draw: Draw, first: int, last: int) -> list[bytes]:
    """The hashes of the leaves from `first` up to `last`."""
    with connection.cursor() as cursor:
        cursor.execute(_HASHES, {"sale": draw.pk, "first": first, "last": last})
        [joined] = cursor.fetchone() or (None,)
    raw = bytes(joined or b"")
    entries = [raw[at : at + 32] for at in range(0, len(raw), 32)]
    return (
        entries if first else [merkle.hash_leaf(leaf_of_sale(draw.sale.slug, draw.stock)), *entries]
    )
