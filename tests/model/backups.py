"""One sale's rows as PostgreSQL had them at the time of a backup.

A real restore replaces the whole cluster. For one sale it comes to this: its rows are again what they
were, against every trigger that forbids it; these are lifted by the tables' owner in a transaction
that nobody can look into.
"""

from django.db import connection, transaction

Rows = dict[str, str]  # JSON by table

_VARIANTS = "(SELECT product_id FROM inventory_listing WHERE sale_id = %(sale)s)"
_WRITTEN_DOWN = {
    "inventory_stockmovement": f"product_id IN {_VARIANTS}",
    # Before the orders by which they are found.
    "orders_outboxrow": "order_id IN (SELECT id FROM orders_order WHERE sale_id = %(sale)s)",
    "orders_order": "sale_id = %(sale)s",
    "orders_auditentry": "sale_id = %(sale)s",
}
_STANDING = {
    "inventory_sale": (
        "id = %(sale)s",
        'status, closes_at, "limit", greatest_limit, version, confirmed, held, epoch, finished',
    ),
    "inventory_product": (f"id IN {_VARIANTS}", "id, stock"),
}
# Those that PostgreSQL does not compute by itself.
_STORED = """
SELECT string_agg(quote_ident(column_name), ', ') FROM information_schema.columns
WHERE table_name = %s AND is_generated = 'NEVER'
"""


def back_up(sale: int) -> Rows:
    whose = _WRITTEN_DOWN | {table: where for table, (where, _) in _STANDING.items()}
    with transaction.atomic(), connection.cursor() as cursor:
        rows = {}
        for table, where in whose.items():
            query = f"SELECT json_agg(t)::text FROM {table} AS t WHERE {where}"  # noqa: S608  # our own names
            cursor.execute(query, {"sale": sale})
            rows[table] = cursor.fetchone()[0] or "[]"
    return rows


def restore(sale: int, rows: Rows) -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        for table in rows:
            cursor.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
        for table, where in _WRITTEN_DOWN.items():
            cursor.execute(f"DELETE FROM {table} WHERE {where}", {"sale": sale})  # noqa: S608  # our own names
            cursor.execute(_STORED, [table])
            columns = cursor.fetchone()[0]
            cursor.execute(
                f"INSERT INTO {table} ({columns}) SELECT {columns}"  # noqa: S608  # our own names
                f" FROM json_populate_recordset(NULL::{table}, %s)",
                [rows[table]],
            )
        for table, (_, columns) in _STANDING.items():
            cursor.execute(
                f"UPDATE {table} AS t SET ({columns}) = (SELECT {columns} FROM"  # noqa: S608  # our own names
                f" json_populate_recordset(NULL::{table}, %(rows)s) AS was WHERE was.id = t.id)"
                f" WHERE id IN (SELECT id FROM json_populate_recordset(NULL::{table}, %(rows)s))",
                {"rows": rows[table]},
            )
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        for table in rows:
            cursor.execute(f"ALTER TABLE {table} ENABLE TRIGGER USER")
