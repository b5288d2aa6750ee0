"""The pool of connections to PostgreSQL."""

import contextlib

import psycopg
from django.db import connection
from psycopg_pool import ConnectionPool


def drop_broken_connections() -> None:
    """Throws away what an outage of PostgreSQL has left in this process' pool. Blocks briefly.

    psycopg's pool would find them out one at a time, as they are asked for, with pauses that grow to
    longer than anybody waits: a process with several idle connections stayed deaf for a minute after
    PostgreSQL was back.
    """
    connection.close()
    pool: ConnectionPool | None = getattr(connection, "pool", None)  # unknown to the stubs
    if pool is not None:
        with contextlib.suppress(psycopg.Error):  # it is away still, and we shall be asked again
            pool.check()
