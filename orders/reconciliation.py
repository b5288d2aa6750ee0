"""Reconciliation: check that stock, ledger, orders, gate and line agree while a sale runs.

PostgreSQL is read in one snapshot, in which everything must agree exactly. The gate is a replica
that changes while it is read: its numbers are read atomically and compared with PostgreSQL as it
was at the gate's version. An answer that differs is read again, alone.

One file: the queries belong to what compares their rows.
"""

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from django.db import connection, transaction

from inventory.gate import replica
from inventory.gate.entries import Answer
from inventory.gate.state import Snapshot, View
from inventory.models import Sale
from orders import replication
from orders.draws import rules
from orders.order_status import CLAIMED, HAS_CLAIM

_PATIENCE = 5.0  # seconds for a gate to be rebuilt, or for an answer to be replicated
_PAUSE = 0.1
_NAMED = 20  # faults of one kind in the report; the rest is counted

_LEDGER = """
SELECT p.sku, p.stock, coalesce(sum(m.delta), 0) AS ledger
FROM inventory_product AS p LEFT JOIN inventory_stockmovement AS m ON m.product_id = p.id
WHERE %(sale)s::bigint IS NULL
   OR p.id IN (SELECT product_id FROM inventory_listing WHERE sale_id = %(sale)s)
GROUP BY p.id HAVING p.stock <> coalesce(sum(m.delta), 0)
"""
_SOLD = """
SELECT p.sku, coalesce(o.units, 0) AS orders, coalesce(m.units, 0) AS ledger
FROM inventory_product AS p
LEFT JOIN (SELECT product_id, sum(owned) AS units FROM orders_order
           WHERE owned > 0 GROUP BY product_id) AS o ON o.product_id = p.id
LEFT JOIN (SELECT product_id, -sum(delta) AS units FROM inventory_stockmovement
           WHERE reason IN ('sold', 'cancelled', 'expired') GROUP BY product_id) AS m ON m.product_id = p.id
WHERE coalesce(o.units, 0) <> coalesce(m.units, 0)
  AND (%(sale)s::bigint IS NULL
       OR p.id IN (SELECT product_id FROM inventory_listing WHERE sale_id = %(sale)s))
"""
_OVER_LIMIT = f"""
SELECT s.slug, o.shopper, o.units, s.greatest_limit
FROM inventory_sale AS s JOIN (
    SELECT sale_id, shopper, sum({CLAIMED}) AS units FROM orders_order
    WHERE {HAS_CLAIM} AND (%(sale)s::bigint IS NULL OR sale_id = %(sale)s)
    GROUP BY sale_id, shopper
) AS o ON o.sale_id = s.id AND o.units > s.greatest_limit
"""  # noqa: S608  # a constant
_UNRELATED = """
SELECT o.id, s.slug, o.version, s.version AS sale_version
FROM orders_order AS o JOIN inventory_sale AS s ON s.id = o.sale_id
LEFT JOIN inventory_listing AS l ON l.sale_id = o.sale_id AND l.product_id = o.product_id
WHERE (o.version > s.version OR (o.product_id IS NOT NULL AND l.id IS NULL))
  AND (%(sale)s::bigint IS NULL OR o.sale_id = %(sale)s)
"""
# Who only waited has nothing to return: set aside, or taken back as the audit says.
_CANCELLED = """
SELECT coalesce(o.id, m."order") AS id, o.status, m.units
FROM (SELECT * FROM orders_order WHERE status = 'cancelled') AS o
FULL JOIN (SELECT "order", sum(delta) AS units FROM inventory_stockmovement
           WHERE reason = 'cancelled' GROUP BY "order") AS m ON m."order" = o.id
WHERE o.quantity IS DISTINCT FROM m.units
  AND (m.units IS NOT NULL OR o.reason <> 'set_aside' AND NOT EXISTS (
      SELECT FROM orders_auditentry AS a WHERE a."order" = o.id AND a.before ->> 'status' = 'waiting'))
  AND (%(sale)s::bigint IS NULL OR o.sale_id = %(sale)s)
"""
_COUNTED = """
SELECT s.slug, s.confirmed, s.held, count(o.id) AS orders
FROM inventory_sale AS s LEFT JOIN orders_order AS o ON o.sale_id = s.id AND o.owned > 0
WHERE %(sale)s::bigint IS NULL OR s.id = %(sale)s
GROUP BY s.id HAVING (s.confirmed, s.held)
    <> (count(o.id) FILTER (WHERE o.status = 'confirmed'), count(o.id) FILTER (WHERE o.status = 'held'))
"""
# Stock at a version of the sale: movements after it are subtracted.
_STOCK_AT = """
SELECT p.sku, p.stock - coalesce((
           SELECT sum(m.delta) FROM inventory_stockmovement AS m
           WHERE m.product_id = p.id AND m.sale_id = s.id AND m.sale_version > %(version)s), 0),
       s.version
FROM inventory_sale AS s
JOIN inventory_listing AS l ON l.sale_id = s.id
JOIN inventory_product AS p ON p.id = l.product_id
WHERE s.id = %(sale)s
"""
_ORDERS = """
SELECT replace(o.id::text, '-', ''), o.status, o.reason, replace(o.shopper::text, '-', ''),
       o.sku, o.quantity,
       CASE WHEN o.status = 'held' THEN round(extract(epoch FROM o.hold_until) * 1000)::bigint ELSE 0 END,
       CASE WHEN o.status = 'waiting' THEN coalesce(o.place, 0) ELSE 0 END
FROM orders_order AS o
WHERE o.sale_id = %(sale)s AND (%(purchase)s::uuid IS NULL OR o.id = %(purchase)s::uuid)
"""
_UNITS = f"""
SELECT replace(shopper::text, '-', ''), sum({CLAIMED}) FROM orders_order
WHERE sale_id = %(sale)s AND {HAS_CLAIM}
  AND (%(shopper)s::uuid IS NULL OR shopper = %(shopper)s::uuid)
GROUP BY shopper
"""  # noqa: S608  # a constant
_COUNTS = """
SELECT status, count(*) FROM orders_order
WHERE %(sale)s::bigint IS NULL OR sale_id = %(sale)s GROUP BY status
"""
RULES = {
    "stock_is_not_the_ledger": _LEDGER,
    "sold_is_not_the_orders": _SOLD,
    "over_the_limit": _OVER_LIMIT,
    "order_does_not_belong": _UNRELATED,
    "cancelled_not_returned_once": _CANCELLED,
    "counts_are_not_the_orders": _COUNTED,
    **rules.RULES,
}


