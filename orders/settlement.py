"""Settlement: turn the line into orders, a batch per locked transaction.

The line is the sale's stream of accepted, undecided purchases in Redis. Each settlement reads its
oldest entries; there is no consumer group, so no slow or dead reader can keep a share of the line,
and entries are decided in the order in which they were accepted. An entry leaves the line only when
its decision has been replicated to the gate, so a process killed at any instruction leaves work
that the next settlement finds.

`orders/allotment.py` checks stock and limit, `orders/settlement_statements.py` has the SQL.
"""

import logging
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import repeat
from typing import Any
from uuid import UUID

from django.db import DataError, IntegrityError, connection, transaction

from flashsale.database import BOUNDS, Rows, ask_together
from flashsale.observe import logs, telemetry, tracing
from flashsale.observe.tracing import Step
from inventory import stock
from inventory.corruption import CorruptGate
from inventory.gate import replica
from inventory.gate.delta import Delta
from inventory.gate.entries import Entry, parse_line
from inventory.models import Sale, Variant
from orders import bell, replication, tickets
from orders.allotment import Decision, add_waiting, allot, reject_as_poison
from orders.models import Order
from orders.settled_batch import Recorded, delta_of_batch
from orders.settlement_statements import (
    lock_sale_statement,
    look_up_statement,
    mark_unproven,
    name_people,
    read_locked_sale,
    write_statement,
)

log = logging.getLogger(__name__)

BATCH = 2000  # purchases in a transaction
_ONE_BY_ONE = 250  # the same with a savepoint each: others wait no longer for the locks
# After this many batches or purchases the worker is free for another sale.
MOST_BATCHES, MOST_PURCHASES = 20, 10_000

# Between two clicks of a busy sale a new task would cost more than its work. So the worker waits
# for the next entry, but only while this process settles no other sale, and no longer than this.
LINGER = 100  # ms

_LOGGED = 1000  # characters of a stray entry in the log

_LOCK_SPACE = 0x5E771E  # of the advisory lock, apart from any other
# Errors that lie in the purchase itself: they would come again with each attempt.
_DATA_ERRORS = (DataError, IntegrityError)

RawLine = list[tuple[str, dict[str, str]]]
Record = Callable[[Sale, list[Entry], list[Variant], dict[UUID, int]], Recorded]


def settle(sale: int) -> None:
    """Decide the sale's line until it is empty.

    Returns at once if another process settles the sale, or the gate is not ready. Raises
    GateNotReady, django.db.Error and redis.RedisError; nothing is lost then, and the next
    settlement goes on.
    """
    with _count_running():
        try:
            _settle_line(sale)
        except CorruptGate as error:
            replication.discard_gate(sale, error)


def _settle_line(sale: int) -> None:
    head = last = ""
    settled = 0
    for _ in range(MOST_BATCHES):
        epoch, gate_version, raw = replica.read_line(sale, BATCH)
        if not raw:
            if _close_line(sale, last):
                return
            continue
        if raw[0][0] == head and not _drop_strays(sale, raw):
            # Its orders are written and replicated, and it is still in the line: the gate is
            # inconsistent.
            replication.discard_gate(sale, "the line does not move")
            return
        head, last = raw[0][0], raw[-1][0]
        delta = decide(sale, epoch, _select_decidable(sale, raw))
        if delta is None or not replication.replicate(sale, gate_version, delta):
            return
        settled += len(raw)
        if settled >= MOST_PURCHASES:
            break
    bell.ring(sale)  # not empty yet: queue behind other sales


def decide(sale: int, epoch: str, entries: list[Entry]) -> Delta | None:
    """Turn entries, read from the gate in `epoch`, into orders. Opens and commits the transaction.

    Returns the delta from the sale's version before to the one after. None if another process
    settles the sale, or the gate has been replaced since the line was read.
    """
    try:
        return _decide(sale, epoch, entries, _record)
    except _DATA_ERRORS:
        log.warning("sale %s: a batch failed and is settled entry by entry", sale, exc_info=True)
        return _decide(sale, epoch, entries[:_ONE_BY_ONE], _record_one_by_one)


def _decide(sale_id: int, epoch: str, entries: list[Entry], record: Record) -> Delta | None:
    """Lock, decide and write, in one transaction.

    All locks are taken at once and in the one order: the sale, then its variants by key. Everything
    that the decision needs is read after them, so that it cannot change before the commit.
    """
    with transaction.atomic():
        if not _try_lock(sale_id):
            return None
        sale, variants, known = _lock(sale_id, entries)
        if sale.epoch != epoch:
            return None
        named, of_people = name_people(mark_unproven(sale, entries, known), known)
        fresh, bought = _fresh(named, known)
        delta = _record_batch(sale, fresh, variants, bought, of_people, record)
    telemetry.count_settled(sale_id, len(fresh))
    logs.log_steps(_list_outcomes(sale_id, delta))
    tracing.write_spans("settlement", _list_steps(sale_id, fresh, delta))
    return delta


# --- Helpers, in the order in which they are called -------------------------------------------

_running = 0
_counting = threading.Lock()


@contextmanager
def _count_running() -> Iterator[None]:
    """Count the settlements that run in this process."""
    global _running
    with _counting:
        _running += 1
    try:
        yield
    finally:
        with _counting:
            _running -= 1


def _close_line(sale: int, last: str) -> bool:
    """Lower the bell of an empty line, so that the next accepted purchase rings it. After an entry
    `last`, wait a moment for another one first. False if an entry came."""
    if last and _running == 1 and replica.wait_for_line(sale, last, LINGER):
        return False
    return replica.lower_bell(sale)


