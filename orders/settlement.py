"""Settlement: turns the line into orders, a batch per locked transaction.

Whoever settles reads the same oldest undecided purchases: there is no consumer group, so no reader can
be slow or dead with a share of the line in its hands, and orders are decided in the order in which
they were accepted. A purchase leaves the line when the gate has been told, so that a process killed at
any instruction leaves work that the next settlement finds.
"""

import logging
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any
from uuid import UUID

from django.db import DataError, IntegrityError, connection, transaction

from flashsale.database import BOUNDS, Rows, Statement, ask_together
from flashsale.observe import logs, telemetry, tracing
from flashsale.observe.tracing import Step
from inventory import stock
from inventory.corruption import CorruptGate
from inventory.gate import replica
from inventory.gate.delta import Delta
from inventory.gate.entries import Entry, parse_line
from inventory.models import Product, Sale
from orders import bell, replication, tickets
from orders.models import Order

log = logging.getLogger(__name__)

BATCH = 2000  # purchases in a transaction
_ONE_BY_ONE = 250  # the same, each in a savepoint: nobody waits longer for the locks
ROUNDS, TURN = 20, 10_000  # batches, or purchases, until another sale may have the worker

# Between two clicks of a busy sale a task would cost more than it does. Only where no other sale needs
# the worker, and for no longer than this.
LINGER = 100  # ms

_SHOWN = 1000  # signs of a stray entry in the log

_LOCK_SPACE = 0x5E771E  # apart from any other advisory lock
# A failure that lies in the purchase itself, and would come again however often it is tried.
_DATA_ERRORS = (DataError, IntegrityError)

# One statement, so that it takes one round trip, and no process can be frozen in the middle of it.
_WRITE = f"""
WITH raised AS (
    UPDATE inventory_sale SET version = %(version)s, confirmed = confirmed + %(confirmed)s
    WHERE id = %(sale)s
), {stock.SELLING}
INSERT INTO orders_order (id, sale_id, product_id, shopper, quantity, unit_price, currency, status,
                          reason, version, accepted_at, settled_at)
SELECT id, %(sale)s, product, shopper, quantity, unit_price, currency, status, reason, %(version)s,
       accepted_at, clock_timestamp()
FROM unnest(%(ids)s::uuid[], %(products)s::bigint[], %(shoppers)s::uuid[], %(quantities)s::integer[],
            %(prices)s::integer[], %(currencies)s::text[], %(statuses)s::text[], %(reasons)s::text[],
            %(accepted)s::timestamptz[])
     AS t (id, product, shopper, quantity, unit_price, currency, status, reason, accepted_at)
"""  # noqa: S608  # of two constants


# Known purchases, then shoppers with what they have: one question, one round trip.
_LOOK_UP = """
SELECT id, NULL::uuid, 0 FROM orders_order WHERE id = ANY(%(purchases)s::uuid[])
UNION ALL
SELECT NULL::uuid, shopper, sum(owned)::integer FROM orders_order
WHERE sale_id = %(sale)s AND shopper = ANY(%(shoppers)s::uuid[]) AND owned > 0
GROUP BY shopper
"""


@dataclass(frozen=True, slots=True)
class Decision:
    """What becomes of one entry of the line."""

    entry: Entry
    product: Product | None
    status: Order.Status
    reason: str = ""

    @property
    def owned(self) -> int:
        """Units that it takes: what PostgreSQL computes as `Order.owned`."""
        return self.entry.quantity if self.status.owns_units else 0


Record = Callable[[Sale, list[Entry], list[Product], dict[UUID, int]], list[Decision]]


def settle(sale: int) -> None:
    """Decides the sale's line until it is empty.

    Ends at once where somebody else is at it or the gate is cold. Raises django.db.Error and
    redis.RedisError: nothing is lost then, and the next settlement goes on.
    """
    with _busy():
        try:
            _settle(sale)
        except CorruptGate as error:
            replication.discard_gate(sale, error)


def _settle(sale: int) -> None:
    head = last = ""
    settled = 0
    for _ in range(ROUNDS):
        epoch, stands, raw = replica.read_line(sale, BATCH)
        if not raw:
            if last and _only_one_busy() and replica.wait_for_line(sale, last, LINGER):
                continue
            if replica.lower_bell(sale):
                return
            continue
        if raw[0][0] == head and not _drop_strays(sale, raw):
            # Its orders are made and told, and still it waits: the gate has lost its way.
            replication.discard_gate(sale, "the line does not move")
            return
        head, last = raw[0][0], raw[-1][0]
        delta = decide(sale, epoch, _decidable(sale, raw))
        if delta is None or not replication.replicate(sale, stands, delta):
            return
        settled += len(raw)
        if settled >= TURN:
            break
    bell.ring(sale)


