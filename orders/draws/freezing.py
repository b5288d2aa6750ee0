"""Freeze a draw: write down its entries as lots, and publish the root of their Merkle tree.

Lots and their hashes are made without a lock for which others wait, because a million takes some seconds.
Then a short transaction checks under the sale's lock that no entry has come since, and computes the root
with the stock of that moment.
"""

import logging
from collections.abc import Iterator
from contextlib import suppress
from itertools import chain
from typing import NamedTuple

from django.db import connection
from django.db.models.functions import Now

from flashsale.database import long_transaction
from inventory.gate import replica
from inventory.gate.state import View
from inventory.models import Sale
from orders import replication
from orders.changes import (
    DoneBefore,
    NotReplicated,
    change_unreplicated,
    lock_variants,
    replicate_change,
)
from orders.draws import merkle
from orders.draws.record import leaf_of_sale
from orders.models import Draw, Lot

log = logging.getLogger(__name__)

# Entries that were set aside are lots without a rank: the file tells of them.
_WRITE_LOTS = """
INSERT INTO orders_lot (order_id, sale_id, leaf, sku, quantity, set_aside)
SELECT id, sale_id, row_number() OVER (ORDER BY id) - 1, sku, quantity, status <> 'waiting'
FROM orders_order
WHERE sale_id = %(sale)s AND (status = 'waiting' OR (status = 'cancelled' AND reason = 'set_aside'))
ORDER BY id
"""
# `leaf_of` in `orders/draws/record.py`, in SQL: a million lots need not become objects.
_READ_LEAVES = """
COPY (
    SELECT replace(order_id::text, '-', '') || ',' || sku || ',' || quantity || ',' || set_aside::int
    FROM orders_lot WHERE sale_id = %(sale)s ORDER BY leaf
) TO STDOUT
"""
_OPEN = b""  # the hash of leaf 0, which its own proof does not use


class Frozen(NamedTuple):
    """Lots that are written. `beside` is the inclusion proof of leaf 0, the sale's: with the stock it gives
    the root."""

    beside: list[bytes]
    entries: int
    drawn: int  # without those that were set aside


def freeze(sale_id: int) -> bool:
    """Freeze a closed draw when its entries are all in PostgreSQL: the gate takes no more, and its line is
    empty. False if that is not so yet. Raises redis.RedisError and django.db.DatabaseError."""
    view = replica.read_view(sale_id)
    if not view.ready or view.in_line:
        return False
    if view.draw != Sale.Draw.CLOSED:
        _discard_if_inconsistent(sale_id, view)
        return False
    made = _make_lots(sale_id)
    return made is not None and _publish(sale_id, view.epoch, made)


def _discard_if_inconsistent(sale_id: int, view: View) -> None:
    """Have a gate rebuilt that has the sale's version, but another state of its draw: a worker of the last
    release replicated that version, and knows no draws. Nothing would be sent to it again."""
    sale = Sale.objects.only("version", "draw").get(pk=sale_id)
    if view.version == sale.version and view.draw != sale.draw:
        replication.discard_gate(sale_id, f"its draw is {view.draw!r} instead of {sale.draw!r}")


def _make_lots(sale_id: int) -> Frozen | None:
    """Write the lots unless they are there, and hash them. None if another process is at it, or has done
    it."""
    with long_transaction():
        draws = Draw.objects.select_for_update(no_key=True, skip_locked=True)
        if draws.filter(pk=sale_id, root="").first() is None:
            return None
        sale = Sale.objects.only("waiting").get(pk=sale_id)
        lots = Lot.objects.filter(sale=sale)
        if lots.filter(set_aside=False).count() != sum(sale.waiting.values()) or not lots.exists():
            with connection.cursor() as cursor:
                cursor.execute("DELETE FROM orders_lot WHERE sale_id = %s", [sale_id])
                cursor.execute(_WRITE_LOTS, {"sale": sale_id})
        drawn = lots.filter(set_aside=False).count()
        entries = lots.count()
        hashes = chain([_OPEN], map(merkle.hash_leaf, _read_leaves(sale_id)))
        beside = merkle.prove(hashes, 0, entries + 1)
    return Frozen(beside, entries, drawn)


def _read_leaves(sale: int) -> Iterator[bytes]:
    """The data of the entries' leaves in their order, as a stream. Inside a transaction."""
    with connection.cursor() as cursor, cursor.copy(_READ_LEAVES, {"sale": sale}) as copy:
        rest = b""
        for block in copy:
            *lines, rest = (rest + bytes(block)).split(b"\n")
            yield from lines


def _publish(sale_id: int, epoch: str, made: Frozen) -> bool:
    """Freeze the draw, under the locks of the sale and its variants. False if an entry has come since: one
    that a restored copy of Redis knew."""
    frozen = False
    with suppress(DoneBefore), change_unreplicated([sale_id]) as (sale,):
        variants = lock_variants(list(sale.variants.values_list("pk", flat=True)), [sale])
        whole = sum(sale.waiting.values()) == made.drawn
        # In another epoch the gate may have a line again.
        if sale.draw != Sale.Draw.CLOSED or sale.epoch != epoch or not whole:
            raise DoneBefore
        # Another process may hash again what this one has: who waits for it keeps no lock meanwhile.
        draws = Draw.objects.select_for_update(no_key=True, skip_locked=True)
        if draws.filter(pk=sale_id, root="").first() is None:
            raise DoneBefore
        stock = {variant.sku: variant.stock for variant in variants}
        leaf = leaf_of_sale(sale.slug, stock)
        root = merkle.root_by(leaf, 0, made.entries + 1, made.beside).hex()
        Draw.objects.filter(pk=sale_id).update(
            root=root, entries=made.entries, stock=stock, left=stock, frozen_at=Now()
        )
        sale.draw = Sale.Draw.FROZEN
        frozen = True
    if frozen:
        log.info("sale %s: its draw is frozen with %d entries", sale_id, made.entries)
        try:
            replicate_change(sale_id)
        except NotReplicated as late:
            log.warning("sale %s: %s", sale_id, late)
    return frozen
