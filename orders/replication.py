"""Replication: send the gate what PostgreSQL has committed. The gate learns nothing in any other
way.

The gate is the sale's replica in Redis; the sale's `version` is its position. Settlement, changes
by staff, the caretaker and rebuilds all use this module, so the gate cannot drift: a late delta
changes nothing, and a lost one is sent again.
"""

import logging
from dataclasses import replace
from typing import Any

from django.db import connection

from flashsale.database import bounded_transaction
from inventory import announce
from inventory.gate import replica
from inventory.gate.delta import Delta
from inventory.models import Sale
from orders.order_status import CLAIMED

log = logging.getLogger(__name__)

_ATTEMPTS = 5
_LOGGED = 500  # characters of a reason in the log
_PART = 5_000  # answers that one script applies during a rebuild: about 20 ms of Redis' time
_ANNOUNCED = 2_000  # outcomes in one message
_BEHIND = 50_000  # answers that a ready gate gets at once: about 0.2 s of Redis' time

# One statement is one snapshot. PostgreSQL builds the JSON, with ids as the gate stores them,
# because a rebuild reads 100,000 rows, and Python objects of them would be slow.
_DELTA = f"""
SELECT s.finished OR s.status = 'draft', s.version,
    json_build_object(
        'status', s.status, 'limit', s."limit",
        'opens_at', round(extract(epoch FROM s.opens_at) * 1000),
        'closes_at', round(extract(epoch FROM s.closes_at) * 1000),
        'draw', s.draw, 'draw_at', round(coalesce(extract(epoch FROM s.draw_at), 0) * 1000),
        'standby', s.standby::int, 'per_address', s.per_address,
        'waiting', s.waiting),
    coalesce((SELECT json_object_agg(p.sku, p.stock)
              FROM inventory_listing AS l JOIN inventory_product AS p ON p.id = l.product_id
              WHERE l.sale_id = s.id), '{{}}'),
    -- Processes of the last release read an answer of six parts: only a hold has its end as well, and only
    -- a waiting order its place.
    coalesce((SELECT json_agg(CASE WHEN o.status = 'held' OR (o.status = 'waiting' AND o.place IS NOT NULL)
                  THEN json_build_array(
                      replace(o.id::text, '-', ''), o.status, o.reason,
                      replace(o.shopper::text, '-', ''), o.sku, o.quantity,
                      CASE o.status WHEN 'held' THEN round(extract(epoch FROM o.hold_until) * 1000)
                                    ELSE o.place END)
                  ELSE json_build_array(
                      replace(o.id::text, '-', ''), o.status, o.reason,
                      replace(o.shopper::text, '-', ''), o.sku, o.quantity) END)
              FROM orders_order AS o
              WHERE o.sale_id = s.id AND o.version > %(since)s), '[]'),
    coalesce((SELECT json_object_agg(replace(shopper::text, '-', ''), units)
              FROM (SELECT o.shopper, sum({CLAIMED}) AS units
                    FROM orders_order AS o
                    -- An array is looked up in the index; for IN PostgreSQL would read all orders.
                    WHERE o.sale_id = s.id AND (%(since)s = 0 OR o.shopper = ANY(ARRAY(
                        SELECT shopper FROM orders_order
                        WHERE sale_id = %(sale)s AND version > %(since)s)))
                    GROUP BY o.shopper
                    -- A gate that knows nothing need not be told of those who never owned a unit. A unit
                    -- that came back may be known to it, by a part of a rebuild that did not end.
                    HAVING %(since)s > 0 OR bool_or(o.status <> 'rejected')) AS bought), '{{}}')
FROM inventory_sale AS s WHERE s.id = %(sale)s
"""  # noqa: S608  # a constant


def replicate(sale: int, gate_version: int | None = None, known: Delta | None = None) -> bool:
    """Bring the gate to PostgreSQL's version and announce the change to the pages.

    `gate_version` is the gate's version if the caller has just read it. `known` is the delta that
    the caller has committed: it saves the query if the gate lacks nothing else. Must run outside a
    transaction.

    True if the gate is up to date afterwards. False if the caretaker has to act first: the gate is
    new, wiped, or ahead of PostgreSQL (a restored backup). Raises GateNotReady and
    redis.RedisError.
    """
    return _replicate(sale, gate_version, known=known)


