"""Tells the gate what PostgreSQL has committed: the one way in which it learns anything.

The gate is a replica and the sale's `version` its position. Settlement, staff actions, the caretaker
and the rebuild of a cold gate all come here, so nothing drifts, a late tale is harmless, and a lost
one heals.
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

log = logging.getLogger(__name__)

_ATTEMPTS = 5
_SHOWN = 500  # signs in the log of what was found
_PART = 5_000  # answers that one script applies to a cold gate: some 20 ms of Redis' time
_ANNOUNCED = 2_000  # outcomes in one message

# One statement is one snapshot. Ids as the gate keeps them, and built by PostgreSQL: a rebuild reads
# 100,000 rows, of which Python need not make objects.
_DELTA = """
SELECT s.finished OR s.status = 'draft', s.version,
    json_build_object(
        'status', s.status, 'limit', s."limit",
        'opens_at', round(extract(epoch FROM s.opens_at) * 1000),
        'closes_at', round(extract(epoch FROM s.closes_at) * 1000)),
    coalesce((SELECT json_object_agg(p.sku, p.stock)
              FROM inventory_listing AS l JOIN inventory_product AS p ON p.id = l.product_id
              WHERE l.sale_id = s.id), '{}'),
    coalesce((SELECT json_agg(json_build_array(
                  replace(o.id::text, '-', ''), o.status, o.reason,
                  replace(o.shopper::text, '-', ''), coalesce(p.sku, ''), o.quantity))
              FROM orders_order AS o LEFT JOIN inventory_product AS p ON p.id = o.product_id
              WHERE o.sale_id = s.id AND o.version > %(since)s), '[]'),
    coalesce((SELECT json_object_agg(replace(shopper::text, '-', ''), units)
              FROM (SELECT o.shopper, sum(o.owned) AS units
                    FROM orders_order AS o
                    WHERE o.sale_id = s.id AND (%(since)s = 0 OR o.shopper IN (
                        SELECT shopper FROM orders_order
                        WHERE sale_id = s.id AND version > %(since)s))
                    GROUP BY o.shopper
                    -- A gate that knows nothing need not be told of those who bought nothing.
                    HAVING %(since)s > 0 OR sum(o.owned) > 0) AS bought), '{}')
FROM inventory_sale AS s WHERE s.id = %(sale)s
"""


def replicate(sale: int, stands: int | None = None, known: Delta | None = None) -> bool:
    """Brings the gate to PostgreSQL's version and tells the pages. True once the gate stands there.

    `stands` is where the caller has just seen the gate stand, and `known` what the caller has committed
    itself: PostgreSQL need not be asked for it, if the gate lacks just that. False where the caretaker
    has to act first: the gate is new, wiped, or ahead (a restored backup). Must run outside a
    transaction. Raises ColdGate and redis.RedisError.
    """
    return _replicate(sale, stands, known=known)


def rebuild(sale: int) -> bool:
    """Rebuilds a cold gate and opens it. False if it was not to be, and may be tried again.

    Most of it is told without a lock, for 100,000 answers take a second. The last short tale is told
    and the gate opened under the sale's lock: whatever staff have committed before is in it, and
    whatever they commit later finds a warm gate to tell.
    """
    epoch = _adopt_epoch(sale)
    if not epoch or not _replicate(sale, None, epoch=epoch):
        return False
    with bounded_transaction():
        Sale.objects.select_for_update(no_key=True).get(pk=sale)
        stands, _ = replica.read_position(sale)
        delta = delta_since(sale, stands)
        if delta is None:
            return False
        opened = _apply(sale, replace(delta, epoch=epoch, opens=True)) == delta.to
    if opened:
        announce.announce_change(sale)
    return opened


def discard_gate(sale: int, why: object) -> None:
    """Has a gate that cannot be believed rebuilt from PostgreSQL and its line, by the next caretaker."""
    log.error("sale %s: its gate cannot be believed and is rebuilt: %s", sale, str(why)[:_SHOWN])
    replica.empty_gate(sale)


def _adopt_epoch(sale: int) -> str:
    """The gate's mark, made the sale's epoch; "" for a sale that is finished.

    Under the lock: of several caretakers each stores the mark that really stands, and nobody puts one
    on the gate of a sale that is just being finished.
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
    sale: int, stands: int | None, *, known: Delta | None = None, epoch: str = ""
) -> bool:
    if stands is None:
        stands, _ = replica.read_position(sale)
    for _ in range(_ATTEMPTS):
        if stands == 0 and not epoch:
            return False  # new or wiped: only `warm` may tell it everything
        delta = known if known and known.since == stands else delta_since(sale, stands)
        if delta is None or stands > delta.to:
            return False
        if stands == delta.to:
            return True
        before, stands = stands, _apply(sale, replace(delta, epoch=epoch))
        if stands >= delta.to:
            _announce(sale, delta.answers, news=not epoch)
            return True
        if epoch and stands == before:
            return False  # it carries another mark by now
    log.warning("sale %s: the gate kept moving while it was told", sale)
    return False


def _announce(sale: int, answers: list[list[Any]], news: bool) -> None:
    """Tells the pages, in messages that any of them can take. What a rebuild tells again is not `news` to
    anybody, but for the few that were decided just before."""
    if not news and len(answers) > _ANNOUNCED:
        answers = []
    for first in range(0, max(1, len(answers)), _ANNOUNCED):
        announce.announce_change(sale, answers[first : first + _ANNOUNCED])


def _apply(sale: int, delta: Delta) -> int:
    """Where the gate stands after it. Only a cold gate is told in parts: see `Tale.parts`."""
    size = _PART if delta.epoch else max(1, len(delta.answers))
    for part in delta.parts(size):
        applied, stands = replica.apply_part(sale, part)
        if not applied:
            break
    return stands


def delta_since(sale: int, since: int) -> Delta | None:
    """What has changed after version `since`, from one database snapshot.

    None for a sale that has no gate: a draft, or a finished one.
    """
    with connection.cursor() as cursor:
        cursor.execute(_DELTA, {"sale": sale, "since": since})
        row = cursor.fetchone()
    if row is None or row[0]:
        return None
    _, version, rules, stock, answers, bought = row
    return Delta(since, version, rules, stock, answers, bought)
