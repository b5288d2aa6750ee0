"""Reconciliation of money: payments agree with orders, in one snapshot of PostgreSQL.

`orders/reconciliation.py` checks stock, ledger and orders; `verify` calls both.
"""

from django.db import connection, transaction

from orders import reconciliation
from orders.reconciliation import Report

# A confirmed order of a paid sale has one captured attempt, with its total.
_UNPAID = """
SELECT o.id, count(a.id) AS captured
FROM orders_order AS o JOIN inventory_sale AS s ON s.id = o.sale_id
LEFT JOIN payments_attempt AS a ON a.order_id = o.id AND a.state = 'captured'
     AND (a.amount, a.currency) = (o.unit_price::bigint * o.quantity, o.currency)
WHERE o.status = 'confirmed' AND s.payment <> '' AND o.unit_price > 0
  AND (%(sale)s::bigint IS NULL OR o.sale_id = %(sale)s)
GROUP BY o.id HAVING count(a.id) <> 1
"""
# A captured attempt without its order is on its way back, or its outbox row waits for that.
_KEPT = """
SELECT a.id, o.id AS "order", o.status
FROM payments_attempt AS a JOIN orders_order AS o ON o.id = a.order_id
WHERE a.state = 'captured' AND o.status <> 'confirmed'
  AND NOT EXISTS (SELECT FROM orders_outboxrow AS r WHERE r.order_id = o.id
                  AND r.consumer = 'refund' AND r.due IS NOT NULL)
  AND (%(sale)s::bigint IS NULL OR o.sale_id = %(sale)s)
"""
_REFUNDS = """
SELECT a.id, a.state, r.state AS refund
FROM payments_attempt AS a JOIN orders_order AS o ON o.id = a.order_id
LEFT JOIN payments_refund AS r ON r.attempt_id = a.id
WHERE (a.state = 'refund_pending' AND coalesce(r.state, 'done') = 'done'
       OR a.state <> 'refund_pending' AND r.state IN ('pending', 'failed'))
  AND (%(sale)s::bigint IS NULL OR o.sale_id = %(sale)s)
"""
# A hold that captures belongs to an attempt that does; otherwise it would never expire.
_CAPTURING = """
SELECT o.id, o.status
FROM orders_order AS o
LEFT JOIN payments_attempt AS a ON a.order_id = o.id AND a.state = 'capturing'
WHERE (o.capturing AND a.id IS NULL OR a.id IS NOT NULL AND o.status = 'held' AND NOT o.capturing)
  AND (%(sale)s::bigint IS NULL OR o.sale_id = %(sale)s)
"""
# Somebody goes on with everything that has no end yet.
_FORGOTTEN = """
SELECT a.id, a.state
FROM payments_attempt AS a JOIN orders_order AS o ON o.id = a.order_id
LEFT JOIN payments_refund AS r ON r.attempt_id = a.id
WHERE (a.state IN ('created', 'authorised', 'capturing', 'unknown') AND a.due IS NULL
       OR r.state = 'pending' AND r.due IS NULL)
  AND (%(sale)s::bigint IS NULL OR o.sale_id = %(sale)s)
"""
_COUNTS = """
SELECT 'payments_' || a.state, count(*)
FROM payments_attempt AS a JOIN orders_order AS o ON o.id = a.order_id
WHERE %(sale)s::bigint IS NULL OR o.sale_id = %(sale)s GROUP BY a.state
"""
RULES = {
    "confirmed_without_one_payment": _UNPAID,
    "captured_without_an_order": _KEPT,
    "refund_is_not_the_payments": _REFUNDS,
    "capturing_without_a_payment": _CAPTURING,
    "payment_is_forgotten": _FORGOTTEN,
}


def verify(sale: int | None = None) -> Report:
    """Check everything, or one sale: stock, orders and gates, and payments. Raises DatabaseError, and
    RedisError."""
    report = reconciliation.verify(sale)
    check_payments(sale, report)
    return report


def check_payments(sale: int | None, report: Report) -> None:
    """Add what does not agree to the report, for one sale or all. Raises DatabaseError."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        cursor.execute(_COUNTS, {"sale": sale})
        report.counted.update(dict(cursor.fetchall()))
        for kind, query in RULES.items():
            cursor.execute(query, {"sale": sale})
            columns = [column[0] for column in cursor.description or ()]
            for row in cursor.fetchall():
                report.add(kind, **dict(zip(columns, row, strict=True)))
