"""Sockets: how soon the last of many hears of a change, what each costs, and who watches the sale."""

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
from bench.stage import Stage, percentile
from drills.private_shop import Worker, staff_cookie, wait_for

if TYPE_CHECKING:
    from threading import Event

    from inventory.models import Sale

_CHANGES = 40  # of the stock, for each number of sockets
_AT_ONCE = 50  # sockets that are being opened
_PATIENCE = 30.0  # seconds, until the last must have heard


def sockets(stage: Stage) -> None:
    """The same sockets all along, more and more of them."""
    with stage.sale() as sale:
        uvloop.run(_more_and_more(stage, sale))


async def _more_and_more(stage: Stage, sale: "Sale") -> None:
    crowd = _Crowd(stage, sale)
    before = _memory()
    for count in SOCKETS:
        opened = await crowd.grow(count)
        took = [await crowd.hears_of_a_change() for _ in range(_CHANGES)]
        for share in (50, 99):
            stage.results.add(LAST[count, f"p{share}"], percentile(took, share))
    stage.results.add(OPENED, opened)
    # In later rounds a process fills what it holds already.
    if stage.results.median(MEMORY) is None:
        stage.results.add(MEMORY, (_memory() - before) / SOCKETS[-1] / 1000)
    crowd.close()


class _Crowd:
    """Open pages of a sale."""

    def __init__(self, stage: Stage, sale: "Sale") -> None:
        self._stage, self._sale = stage, sale
        self._sockets: list[Socket] = []
        self._units = stage.units
        self._waiting: set[int] = set()  # sockets that have not heard of the latest change
        self._wanted = b""
        self._last = 0.0
        self._all_heard = asyncio.Event()

    async def grow(self, count: int) -> float:
        """Opens as many as are missing. Gives how many a second that was."""
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
        await asyncio.sleep(1)  # each gets the present state as well
        return missing / took

    async def hears_of_a_change(self) -> float:
        """Seconds from a commit that changes the stock to the frame on the last socket."""
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
        # Longer than the feed pauses between two stocks in a rush, when newer ones come anyway.
        await asyncio.sleep(0.05 + len(self._sockets) / 10_000)
        return self._last - committed

    def close(self) -> None:
        for socket in self._sockets:
            socket.close()

    def _hear(self, number: int, frame: bytes) -> None:
        """Some hear twice: what was offered changes as well, and is read a moment later."""
        if self._wanted in frame and number in self._waiting:
            self._waiting.remove(number)
            if not self._waiting:
                self._last = time.perf_counter()
                self._all_heard.set()


def _add_a_unit(sale: "Sale") -> float:
    """As staff do; but here it is known when it was committed."""
    from django.db import connection

    from flashsale.database import bounded_transaction
    from inventory import stock
    from inventory.models import Sale, StockMovement
    from orders import replication

    try:
        with bounded_transaction():
            locked = Sale.objects.select_for_update(no_key=True).get(pk=sale.pk)
            [product] = stock.lock([locked.products.get().pk])
            locked.version += 1
            locked.save(update_fields=["version"])
            stock.move(product, 1, StockMovement.Reason.RECEIVED, sales=[locked], actor="bench")
        committed = time.perf_counter()
        replication.replicate(sale.pk)
        return committed
    finally:
        connection.close()


def _memory() -> int:
    """Bytes that the web processes of the shop hold."""
    from flashsale.observe import telemetry_reader

    webs = [one.pid for one in telemetry_reader.processes() if one.role == "web" and one.alive]
    return sum(resident(pid) for pid in webs)


def resident(pid: int) -> int:
    """Bytes of memory of a process, by Linux' account."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    line = next(line for line in lines if line.startswith("VmRSS"))
    return int(line.split()[1]) * 1024


@contextmanager
def dashboard(port: int) -> Iterator[None]:
    """A member of staff has the dashboard open."""
    staff = staff_cookie()
    frames: list[bytes] = []

    async def watch(ending: "Event") -> None:
        socket = await Socket.open(port, "/ws/dashboard/", frames.append, staff)
        await asyncio.to_thread(ending.wait)
        socket.close()

    watching = Worker(lambda ending: uvloop.run(watch(ending)), "dashboard")
    try:
        wait_for(lambda: len(frames) > 0)
        yield
    finally:
        watching.stop()
