"""Measures sockets: the time of a change to the last of many, and the memory of each."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import uvloop

from bench.figures import LAST, MEMORY, OPENED, SOCKETS
from bench.sockets import Socket
from bench.stage import Stage, percentile_ms
from drills.private_shop import BackgroundWork, make_staff_cookie, wait_for

if TYPE_CHECKING:
    from threading import Event

    from inventory.models import Sale

_CHANGES = 40  # of the stock, for each number of sockets
_AT_ONCE = 50  # sockets being opened
_PATIENCE = 30.0  # seconds until the last socket must have the change


def measure_sockets(stage: Stage) -> None:
    """Measure a growing number of sockets of one sale."""
    with stage.open_sale() as sale:
        uvloop.run(_measure_growing_crowd(stage, sale))


async def _measure_growing_crowd(stage: Stage, sale: "Sale") -> None:
    crowd = _Crowd(stage, sale)
    before = _web_memory()
    for count in SOCKETS:
        opened = await crowd.grow(count)
        took = [await crowd.time_a_change() for _ in range(_CHANGES)]
        for share in (50, 99):
            stage.results.add(LAST[count, f"p{share}"], percentile_ms(took, share))
    stage.results.add(OPENED, opened)
    # Later rounds reuse memory that the process already holds.
    if stage.results.median(MEMORY) is None:
        stage.results.add(MEMORY, (_web_memory() - before) / SOCKETS[-1] / 1000)
    crowd.close()


class _Crowd:
    """Open pages of a sale."""

    def __init__(self, stage: Stage, sale: "Sale") -> None:
        self._stage, self._sale = stage, sale
        self._sockets: list[Socket] = []
        self._units = stage.units
        self._waiting: set[int] = set()  # sockets without the latest change
        self._wanted = b""
        self._last = 0.0
        self._all_heard = asyncio.Event()

    async def grow(self, count: int) -> float:
        """Open sockets until there are `count`. Return how many per second were opened."""
        missing = count - len(self._sockets)
        path = f"/ws/sales/{self._sale.slug}/"
        room = asyncio.Semaphore(_AT_ONCE)
        began = time.perf_counter()

        async def open_one(number: int) -> None:
            async with room:
                hear = partial(self._hear, number)
                self._sockets.append(await Socket.open(self._stage.port, path, hear))

        await asyncio.gather(*(open_one(number) for number in range(count - missing, count)))
        took = time.perf_counter() - began
        await asyncio.sleep(1)  # until each has received the present state
        return missing / took

    async def time_a_change(self) -> float:
        """Change the stock. Return the seconds from the commit to the frame on the last socket."""
        self._units += 1
        self._waiting = set(range(len(self._sockets)))
        self._wanted = f'data-left="{self._units}"'.encode()
        self._all_heard.clear()
        committed = await asyncio.to_thread(_add_a_unit, self._sale)
        try:
            await asyncio.wait_for(self._all_heard.wait(), _PATIENCE)
        except TimeoutError:
            lost = sum(socket.lost for socket in self._sockets)
            unheard = len(self._waiting)
            raise SystemExit(f"{unheard} sockets heard nothing, {lost} are lost") from None
        # Longer than the feed's pause between two messages about stock: it merges changes that come faster.
        await asyncio.sleep(0.05 + len(self._sockets) / 10_000)
        return self._last - committed

    def close(self) -> None:
        for socket in self._sockets:
            socket.close()

    def _hear(self, number: int, frame: bytes) -> None:
        """Count a socket once: some receive two frames, since the offer changes too, a moment later."""
        if self._wanted in frame and number in self._waiting:
            self._waiting.remove(number)
            if not self._waiting:
                self._last = time.perf_counter()
                self._all_heard.set()


def _add_a_unit(sale: "Sale") -> float:
    """Restock like staff, and return the time of the commit."""
    from django.db import connection

    from flashsale.database import bounded_transaction
    from inventory import stock
    from inventory.models import Sale, StockMovement
    from orders import replication

    try:
        with bounded_transaction():
            locked = Sale.objects.select_for_update(no_key=True).get(pk=sale.pk)
            [variant] = stock.lock([locked.variants.get().pk])
            locked.version += 1
            locked.save(update_fields=["version"])
            stock.move(variant, 1, StockMovement.Reason.RECEIVED, sales=[locked], actor="bench")
        committed = time.perf_counter()
        replication.replicate(sale.pk)
        return committed
    finally:
        connection.close()


def _web_memory() -> int:
    """Memory of the shop's web processes, in bytes."""
    from flashsale.observe import telemetry_reader

    webs = [one.pid for one in telemetry_reader.processes() if one.role == "web" and one.alive]
    return sum(resident_memory(pid) for pid in webs)


def resident_memory(pid: int) -> int:
    """Resident memory of a process in bytes, from Linux' /proc."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    line = next(line for line in lines if line.startswith("VmRSS"))
    return int(line.split()[1]) * 1024


@contextmanager
def open_dashboard(port: int) -> Iterator[None]:
    """Keep the dashboard's socket open, as a member of staff."""
    staff = make_staff_cookie()
    frames: list[bytes] = []

    async def watch(ending: "Event") -> None:
        socket = await Socket.open(port, "/ws/dashboard/", frames.append, staff)
        await asyncio.to_thread(ending.wait)
        socket.close()

    watching = BackgroundWork(lambda ending: uvloop.run(watch(ending)), "dashboard")
    try:
        wait_for(lambda: len(frames) > 0)
        yield
    finally:
        watching.stop()