@dataclass
class Report:
    """Counts, and faults by kind."""

    counted: Counter[str] = field(default_factory=Counter)
    faults: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    @property
    def balanced(self) -> bool:
        return not self.faults

    def add(self, kind: str, **facts: Any) -> None:
        self.faults.setdefault(kind, []).append({k: str(v) for k, v in facts.items()})

    def merge(self, other: "Report") -> None:
        self.counted += other.counted
        for kind, found in other.faults.items():
            self.faults.setdefault(kind, []).extend(found)

    def as_json(self) -> dict[str, Any]:
        return {
            "balanced": self.balanced,
            "counted": dict(self.counted),
            "faults": {
                kind: {"count": len(found), "first": found[:_NAMED]}
                for kind, found in self.faults.items()
            },
        }


def verify(sale: int | None = None) -> Report:
    """Check everything, or one sale. Raises DatabaseError or RedisError if a store cannot be
    read."""
    report = Report()
    check_rules(sale, report)
    undrained = _undrained()
    for each in sorted(undrained if sale is None else undrained & {sale}):
        of_one = Report()
        _compare_gate(each, of_one)
        # A sale that was finished meanwhile has no gate any more: its faults do not count.
        if not of_one.faults or each in _undrained():
            report.merge(of_one)
    if sale is None:
        gates = replica.list_gates()
        for each in gates - _undrained():  # in this order: a sale may be scheduled meanwhile
            report.add("gate_without_a_sale", sale=each)
    return report


def _undrained() -> set[int]:
    unfinished = Sale.objects.filter(finished=False).exclude(status=Sale.Status.DRAFT)
    return set(unfinished.values_list("pk", flat=True))


def check_rules(sale: int | None, report: Report) -> None:
    """Check the rules that must hold in PostgreSQL alone, for one sale or all, in one snapshot."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        cursor.execute(_COUNTS, {"sale": sale})
        report.counted.update(dict(cursor.fetchall()))
        for kind, query in RULES.items():
            cursor.execute(query, {"sale": sale})
            columns = [column[0] for column in cursor.description or ()]
            for row in cursor.fetchall():
                report.add(kind, **dict(zip(columns, row, strict=True)))


# --- The gate ------------------------------------------------------------------------------------


def _compare_gate(sale: int, report: Report) -> None:
    """Compare one atomic snapshot of the gate with itself, and with PostgreSQL as it was at the
    gate's version. Answers are compared one by one, because they change while they are read."""
    seen = _ready_snapshot(sale)
    if seen is None:
        report.add("gate_is_not_ready", sale=sale)
        return
    report.counted["in_line"] += len(seen.line)
    _compare_line(sale, seen, report)
    _compare_stock(sale, seen, report)
    _compare_rules(sale, seen.view, report)
    _compare_answers(sale, seen, report)


def _ready_snapshot(sale: int) -> Snapshot | None:
    """A snapshot of the gate; None if it does not become ready in time."""
    end = time.monotonic() + _PATIENCE
    while True:
        seen = replica.read_snapshot(sale)
        if seen.view.ready or time.monotonic() > end:
            return seen if seen.view.ready else None
        time.sleep(_PAUSE)