def decide(sale: int, epoch: str, entries: list[Entry]) -> Delta | None:
    """Makes orders of these purchases. Gives what a gate is to be told that stands where PostgreSQL stood
    before. None where it is not ours to do: somebody else settles, or the line was read from a gate that
    has been replaced since."""
    try:
        return _decide(sale, epoch, entries, _record)
    except _DATA_ERRORS:
        log.warning("sale %s: a batch failed and is settled entry by entry", sale, exc_info=True)
        return _decide(sale, epoch, entries[:_ONE_BY_ONE], _record_one_by_one)


def _decide(sale_id: int, epoch: str, entries: list[Entry], record: Record) -> Delta | None:
    """ONE transaction. The locks come all at once and in the one order: the sale, then its products by
    key. Only then is anything looked up, so that nothing decided here can have changed meanwhile."""
    with transaction.atomic():
        _, alone = ask_together(
            BOUNDS, ("SELECT pg_try_advisory_xact_lock(%s, %s)", [_LOCK_SPACE, sale_id])
        )
        if alone != [(True,)]:
            return None
        locked, listed, known = ask_together(
            (_locking(), [sale_id]),
            stock.lock_statement(sale_id, {entry.sku for entry in entries}),
            _looking_up(sale_id, entries),
        )
        sale, products = _sale(sale_id, locked), stock.read_locked(listed)
        fresh, bought = _fresh(entries, known)
        if sale.epoch != epoch:
            return None
        delta = Delta(sale.version, sale.version)
        if fresh:
            sale.version += 1
            before = {product.sku: product.stock for product in products}, dict(bought)
            delta = _delta_of_batch(sale.version, record(sale, fresh, products, bought), *before)
    telemetry.count_settled(sale_id, len(fresh))
    logs.log_steps(_committed(sale_id, delta))
    tracing.write_spans("settlement", _since_accepted(sale_id, fresh, delta))
    return delta


def _committed(sale: int, delta: Delta) -> Iterator[tuple[UUID, str, dict[str, Any]]]:
    for purchase, status, reason, *_ in delta.answers:
        yield UUID(purchase), status, {"sale": sale, "reason": reason, "version": delta.to}


def _since_accepted(sale: int, fresh: list[Entry], delta: Delta) -> Iterator[Step]:
    accepted = {entry.purchase: entry.accepted_at for entry in fresh}
    for purchase, status, about in _committed(sale, delta):
        yield Step(purchase, accepted[purchase], {"outcome": status, **about})


def allot(
    entries: Iterable[Entry], products: Iterable[Product], bought: dict[UUID, int], limit: int
) -> list[Decision]:
    """Who gets what, in line order: by stock and limit, never by clock or status, for what was
    accepted before a pause or the close is accepted."""
    by_sku = {product.sku: product for product in products}
    left = {product.sku: product.stock for product in by_sku.values()}
    units = defaultdict(int, bought)
    decisions = []
    for entry in entries:
        product = by_sku.get(entry.sku)
        if product is None or entry.quantity < 1:
            decisions.append(Decision(entry, product, Order.Status.REJECTED, Order.Reason.ERROR))
        elif units[entry.shopper] + entry.quantity > limit:
            decisions.append(Decision(entry, product, Order.Status.REJECTED, Order.Reason.LIMIT))
        elif left[entry.sku] < entry.quantity:
            decisions.append(Decision(entry, product, Order.Status.REJECTED, Order.Reason.SOLD_OUT))
        else:
            left[entry.sku] -= entry.quantity
            units[entry.shopper] += entry.quantity
            decisions.append(Decision(entry, product, Order.Status.CONFIRMED))
    return decisions


# --- Helpers, in the order in which they are called -------------------------------------------

_settling = 0
_counting = threading.Lock()


@contextmanager
def _busy() -> Iterator[None]:
    """Counts the settlements that run in this process."""
    global _settling
    with _counting:
        _settling += 1
    try:
        yield
    finally:
        with _counting:
            _settling -= 1


def _only_one_busy() -> bool:
    return _settling == 1


def _decidable(sale: int, raw: list[tuple[str, dict[str, str]]]) -> list[Entry]:
    """What can be decided. A purchase of another sale is that sale's to decide: its order here would be
    its answer there."""
    entries, _ = parse_line(raw)
    return [entry for entry in entries if tickets.sale_of(entry.purchase) == sale]


def _drop_strays(sale: int, raw: list[tuple[str, dict[str, str]]]) -> bool:
    """Takes out what a whole round did not move: entries that cannot be read, or that no queued answer
    waits for."""
    readable = {entry.id for entry in _decidable(sale, raw)}
    dropped = False
    for entry, fields in raw:
        if replica.drop_entry(sale, entry, fields["purchase"] if entry in readable else ""):
            dropped = True
            seen = repr(fields)[:_SHOWN]
            log.error("sale %s: dropped a stray entry %s of the line: %s", sale, entry, seen)
    return dropped


_RULES = ("id", "version", "limit", "epoch")


def _sale(sale: int, rows: Rows) -> Sale:
    if not rows:
        raise Sale.DoesNotExist(f"there is no sale {sale}")
    return Sale.from_db("default", _RULES, rows[0])


