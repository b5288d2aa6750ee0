"""Transactions that hold nobody up, and the pool of connections to PostgreSQL."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psycopg
from django.db import connection, transaction
from psycopg_pool import ConnectionPool

LOCK_TIMEOUT = "2s"
IDLE_TIMEOUT = "5s"  # a frozen process holds its locks no longer


@contextmanager
def bounded() -> Iterator[None]:
    """A transaction that neither waits for a lock nor stands still with one for long.

    The time-outs are set per transaction: PgBouncer would not carry session settings along.
    """
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT set_config('lock_timeout', %s, true),"
                " set_config('idle_in_transaction_session_timeout', %s, true)",
                [LOCK_TIMEOUT, IDLE_TIMEOUT],
            )
        yield


def drop_broken_connections() -> None:
    """Throws away what an outage of PostgreSQL has left in this process' pool. Blocks briefly.

    psycopg's pool would find them out one at a time, as they are asked for, with pauses that grow to
    longer than anybody waits: a process with several idle connections stayed deaf for a minute after
    PostgreSQL was back.
    """
    connection.close()
    pool: ConnectionPool | None = getattr(connection, "pool", None)  # unknown to the stubs
    if pool is not None:
        with suppress(psycopg.Error):  # it is away still, and we shall be asked again
            pool.check()
