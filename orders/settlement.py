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
from uuid import UUID

from django.db import DataError, IntegrityError, connection, transaction

from flashsale import telemetry
from flashsale.database import bounded
from inventory import gate, stock
from inventory.gate import Entry
from inventory.models import Product, Sale
from orders import bell, telling
from orders.models import Order

log = logging.getLogger(__name__)

BATCH = 500  # purchases in a transaction
BATCHES = 20  # until another sale may have the worker

# Between two clicks of a busy sale a task would cost more than it does. Only where no other sale needs
# the worker, and for no longer than this.
LINGER = 100  # ms

_LOCK_SPACE = 0x5E771E  # apart from any other advisory lock
# A failure that lies in the purchase itself, and would come again however often it is tried.
_DATA_ERRORS = (DataError, IntegrityError)

_INSERT = """
WITH raised AS (
    UPDATE inventory_sale SET version = %(version)s, confirmed = confirmed + %(confirmed)s
    WHERE id = %(sale)s
)
INSERT INTO orders_order (id, sale_id, product_id, shopper, quantity, unit_price, currency, status,
                          reason, version, accepted_at, settled_at)
SELECT id, %(sale)s, product, shopper, quantity, unit_price, currency, status, reason, %(version)s,
       accepted_at, clock_timestamp()
FROM unnest(%(ids)s::uuid[], %(products)s::bigint[], %(shoppers)s::uuid[], %(quantities)s::integer[],
            %(prices)s::integer[], %(currencies)s::text[], %(statuses)s::text[], %(reasons)s::text[],
            %(accepted)s::timestamptz[])
     AS t (id, product, shopper, quantity, unit_price, currency, status, reason, accepted_at)
"""


# Known purchases, then shoppers with what they have: one question, one round trip.
_LOOK_UP = """
SELECT id, NULL::uuid, 0 FROM orders_order WHERE id = ANY(%(purchases)s::uuid[])
UNION ALL
SELECT NULL::uuid, shopper, sum(quantity)::integer FROM orders_order
WHERE sale_id = %(sale)s AND shopper = ANY(%(shoppers)s::uuid[]) AND status = 'confirmed'
GROUP BY shopper
"""

Record = Callable[[Sale, list[Entry], list[Product], dict[UUID, int]], None]


@dataclass(frozen=True, slots=True)
class Decision:
    """What becomes of one entry of the line."""

    entry: Entry
    product: Product | None
    status: Order.Status
    reason: str = ""


def settle(sale: int) -> None:
    """Decides the sale's line until it is empty.

    Ends at once where somebody else is at it or the gate is cold. Raises django.db.Error and
    redis.RedisError: nothing is lost then, and the next settlement goes on.
    """
    with _busy():
        _settle(sale)


def _settle(sale: int) -> None:
    head = last = ""
    for _ in range(BATCHES):
        mark, stands, raw = gate.read_line(sale, BATCH)
        if not raw:
            if last and _only_one_busy() and gate.wait_for_line(sale, last, LINGER):
                continue
            if gate.lower_bell(sale):
                return
            continue
        if raw[0][0] == head and not _drop_strays(sale, raw):
            # Its orders are made and told, and still it waits: the gate has lost its way.
            log.error("sale %s: the line does not move; its gate is rebuilt", sale)
            gate.empty(sale)
            return
        head, last = raw[0][0], raw[-1][0]
        if not decide(sale, mark, gate.parse_line(raw)[0]) or not telling.tell(sale, stands):
            return
    bell.ring(sale)


def decide(sale: int, mark: str, entries: list[Entry]) -> bool:
    """Makes orders of these purchases. False where it is not ours to do: somebody else settles, or
    the line was read from a gate that has been replaced since."""
    try:
        return _decide(sale, mark, entries, _record)
    except _DATA_ERRORS:
        log.warning("sale %s: a batch failed and is settled entry by entry", sale, exc_info=True)
        return _decide(sale, mark, entries, _record_one_by_one)