@cache
def _locking() -> str:
    sale = Sale.objects.select_for_update(no_key=True).only(*_RULES).filter(pk=0)
    return sale.query.sql_with_params()[0]


def _looking_up(sale: int, entries: list[Entry]) -> Statement:
    asked = {
        "sale": sale,
        "purchases": _array({entry.purchase.hex for entry in entries}),
        "shoppers": _array({entry.shopper.hex for entry in entries}),
    }
    return _LOOK_UP, asked


def _fresh(entries: list[Entry], rows: Rows) -> tuple[list[Entry], dict[UUID, int]]:
    """The entries that are no orders yet, each purchase once, and the units that each shopper owns so
    far, for the limit is PostgreSQL's to keep."""
    first = {entry.purchase: entry for entry in reversed(entries)}
    known = {purchase for purchase, shopper, _ in rows if shopper is None}
    bought = {shopper: units for purchase, shopper, units in rows if purchase is None}
    return [e for e in entries if e.purchase not in known and first[e.purchase] is e], bought


def _record(
    sale: Sale, entries: list[Entry], products: list[Product], bought: dict[UUID, int]
) -> list[Decision]:
    """Decides and writes a batch as a whole."""
    decisions = allot(entries, products, bought, sale.limit)
    _write(sale, decisions)
    return decisions


def _record_one_by_one(
    sale: Sale, entries: list[Entry], products: list[Product], bought: dict[UUID, int]
) -> list[Decision]:
    """The same decisions, each in a savepoint: one that PostgreSQL refuses is rejected alone.

    A lost connection or a time-out is no property of a purchase: it ends the whole transaction.
    """
    decisions = []
    for entry in entries:
        [decision] = allot([entry], products, bought, sale.limit)
        try:
            with transaction.atomic():
                _write(sale, [decision])
        except _DATA_ERRORS:
            log.exception(
                "purchase %s cannot be settled and is rejected",
                entry.purchase,
                extra={"purchase": str(entry.purchase)},
            )
            decision = _poison(entry)
            _write(sale, [decision])
        decisions.append(decision)
        if decision.owned and decision.product:
            decision.product.stock -= decision.owned
            bought[entry.shopper] = bought.get(entry.shopper, 0) + decision.owned
    return decisions


def _write(sale: Sale, decisions: list[Decision]) -> None:
    """Writes the orders, the sale's new version, the ledger and the stock."""
    sold: dict[int, int] = defaultdict(int)
    owning = [d for d in decisions if d.owned]
    for decision in owning:
        if decision.product:
            sold[decision.product.pk] += decision.owned
    with connection.cursor() as cursor:
        cursor.execute(
            _WRITE,
            {
                "sale": sale.pk,
                "version": sale.version,
                "confirmed": len(owning),
                "sold": list(sold),
                "units": list(sold.values()),
                "ids": _array(d.entry.purchase.hex for d in decisions),
                "products": _array(d.product.pk if d.product else "NULL" for d in decisions),
                "shoppers": _array(d.entry.shopper.hex for d in decisions),
                "quantities": _array(d.entry.quantity for d in decisions),
                "prices": _array(d.product.price if d.product else 0 for d in decisions),
                "currencies": _array(d.product.currency if d.product else "" for d in decisions),
                "statuses": _array(d.status.value for d in decisions),
                "reasons": _array(d.reason for d in decisions),
                "accepted": _array(d.entry.accepted_at.isoformat() for d in decisions),
            },
        )


def _array(values: Iterable[str | int]) -> str:
    """An array as PostgreSQL writes it, of words and numbers that need no quotes. psycopg would look at
    each element, which took a fifth of a worker's time."""
    return "{" + ",".join([str(value) or '""' for value in values]) + "}"


def _delta_of_batch(
    version: int, decisions: Iterable[Decision], left: dict[str, int], bought: dict[UUID, int]
) -> Delta:
    """What this batch has changed: as much as one question to PostgreSQL would say after it, for nobody
    else can have changed the sale under its lock. `left` and `bought` are from before the batch, and are
    counted on."""
    answers = []
    for decision in decisions:
        entry, product = decision.entry, decision.product
        sku = product.sku if product else ""
        status, reason = decision.status.value, str(decision.reason)
        buyer, units = entry.shopper, entry.quantity
        answers.append([entry.purchase.hex, status, reason, buyer.hex, sku, units])
        if owned := decision.owned:
            left[sku] -= owned
            bought[buyer] = bought.get(buyer, 0) + owned
    units_of = {buyer.hex: units for buyer, units in bought.items()}
    return Delta(version - 1, version, stock=left, answers=answers, bought=units_of)


def _poison(entry: Entry) -> Decision:
    harmless = Entry(entry.id, entry.purchase, entry.shopper, entry.sku, 0, entry.accepted_at)
    return Decision(harmless, None, Order.Status.REJECTED, Order.Reason.ERROR)
