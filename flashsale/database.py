"""Transactions with time limits, and the pool of connections to PostgreSQL."""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from contextvars import copy_context
from datetime import datetime
from functools import partial
from typing import Any, ParamSpec, TypeVar

import psycopg
from django.db import InterfaceError, OperationalError, connection, transaction
from psycopg_pool import ConnectionPool

P = ParamSpec("P")
T = TypeVar("T")

LOCK_TIMEOUT = "2s"
PATIENCE = 3.0  # seconds for PostgreSQL's answer; then the page says to try again
IDLE_TIMEOUT = "5s"  # a frozen process keeps its locks no longer
TRANSACTION_TIMEOUT = "30s"  # nor does one that never ends its transaction
LONG_TIMEOUT = "10min"  # of statements with a million rows, whose locks keep no one waiting

Statement = tuple[str, Sequence[Any] | Mapping[str, Any]]
Rows = list[tuple[Any, ...]]

# Per transaction: PgBouncer in transaction mode loses session settings.
BOUNDS: Statement = (
    "SELECT set_config('lock_timeout', %s, true),"
    " set_config('idle_in_transaction_session_timeout', %s, true),"
    " CASE WHEN current_setting('server_version_num')::int >= 170000"
    " THEN set_config('transaction_timeout', %s, true) END",  # unknown to older versions
    (LOCK_TIMEOUT, IDLE_TIMEOUT, TRANSACTION_TIMEOUT),
)


@contextmanager
def bounded_transaction(*, prepares: bool = False) -> Iterator[None]:
    """A transaction that waits for a lock at most LOCK_TIMEOUT, and idles at most IDLE_TIMEOUT; one that
    `prepares` may idle for TRANSACTION_TIMEOUT until `stop_preparing`."""
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute(*BOUNDS)
        if prepares:
            _bound_idling(TRANSACTION_TIMEOUT)
        yield


@contextmanager
def long_transaction() -> Iterator[None]:
    """A transaction that may take LONG_TIMEOUT. It must lock nothing for which others wait."""
    bounds, (lock, idle, _) = BOUNDS
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute(bounds, (lock, idle, LONG_TIMEOUT))
        yield


def stop_preparing() -> None:
    """Bound the transaction's idling: to be called before it takes locks for which others wait."""
    require_transaction()
    _bound_idling(IDLE_TIMEOUT)


def _bound_idling(timeout: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT set_config('idle_in_transaction_session_timeout', %s, true)", [timeout]
        )


def ask_together(*statements: Statement) -> list[Rows]:
    """Run statements in one round trip. Returns each one's rows; each must be of a kind that returns rows.

    PostgreSQL runs them in order, each with its own snapshot, and stops at the first that fails.

    They are one message instead of a libpq pipeline: psycopg ends a pipeline with a Flush after the Sync,
    after which PostgreSQL ignores IDLE_TIMEOUT.
    """
    with connection.cursor() as cursor:
        cursor.execute(";".join(cursor.mogrify(*statement) for statement in statements))
        results = [cursor.fetchall()]
        while cursor.nextset():
            results.append(cursor.fetchall())
    return results


def read_clock() -> datetime:
    """PostgreSQL's clock: one for all processes, for what cannot be taken back."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        [now] = cursor.fetchone() or (None,)
    assert isinstance(now, datetime)
    return now


def require_transaction() -> None:
    """Raise TransactionManagementError outside a transaction, where a lock would be released at once."""
    if not connection.in_atomic_block:
        raise transaction.TransactionManagementError("only inside a transaction")


# As many threads as the pool has connections by default. Not the loop's own threads: if PostgreSQL hangs,
# all of them would block, and Django needs one to answer with an error.
_threads = ThreadPoolExecutor(12, thread_name_prefix="postgresql")


async def in_thread(question: Callable[P, T], *args: P.args, **options: P.kwargs) -> T:
    """Call `question`, which queries PostgreSQL, in a thread, then return the connection to the pool.

    Raises DatabaseError, and TimeoutError if it takes longer than PATIENCE.
    """
    return await asyncio.wait_for(in_thread_without_timeout(question, *args, **options), PATIENCE)


async def in_thread_without_timeout(
    question: Callable[P, T], *args: P.args, **options: P.kwargs
) -> T:
    """Like `in_thread`, without a timeout, for callers that run one question at a time."""
    ask = partial(give_back_after, question, *args, **options)
    return await asyncio.get_running_loop().run_in_executor(_threads, copy_context().run, ask)


def give_back_after(question: Callable[P, T], *args: P.args, **options: P.kwargs) -> T:
    """Call `question` in this thread, then return the thread's connection to the pool, also on errors."""
    try:
        return question(*args, **options)
    finally:
        connection.close()


def only_reads(error: BaseException) -> bool:
    """Whether PostgreSQL has refused to write because it can only be read: nothing was changed.

    The session is dropped then (`flashsale/postgresql/base.py`).
    """
    return _sqlstate(error) == "25006"


def is_away(error: BaseException) -> bool:
    """Whether PostgreSQL was not reached, or went away; otherwise it answered with a refusal."""
    if not isinstance(error, OperationalError | InterfaceError):
        return False
    state = _sqlstate(error)
    return state is None or state.startswith(("08", "57P"))  # connection, operator's intervention


def why_read_only() -> str:
    """Ask PostgreSQL why it can only be read; "" if it can be written to. Raises DatabaseError."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_is_in_recovery(), current_setting('transaction_read_only')::bool")
        is_standby, is_read_only = cursor.fetchone() or (False, False)
    if is_standby:
        return "it is a standby"
    return "default_transaction_read_only is on" if is_read_only else ""


def count_connections() -> tuple[int, int]:
    """Clients' connections to PostgreSQL: in use, and allowed without those kept for superusers."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*), current_setting('max_connections')::int"
            " - current_setting('superuser_reserved_connections')::int"
            " FROM pg_stat_activity WHERE backend_type = 'client backend'"
        )
        used, allowed = cursor.fetchone() or (0, 0)
    return used, allowed


def _sqlstate(error: BaseException) -> str | None:
    """The code of PostgreSQL's error, which is the cause of Django's; None if it did not answer."""
    return getattr(error.__cause__, "sqlstate", None)


def drop_broken_connections() -> None:
    """Discard the connections of this process' pool that an outage has broken. Blocks briefly.

    psycopg's pool by itself finds broken connections one at a time, on use, with growing pauses: a process
    with several idle connections stayed unusable for a minute after PostgreSQL was back.
    """
    connection.close()
    pool: ConnectionPool | None = getattr(connection, "pool", None)  # unknown to the stubs
    if pool is not None:
        with suppress(psycopg.Error):  # still down; the next failed query calls this again
            pool.check()


async def drop_broken_connections_soon() -> None:
    """Like `drop_broken_connections`, from the event loop, for at most PATIENCE: PostgreSQL may hang."""
    with suppress(TimeoutError):
        await in_thread(drop_broken_connections)
