"""Stream the export from the event loop of a web process: in constant memory, and without a thread.

Django under ASGI reads a synchronous stream to its end before it sends the first byte. Its pool of
connections is not used: a download would keep one of the few for as long as the client reads.
"""

import asyncio
import os
import socket
import time
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager, suppress
from typing import Any

import psycopg
from django.db import OperationalError, connection

from flashsale.database import LOCK_TIMEOUT, PATIENCE
from orders.export import BYTE_ORDER_MARK, ORDERS, as_csv, as_row, columns

Session = psycopg.AsyncConnection[Any]
Copy = psycopg.AsyncCopy

# Exports of a process: each takes time from its clicks, and a session of PostgreSQL's.
MOST_AT_ONCE = 1
SILENCE = 30.0  # seconds for PostgreSQL's next rows: it sorts all of them before the first
UNREAD = 60.0  # seconds for the client to take the bytes that were sent
LONGEST = "30min"  # of the statement, whose snapshot keeps PostgreSQL from cleaning its tables
ROWS = 25  # formatted without a pause: about a millisecond
IDLE = 3  # times as long as it works, an export leaves the event loop to others
MOST_IDLE = 0.01  # seconds

_running: set[object] = set()


class ExportRunning(Exception):
    """MOST_AT_ONCE exports are running in this process."""


async def start_export(parameters: dict[str, object]) -> AsyncGenerator[bytes, None]:
    """Begin to read the orders that `choose` has chosen. Returns their file, with a BOM, in chunks.

    Raises ExportRunning; OperationalError or TimeoutError if PostgreSQL has not begun within twice
    PATIENCE. The chunks raise psycopg's OperationalError if the rest cannot be read.
    """
    chunks = _read(parameters)
    try:
        await anext(chunks)
    except psycopg.OperationalError as error:
        raise OperationalError(str(error)) from error
    return chunks


async def _read(parameters: dict[str, object]) -> AsyncGenerator[bytes, None]:
    """The chunks of the file, after an empty one: PostgreSQL has begun."""
    with _place() as place:
        async with AsyncExitStack() as stack:
            session = await _connect()
            stack.push_async_callback(session.close)
            with _cut_after(PATIENCE, session):
                await _bound(session)
                copying = session.cursor().copy(ORDERS, parameters)
                copy = await stack.enter_async_context(copying)
            # Before the end of `copying`, which would ask PostgreSQL to cancel, and wait for it.
            stack.push_async_callback(session.close)
            with _given_up_after(UNREAD, session, place):
                yield b""
            chunk = f"{BYTE_ORDER_MARK}{as_csv([columns(parameters)])}"
            while chunk:
                with _given_up_after(UNREAD, session, place):
                    yield chunk.encode()
                chunk = await _read_some(session, copy, parameters)


@contextmanager
def _place() -> Iterator[object]:
    """One of the places for exports. It may be given up before the end."""
    if len(_running) >= MOST_AT_ONCE:
        raise ExportRunning
    place = object()
    _running.add(place)
    try:
        yield place
    finally:
        _running.discard(place)


async def _connect() -> Session:
    """A session with the parameters of Django's. Raises TimeoutError, psycopg.Error."""
    parameters = {**connection.get_connection_params(), "cursor_factory": psycopg.AsyncCursor}
    async with asyncio.timeout(PATIENCE):
        session = await Session.connect(**parameters)
    await session.set_read_only(True)
    return session


async def _bound(session: Session) -> None:
    """Begin the transaction. Its limits are per transaction, because of PgBouncer."""
    await session.execute(
        "SELECT set_config('lock_timeout', %s, true), set_config('statement_timeout', %s, true)",
        (LOCK_TIMEOUT, LONGEST),
    )


async def _read_some(session: Session, copy: Copy, parameters: dict[str, object]) -> str:
    """The next lines; "" at the end. Leaves most of the time to the other tasks of the event loop."""
    with _cut_after(SILENCE, session):
        rows = await _next_rows(copy)
    began = time.perf_counter()
    lines = as_csv(as_row(order, parameters) for order in rows)
    await asyncio.sleep(min(IDLE * (time.perf_counter() - began), MOST_IDLE))
    return lines


async def _next_rows(copy: Copy) -> Sequence[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    while len(rows) < ROWS and (row := await copy.read_row()) is not None:
        rows.append(row)
    return rows


@contextmanager
def _cut_after(seconds: float, session: Session) -> Iterator[None]:
    """Break the connection if the block takes longer: a wait for PostgreSQL then raises OperationalError.

    A cancelled task would go on waiting, since psycopg first asks PostgreSQL to cancel.
    """
    timer = asyncio.get_running_loop().call_later(seconds, _break, session)
    try:
        yield
    finally:
        timer.cancel()


def _break(session: Session) -> None:
    with socket.socket(fileno=os.dup(session.fileno())) as same, suppress(OSError):
        same.shutdown(socket.SHUT_RDWR)  # fails if PostgreSQL has closed it


@contextmanager
def _given_up_after(seconds: float, session: Session, place: object) -> Iterator[None]:
    """Close the session and free its place if the client does not read. A later read then raises."""

    def give_up() -> None:
        session.pgconn.finish()
        _running.discard(place)

    timer = asyncio.get_running_loop().call_later(seconds, give_up)
    try:
        yield
    finally:
        timer.cancel()