def rebuild(sale: int) -> bool:
    """Rebuild a gate that is not ready, and make it ready. False if the sale is finished or the
    gate changed meanwhile; then it may be tried again. Opens its own transactions.

    Most of it is replicated without a lock, because 100,000 answers take a second. The last, short
    delta is applied, and the gate made ready, under the sale's lock: it contains every change that
    staff committed before, and later changes find a ready gate.
    """
    epoch = _adopt_epoch(sale)
    if not epoch or not _replicate(sale, None, epoch=epoch):
        return False
    with bounded_transaction():
        Sale.objects.select_for_update(no_key=True).get(pk=sale)
        gate_version, _ = replica.read_position(sale)
        delta = delta_since(sale, gate_version)
        if delta is None:
            return False
        made_ready = _apply(sale, replace(delta, epoch=epoch, makes_ready=True)) == delta.to
    if made_ready:
        announce.announce_change(sale)
    return made_ready


def discard_gate(sale: int, why: object) -> None:
    """Empty an inconsistent gate. The caretaker's next round rebuilds it from PostgreSQL and its
    line."""
    log.error("sale %s: its gate is inconsistent and will be rebuilt: %s", sale, str(why)[:_LOGGED])
    replica.empty_gate(sale)


def _adopt_epoch(sale: int) -> str:
    """Store the gate's epoch in the sale; "" for a finished sale.

    Under the sale's lock: of several caretakers each stores the epoch that the gate really has, and
    none begins one in the gate of a sale that is being finished.
    """
    with bounded_transaction():
        locked = Sale.objects.select_for_update(no_key=True).get(pk=sale)
        if locked.finished:
            return ""
        _, epoch = replica.read_position(sale)
        if not epoch:
            epoch = replica.new_epoch()
            replica.begin_epoch([sale], epoch)
        if locked.epoch != epoch:
            locked.epoch = epoch
            locked.save(update_fields=["epoch"])
    return epoch


def _replicate(
    sale: int, gate_version: int | None, *, known: Delta | None = None, epoch: str = ""
) -> bool:
    """With an `epoch`, as part of a rebuild."""
    if gate_version is None:
        gate_version, _ = replica.read_position(sale)
    for _ in range(_ATTEMPTS):
        if gate_version == 0 and not epoch:
            return False  # new or wiped: only a rebuild may fill it
        delta = known if known and known.since == gate_version else delta_since(sale, gate_version)
        if delta is None or gate_version > delta.to:
            return False
        if gate_version == delta.to:
            return True
        if not epoch and len(delta.answers) > _BEHIND:
            log.warning("sale %s: its gate is far behind and will be rebuilt, in parts", sale)
            replica.empty_gate(sale)
            return False
        before, gate_version = gate_version, _apply(sale, replace(delta, epoch=epoch))
        if gate_version >= delta.to:
            _announce(sale, delta.answers, is_rebuild=bool(epoch))
            return True
        if epoch and gate_version == before:
            return False  # the gate has another epoch by now
    log.warning("sale %s: the gate changed during each attempt to replicate", sale)
    return False


def _announce(sale: int, answers: list[list[Any]], is_rebuild: bool) -> None:
    """Announce the change to the pages, in messages of a size that the channel layer accepts.

    A large rebuild repeats old outcomes, so it announces none. A small one does: a few purchases
    may have been decided just before it.
    """
    if is_rebuild and len(answers) > _ANNOUNCED:
        answers = []
    for first in range(0, max(1, len(answers)), _ANNOUNCED):
        announce.announce_change(sale, answers[first : first + _ANNOUNCED])


def _apply(sale: int, delta: Delta) -> int:
    """Apply the delta and return the gate's version. Only a rebuild sends parts: see
    `Delta.parts`."""
    size = _PART if delta.epoch else max(1, len(delta.answers))
    for part in delta.parts(size):
        applied, gate_version = replica.apply_part(sale, part)
        if not applied:
            break
    return gate_version


def delta_since(sale: int, since: int) -> Delta | None:
    """The changes after version `since`, from one database snapshot.

    None if the sale has no gate: it is a draft, finished, or unknown.
    """
    with connection.cursor() as cursor:
        cursor.execute(_DELTA, {"sale": sale, "since": since})
        row = cursor.fetchone()
    if row is None or row[0]:
        return None
    _, version, rules, stock, answers, bought = row
    return Delta(since, version, rules, stock, answers, bought)
