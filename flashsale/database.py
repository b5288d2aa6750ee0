"""Transactions that hold nobody up, and the pool of connections to PostgreSQL."""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from contextvars import copy_context
from functools import partial
from typing import Any, ParamSpec, TypeVar

import psycopg
from django.db import connection, transaction
from psycopg_pool import ConnectionPool

P = ParamSpec("P")
T = TypeVar("T")

LOCK_TIMEOUT = "2s"
PATIENCE = 3.0  # seconds, until whoever asked is told to try again
IDLE_TIMEOUT = "5s"  # a frozen process holds its locks no longer
TRANSACTION_TIMEOUT = "30s"  # nor does one that goes on and on

Statement = tuple[str, Sequence[Any] | Mapping[str, Any]]
Rows = list[tuple[Any, ...]]

# Per transaction: PgBouncer would not carry session settings along.
BOUNDS: Statement = (
    "SELECT set_config('lock_timeout', %s, true),"
    " set_config('idle_in_transaction_session_timeout', %s, true),"
    " CASE WHEN current_setting('server_version_num')::int >= 170000"
    " THEN set_config('transaction_timeout', %s, true) END",  # older ones do not know it
    (LOCK_TIMEOUT, IDLE_TIMEOUT, TRANSACTION_TIMEOUT),
)


@contextmanager
def bounded_transaction() -> Iterator[None]:
    """A transaction that neither waits for a lock nor stands still with one for long."""
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute(*BOUNDS)
        yield


def ask_together(*statements: Statement) -> list[Rows]:
    """The rows that each of these gives; each must be of the kind that gives rows. They take one round
    trip, are carried out one after the other, each with a snapshot of its own, and end at the first
    that PostgreSQL refuses.

    As one message, and not in libpq's pipeline: psycopg ends that with a Flush behind the Sync, upon which
    PostgreSQL forgets IDLE_TIMEOUT.
    """
    with connection.cursor() as cursor:
        cursor.execute(";".join(cursor.mogrify(*statement) for statement in statements))
        given = [cursor.fetchall()]
        while cursor.nextset():
            given.append(cursor.fetchall())
    return given


def require_transaction() -> None:
    """Raises TransactionManagementError outside a transaction: what was locked would be free again."""
    if not connection.in_atomic_block:
        raise transaction.TransactionManagementError("only inside a transaction")


# As many as the pool has connections by default, and of their own: a PostgreSQL that hangs would take
# all of the loop's, which Django answers errors with.
_threads = ThreadPoolExecutor(12, thread_name_prefix="postgresql")


async def in_thread(question: Callable[P, T], *args: P.args, **options: P.kwargs) -> T:
    """Asks PostgreSQL without blocking the event loop; then the connection is back in the pool. Raises
    DatabaseError, and TimeoutError where it does not answer within PATIENCE."""
    return await asyncio.wait_for(in_its_time(question, *args, **options), PATIENCE)


async def in_its_time(question: Callable[P, T], *args: P.args, **options: P.kwargs) -> T:
    """The same for whoever waits with a patience of their own, and asks one question at a time."""
    ask = partial(give_back_after, question, *args, **options)
    return await asyncio.get_running_loop().run_in_executor(_threads, copy_context().run, ask)


def give_back_after(question: Callable[P, T], *args: P.args, **options: P.kwargs) -> T:
    """Asks in this thread, and gives the thread's connection back to the pool whatever comes of it."""
    try:
        return question(*args, **options)
    finally:
        connection.close()


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


async def drop_broken_connections_soon() -> None:
    """The same from the event loop, for no longer than PATIENCE: one that hangs cannot be asked."""
    with suppress(TimeoutError):
        await in_thread(drop_broken_connections)