def _select_decidable(sale: int, raw: RawLine) -> list[Entry]:
    """The readable entries whose purchase belongs to this sale. Another sale's purchase must not
    become an order here: that sale decides it, and this order would be its answer there."""
    entries, _ = parse_line(raw)
    return [entry for entry in entries if tickets.sale_of(entry.purchase) == sale]


def _drop_strays(sale: int, raw: RawLine) -> bool:
    """Remove entries that stay in the line after their batch: unreadable ones, and those to which
    no queued answer refers. False if there was none."""
    readable = {entry.id for entry in _select_decidable(sale, raw)}
    dropped = False
    for entry, fields in raw:
        if replica.drop_entry(sale, entry, fields["purchase"] if entry in readable else ""):
            dropped = True
            seen = repr({**fields, "network": "-"})[:_LOGGED]  # no log has it: it is erased in time
            log.error("sale %s: dropped a stray entry %s of the line: %s", sale, entry, seen)
    return dropped


def _try_lock(sale: int) -> bool:
    """Take the sale's advisory lock for the transaction. Does not wait: false if another has it."""
    _, locked = ask_together(
        BOUNDS, ("SELECT pg_try_advisory_xact_lock(%s, %s)", [_LOCK_SPACE, sale])
    )
    return locked == [(True,)]


def _lock(sale: int, entries: list[Entry]) -> tuple[Sale, list[Variant], Rows]:
    """Lock the sale and the entries' variants, then look up known purchases and owned units. One
    round trip, inside a transaction."""
    locked, listed, known = ask_together(
        lock_sale_statement(sale),
        stock.lock_statement(sale, {entry.sku for entry in entries}),
        look_up_statement(sale, entries),
    )
    return read_locked_sale(sale, locked), stock.read_locked(listed), known


def _fresh(entries: list[Entry], rows: Rows) -> tuple[list[Entry], dict[UUID, int]]:
    """The entries that are no orders yet, each purchase once, and the units that each shopper owns
    so far: PostgreSQL enforces the limit, not the gate."""
    first = {entry.purchase: entry for entry in reversed(entries)}
    known = {purchase for purchase, shopper, _ in rows if shopper is None}
    bought = {shopper: units for purchase, shopper, units in rows if purchase is None}
    return [e for e in entries if e.purchase not in known and first[e.purchase] is e], bought


def _record_batch(
    sale: Sale,
    fresh: list[Entry],
    variants: list[Variant],
    bought: dict[UUID, int],
    of_people: dict[UUID, int],
    record: Record,
) -> Delta:
    """Raise the sale's version and record the batch in it; without fresh entries change nothing.
    Under the locks of `_lock`. The gate counts for each id of a person, the limit for all together."""
    if not fresh:
        return Delta(sale.version, sale.version)
    sale.version += 1
    left, units = {variant.sku: variant.stock for variant in variants}, dict(bought)
    waited = sale.waiting
    recorded = record(sale, fresh, variants, {**bought, **of_people})
    delta = delta_of_batch(sale, recorded, left, units)
    return delta if sale.waiting == waited else replace(delta, rules={"waiting": sale.waiting})


def _record(
    sale: Sale, entries: list[Entry], variants: list[Variant], claimed: dict[UUID, int]
) -> Recorded:
    """Decide and write a batch as a whole."""
    decisions = allot(entries, variants, claimed, sale)
    return list(zip(decisions, repeat(_write(sale, decisions))))


def _record_one_by_one(
    sale: Sale, entries: list[Entry], variants: list[Variant], claimed: dict[UUID, int]
) -> Recorded:
    """Decide and write each entry in a savepoint, so that an entry that PostgreSQL refuses is
    rejected alone.

    A lost connection or a timeout is not the entry's fault: it ends the whole transaction.
    """
    recorded: Recorded = []
    for entry in entries:
        [decision] = allot([entry], variants, claimed, sale)
        try:
            with transaction.atomic():
                until = _write(sale, [decision], len(recorded))
        except _DATA_ERRORS:
            named = {"purchase": str(entry.purchase)}
            log.exception(
                "purchase %(purchase)s cannot be settled and is rejected", named, extra=named
            )
            decision = reject_as_poison(entry)
            until = _write(sale, [decision])
        recorded.append((decision, until))
        if decision.variant:
            decision.variant.stock -= decision.owned
            claimed[entry.buyer] = claimed.get(entry.buyer, 0) + decision.claimed
    return recorded


def _write(sale: Sale, decisions: list[Decision], before: int = 0) -> int:
    """Write orders, the sale's version, ledger and stock. Under the locks of `_lock`. `before` orders
    of this version are written already. Returns the end of the holds in ms; 0 in a sale without."""
    more = Counter(d.entry.sku for d in decisions if d.status == Order.Status.WAITING)
    waiting = add_waiting(sale.waiting, more)
    with connection.cursor() as cursor:
        cursor.execute(*write_statement(sale, decisions, waiting, before))
        [until] = cursor.fetchone() if sale.hold_minutes else (None,)
    sale.waiting = waiting
    return round(until.timestamp() * 1000) if until else 0


def _list_outcomes(sale: int, delta: Delta) -> Iterator[tuple[UUID, str, dict[str, Any]]]:
    for purchase, status, reason, *_ in delta.answers:
        yield UUID(purchase), status, {"sale": sale, "reason": reason, "version": delta.to}


def _list_steps(sale: int, fresh: list[Entry], delta: Delta) -> Iterator[Step]:
    accepted = {entry.purchase: entry.accepted_at for entry in fresh}
    for purchase, status, about in _list_outcomes(sale, delta):
        yield Step(purchase, accepted[purchase], {"outcome": status, **about})
