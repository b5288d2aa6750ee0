"""A sale that is over, with very many orders: more than the sockets and buffers of an export hold.

A socket holds up to 4 MB on each side, and libpq reads what has come. The orders have 20 MB.
"""

from django.db import connection

from inventory.models import Sale

MANY = 50_000


def turn_away_very_many(sale: Sale, many: int = MANY) -> Sale:
    """Write so many rejected orders, by SQL: the purchase path would take minutes."""
    Sale.objects.filter(pk=sale.pk).update(status="ended", finished=True)
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO orders_order (id, sale_id, product_id, shopper, quantity, unit_price,"
            " currency, status, reason, version, accepted_at, settled_at, product_name, option, sku)"
            " SELECT gen_random_uuid(), %s, %s, gen_random_uuid(), 1, 12900, 'EUR', 'rejected',"
            " 'sold_out', 1, now() + n * interval '1 ms', now(), %s, %s, 'SHOE'"
            " FROM generate_series(1, %s) AS n",
            [sale.pk, sale.variants.get().pk, "Shoe" * 30, "Size" * 10, many],
        )
    return sale


def exports_in_postgresql() -> int:
    """How many sessions export orders. One may have sent all to a client that has not read it: its
    transaction is open."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE state <> 'idle'"
            " AND query LIKE '%%COPY (%%orders_order%%' AND pid <> pg_backend_pid()"
        )
        return int(cursor.fetchone()[0])


def end_exports() -> None:
    """As an operator would: the sessions are gone."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE query LIKE '%%COPY (%%orders_order%%' AND pid <> pg_backend_pid()"
        )