def _compare_line(sale: int, seen: Snapshot, report: Report) -> None:
    """Compare the units in flight, by sku and by shopper, with the entries in the line."""
    in_flight: Counter[str] = Counter()
    in_flight_by_shopper: Counter[str] = Counter()
    for entry in seen.line:
        in_flight[entry.sku] += entry.quantity
        in_flight_by_shopper[entry.shopper.hex] += entry.quantity
    if seen.unreadable:
        report.add("line_cannot_be_read", sale=sale, entries=seen.unreadable)
    if in_flight != seen.view.in_flight:
        report.add("in_flight_is_not_the_line", sale=sale, line=in_flight, gate=seen.view.in_flight)
    if in_flight_by_shopper != seen.in_flight_by_shopper:
        report.add(
            "in_flight_by_shopper_is_not_the_line",
            sale=sale,
            shoppers=set(in_flight_by_shopper) ^ set(seen.in_flight_by_shopper),
        )


def _compare_stock(sale: int, seen: Snapshot, report: Report) -> None:
    with connection.cursor() as cursor:
        cursor.execute(_STOCK_AT, {"sale": sale, "version": seen.view.version})
        rows = cursor.fetchall()
    stock = {sku: units for sku, units, _ in rows}
    sale_version = rows[0][2] if rows else 0
    if seen.view.version > sale_version:
        report.add("gate_is_ahead", sale=sale, gate=seen.view.version, postgresql=sale_version)
    elif stock != seen.view.stock:
        report.add("gate_stock_is_wrong", sale=sale, gate=seen.view.stock, postgresql=stock)


def _compare_rules(sale: int, view: View, report: Report) -> None:
    """Compare the sale's rules. Each change raises the version: at the same one they are equal."""
    delta = replication.delta_since(sale, view.version)
    if delta is None or delta.to != view.version:
        return  # the sale has just changed
    rules = {name: getattr(view, name) for name in delta.rules}
    if rules != delta.rules:
        report.add("gate_rules_are_wrong", sale=sale, gate=rules, postgresql=delta.rules)


def _compare_answers(sale: int, seen: Snapshot, report: Report) -> None:
    """Compare answers and shoppers' units: first all at once, then the differences one by one."""
    answers, bought = replica.read_answers(sale), replica.read_bought(sale)
    orders, units = _orders(sale), _units(sale)
    report.counted["answers"] += len(answers)
    purchases = {
        purchase
        for purchase in answers.keys() | orders.keys() | {e.purchase.hex for e in seen.line}
        if answers.get(purchase) is None or answers.get(purchase) != orders.get(purchase)
    }
    shoppers = {
        shopper
        for shopper in bought.keys() | units.keys()
        if bought.get(shopper, 0) != units.get(shopper, 0)
    }
    for purchase in _still_wrong(purchases, lambda purchase: _is_answered(sale, purchase)):
        report.add("answer_is_not_the_order", sale=sale, purchase=purchase)
    for shopper in _still_wrong(shoppers, lambda shopper: _is_counted(sale, shopper)):
        report.add("bought_is_not_the_orders", sale=sale, shopper=shopper)


def _still_wrong(suspects: set[str], is_right: Callable[[str], bool]) -> set[str]:
    """The suspects that stay wrong for _PATIENCE: answers change while they are read."""
    end = time.monotonic() + _PATIENCE
    while True:
        suspects = {suspect for suspect in suspects if not is_right(suspect)}
        if not suspects or time.monotonic() > end:
            return suspects
        time.sleep(_PAUSE)


def _is_answered(sale: int, purchase: str) -> bool:
    """Whether both stores have the same final answer, or the purchase waits in the line."""
    answer, in_line = replica.read_answer(sale, purchase)
    if answer is not None and answer.status == "queued":
        return in_line
    order = _orders(sale, purchase).get(purchase)
    return answer is not None and answer == order and not in_line


def _is_counted(sale: int, shopper: str) -> bool:
    return replica.read_bought_by(sale, shopper) == _units(sale, shopper).get(shopper, 0)


def _orders(sale: int, purchase: str | None = None) -> dict[str, Answer]:
    """The sale's orders as answers of the gate, by purchase; all, or one."""
    with connection.cursor() as cursor:
        cursor.execute(_ORDERS, {"sale": sale, "purchase": purchase})
        return {row[0]: Answer(*row[1:]) for row in cursor.fetchall()}


def _units(sale: int, shopper: str | None = None) -> dict[str, int]:
    """Units owned or awaited by shopper; all, or one."""
    with connection.cursor() as cursor:
        cursor.execute(_UNITS, {"sale": sale, "shopper": shopper})
        return {str(owner): int(units) for owner, units in cursor.fetchall()}