def _decide(sale_id: int, mark: str, entries: list[Entry], record: Record) -> bool:
    """ONE transaction. The locks come all at once and in the one order: the sale, then its products by
    key. Only then is anything looked up, so that nothing decided here can have changed meanwhile."""
    with bounded():
        if not _alone(sale_id):
            return False
        sale = Sale.objects.select_for_update(no_key=True).get(pk=sale_id)
        if sale.epoch != mark:
            return False
        products = stock.lock_listed(sale, {entry.sku for entry in entries})
        fresh, bought = _look_up(sale, entries)
        if fresh:
            sale.version += 1
            record(sale, fresh, products, bought)
    telemetry.count_settled(sale_id, len(fresh))
    return True


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


def _drop_strays(sale: int, raw: list[tuple[str, dict[str, str]]]) -> bool:
    """Takes out what a whole round did not move: entries that no queued answer waits for."""
    dropped = False
    for entry, fields in raw:
        if gate.drop(sale, entry, fields.get("purchase", "")):
            dropped = True
            log.error("sale %s: dropped a stray entry %s of the line: %s", sale, entry, fields)
    return dropped


def _alone(sale: int) -> bool:
    """Whether nobody else settles this sale, until the transaction ends."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s, %s)", [_LOCK_SPACE, sale])
        row = cursor.fetchone()
    return bool(row and row[0])


def _look_up(sale: Sale, entries: list[Entry]) -> tuple[list[Entry], dict[UUID, int]]:
    """The entries that are no orders yet, each purchase once; and the units confirmed so far to each
    shopper, for the limit is PostgreSQL's to keep."""
    first = {entry.purchase: entry for entry in reversed(entries)}
    shoppers = list({entry.shopper for entry in entries})
    with connection.cursor() as cursor:
        cursor.execute(_LOOK_UP, {"sale": sale.pk, "purchases": list(first), "shoppers": shoppers})
        rows = cursor.fetchall()
    known = {purchase for purchase, shopper, _ in rows if shopper is None}
    bought = {shopper: units for purchase, shopper, units in rows if purchase is None}
    return [e for e in entries if e.purchase not in known and first[e.purchase] is e], bought


def _record(
    sale: Sale, entries: list[Entry], products: list[Product], bought: dict[UUID, int]
) -> None:
    """Decides and writes a batch as a whole."""
    _write(sale, allot(entries, products, bought, sale.limit))


def _record_one_by_one(
    sale: Sale, entries: list[Entry], products: list[Product], bought: dict[UUID, int]
) -> None:
    """The same decisions, each in a savepoint: one that PostgreSQL refuses is rejected alone.

    A lost connection or a time-out is no property of a purchase: it ends the whole transaction.
    """
    for entry in entries:
        [decision] = allot([entry], products, bought, sale.limit)
        try:
            with transaction.atomic():
                _write(sale, [decision])
        except _DATA_ERRORS:
            log.exception("purchase %s cannot be settled and is rejected", entry.purchase)
            _write(sale, [_poison(entry)])
            continue
        if decision.status == Order.Status.CONFIRMED and decision.product:
            decision.product.stock -= entry.quantity
            bought[entry.shopper] = bought.get(entry.shopper, 0) + entry.quantity


def _write(sale: Sale, decisions: list[Decision]) -> None:
    """Writes the orders, the sale's new version, the ledger and the stock."""
    sold: dict[int, int] = defaultdict(int)
    confirmed = [d for d in decisions if d.status == Order.Status.CONFIRMED]
    for decision in confirmed:
        if decision.product:
            sold[decision.product.pk] += decision.entry.quantity
    with connection.cursor() as cursor:
        cursor.execute(
            _INSERT,
            {
                "sale": sale.pk,
                "version": sale.version,
                "confirmed": len(confirmed),
                "ids": [d.entry.purchase for d in decisions],
                "products": [d.product.pk if d.product else None for d in decisions],
                "shoppers": [d.entry.shopper for d in decisions],
                "quantities": [d.entry.quantity for d in decisions],
                "prices": [d.product.price if d.product else 0 for d in decisions],
                "currencies": [d.product.currency if d.product else "" for d in decisions],
                "statuses": [d.status.value for d in decisions],
                "reasons": [str(d.reason) for d in decisions],
                "accepted": [d.entry.accepted_at for d in decisions],
            },
        )
    stock.sell(sale.pk, sale.version, sold)


def _poison(entry: Entry) -> Decision:
    harmless = Entry(entry.id, entry.purchase, entry.shopper, entry.sku, 0, entry.accepted_at)
    return Decision(harmless, None, Order.Status.REJECTED, Order.Reason.ERROR)
