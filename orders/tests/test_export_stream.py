"""The export that web processes stream: in pieces, a few at once, and never short without an error."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import aclosing
from urllib.parse import urlsplit

import psycopg
import pytest
from asgiref.sync import sync_to_async
from django.db import OperationalError, connections

from conftest import MakeSale
from inventory.models import Sale
from orders import export_stream
from orders.export import choose
from orders.export_stream import ExportRunning, start_export
from orders.tests.many_orders import (
    MANY,
    end_exports,
    exports_in_postgresql,
    turn_away_very_many,
)
from tests import servers
from tests.faults.proxy import Proxy
from tests.stack import DEADLINE, wait_for

Chunks = AsyncGenerator[bytes, None]


@pytest.fixture(scope="module")
def crowded(make_shared_sale: MakeSale) -> Sale:
    return turn_away_very_many(make_shared_sale(closes_in=-30, live=False))


@pytest.fixture
def proxy(monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    """Between the export and PostgreSQL."""
    with Proxy(servers.POSTGRES.url).running() as proxy:
        settings = connections.settings["default"]
        monkeypatch.setitem(settings, "HOST", "127.0.0.1")
        monkeypatch.setitem(settings, "PORT", urlsplit(proxy.url).port)
        yield proxy


def while_exported(sale: Sale, act: Callable[[Chunks], Awaitable[None]]) -> None:
    """Begin an export, read its first lines, then act."""

    chosen = choose(sale=sale.pk)

    async def run() -> None:
        async with aclosing(await start_export(chosen)) as chunks:
            assert (await anext(chunks)).startswith(b"\xef\xbb\xbforder,")
            assert (await anext(chunks)).count(b"\n") == export_stream.ROWS
            await act(chunks)

    asyncio.run(asyncio.wait_for(run(), DEADLINE))


async def rest(chunks: Chunks) -> int:
    """How many lines there are."""
    return sum([chunk.count(b"\n") async for chunk in chunks])


async def postgresql_exports(number: int) -> None:
    await sync_to_async(wait_for)(
        lambda: exports_in_postgresql() == number, f"{number} exports in PostgreSQL"
    )


def test_the_first_orders_are_sent_before_the_last_is_read(
    crowded: Sale, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export_stream, "IDLE", 0)  # no other task waits here

    async def act(chunks: Chunks) -> None:
        await postgresql_exports(1)
        assert await rest(chunks) == MANY - export_stream.ROWS
        await postgresql_exports(0)

    while_exported(crowded, act)


def test_nobody_else_waits_for_more_than_a_few_orders(crowded: Sale) -> None:
    async def act(chunks: Chunks) -> None:
        turns = 0

        async def take_turns() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        other, before = asyncio.create_task(take_turns()), 0
        for _ in range(100):
            assert (await anext(chunks)).count(b"\n") <= export_stream.ROWS
            assert turns > before
            before = turns
        other.cancel()

    while_exported(crowded, act)


def test_a_client_that_leaves_ends_the_query(crowded: Sale) -> None:
    async def act(chunks: Chunks) -> None:
        await postgresql_exports(1)
        await chunks.aclose()
        await postgresql_exports(0)

    while_exported(crowded, act)


def test_a_client_that_does_not_read_loses_its_place_and_sees_that_the_file_is_cut(
    crowded: Sale, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export_stream, "UNREAD", 0.2)

    async def act(chunks: Chunks) -> None:
        await postgresql_exports(0)
        await (await start_export(await sync_to_async(choose)())).aclose()  # there is a place
        with pytest.raises(psycopg.OperationalError):
            await rest(chunks)

    while_exported(crowded, act)


def test_another_one_waits_until_the_first_is_over(crowded: Sale) -> None:
    async def act(chunks: Chunks) -> None:
        with pytest.raises(ExportRunning):
            await start_export(await sync_to_async(choose)())
        await chunks.aclose()
        await (await start_export(await sync_to_async(choose)())).aclose()

    while_exported(crowded, act)


def test_a_session_that_is_ended_in_the_middle_is_an_error_and_not_the_end(crowded: Sale) -> None:
    async def act(chunks: Chunks) -> None:
        await sync_to_async(end_exports)()
        with pytest.raises(psycopg.OperationalError):
            await rest(chunks)
        await (await start_export(await sync_to_async(choose)())).aclose()

    while_exported(crowded, act)


def test_postgresql_that_falls_silent_in_the_middle_is_an_error_too(
    crowded: Sale, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export_stream, "SILENCE", 0.2)

    async def act(chunks: Chunks) -> None:
        with proxy.silent(), pytest.raises(psycopg.OperationalError):
            await rest(chunks)

    while_exported(crowded, act)


@pytest.mark.parametrize("state", ["silent", "gone"])
def test_without_postgresql_no_file_is_begun(
    proxy: Proxy, state: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export_stream, "PATIENCE", 0.5)
    monkeypatch.setitem(connections.settings["default"]["OPTIONS"], "connect_timeout", 600)
    chosen = choose()
    with getattr(proxy, state)(), pytest.raises((OperationalError, TimeoutError)):
        asyncio.run(start_export(chosen))
    assert not export_stream._running


def test_postgresql_that_falls_silent_after_the_greeting_is_an_error_in_time(
    proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export_stream, "PATIENCE", 0.5)
    connect, chosen = export_stream._connect, choose()

    async def run() -> None:
        with pytest.MonkeyPatch.context() as patch:
            session = await connect()
            patch.setattr(export_stream, "_connect", lambda: asyncio.sleep(0, session))
            with proxy.silent(), pytest.raises(OperationalError):
                await asyncio.wait_for(start_export(chosen), 4)  # psycopg's own way takes 10 s

    asyncio.run(run())
    assert not export_stream._running
