"""From a click to the outcome on the shopper's own socket: idle, at half load, and in a closed loop."""

import asyncio
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

import uvloop

from bench import wrk
from bench.buying import empty
from bench.figures import ACCEPTED, HALF, IDLE, LOOP, LOOP_P50, LOOP_P99, PAUSE, SILENCE
from bench.sockets import Socket
from bench.stage import Stage, cookie, first_sku, percentile
from drills.http import Connection, post
from drills.private_shop import HOST, TOKEN, BackgroundWork, make_staff_cookie

if TYPE_CHECKING:
    from threading import Event

    from inventory.models import Sale

_PLENTY = 10_000  # units that one of them may buy
_CLICKS, _RARE_CLICKS, _AMONG_OTHERS = 300, 60, 150
_PAUSES = 20
_PATIENCE = 30.0  # seconds for an outcome
# The load that is half of what is possible.
_CONNECTIONS, _HALF_LOAD = 32, 10.0  # seconds
_ACCEPTED = 4000.0  # clicks a second, where it was not measured
_ANSWERED = 3.0  # ms, about


class Buyer:
    """A shopper with a page open who buys, waits for the outcome, and buys again."""

    def __init__(self, stage: Stage, sale: "Sale", sku: str) -> None:
        from flashsale.http import shoppers

        self._stage, self._sale, self._sku = stage, sale, sku
        self._shopper = shoppers.new_shopper()
        self._cookie = cookie(self._shopper)
        self._expected = b""
        self._heard = asyncio.Event()

    async def come(self) -> None:
        port, path = self._stage.port, f"/ws/sales/{self._sale.slug}/"
        self._connection = await Connection.open(HOST, port)
        self._socket = await Socket.open(port, path, self._hear, self._cookie)

    async def buy(self) -> float:
        """Seconds from the click to "secured"."""
        from orders import tickets

        purchase = tickets.new_purchase(self._sale.pk)
        form = f"ticket={tickets.ticket_for(purchase, self._shopper)}&product={self._sku}"
        click = post(f"/sales/{self._sale.slug}/buy", self._stage.site, self._cookie, form)
        self._expected = f'id="purchase-{purchase}"'.encode()
        self._heard.clear()
        began = time.perf_counter()
        answer = await self._connection.send(click)
        if answer.status not in (200, 202):
            raise SystemExit(f"a click was answered {answer.status}")
        await asyncio.wait_for(self._heard.wait(), _PATIENCE)
        return self._at - began

    def leave(self) -> None:
        self._connection.close()
        self._socket.close()

    def _hear(self, frame: bytes) -> None:
        if self._expected and self._expected in frame:
            assert b'data-status="confirmed"' in frame, frame
            self._at = time.perf_counter()
            self._heard.set()


def click_to_confirmed(stage: Stage) -> None:
    """One click after the other, on a shop in which nobody else does anything; then among others."""
    with stage.sale(limit=_PLENTY) as sale:
        sku = first_sku(sale)

        def clicks(count: int, pause: float) -> list[float]:
            return list(uvloop.run(_in_a_row(Buyer(stage, sale, sku), count, pause)))

        _add(stage, IDLE, clicks(_CLICKS, 0.01))
        _add(stage, SILENCE, clicks(_RARE_CLICKS, 0.3))
        half = (stage.results.median(ACCEPTED[64]) or _ACCEPTED) / 2
        requests = list(stage.clicks(sale, _HALF_LOAD))
        pause = _CONNECTIONS / half * 1000 - _ANSWERED

        loads: list[wrk.Load] = []

        def click(_: "Event") -> None:
            loads.append(wrk.load(stage.port, _CONNECTIONS, _HALF_LOAD, requests, pause=pause))

        others = BackgroundWork(click, "others")
        took = clicks(_AMONG_OTHERS, 0.01)
        alone = bool(loads)
        others.stop()
        if alone or not 0.3 < loads[0].per_second(202) / half / 2 < 0.7:
            raise SystemExit(f"that was no half load: {loads}")
        _add(stage, HALF, took)
        empty(sale)


def _add(stage: Stage, names: Mapping[str, str], took: list[float]) -> None:
    stage.results.add(names["p50"], percentile(took, 50))
    stage.results.add(names["p99"], percentile(took, 99))


async def _in_a_row(buyer: Buyer, count: int, pause: float) -> list[float]:
    await buyer.come()
    took = []
    for _ in range(count):
        took.append(await buyer.buy())
        await asyncio.sleep(pause)
    buyer.leave()
    return took


def closed_loop(stage: Stage, users: int) -> None:
    """Each joins, buys, waits for the outcome on its socket, and repeats."""
    with stage.sale(limit=_PLENTY) as sale:
        took, lasted = uvloop.run(_all_at_once(stage, sale, users))
    stage.results.add(LOOP[users], len(took) / lasted)
    stage.results.add(LOOP_P50[users], percentile(took, 50))
    stage.results.add(LOOP_P99[users], percentile(took, 99))


async def _all_at_once(stage: Stage, sale: "Sale", users: int) -> tuple[list[float], float]:
    """How long each click took, and all of them together."""
    sku = await asyncio.to_thread(first_sku, sale)
    buyers = [Buyer(stage, sale, sku) for _ in range(users)]
    await asyncio.gather(*(buyer.come() for buyer in buyers))
    took: list[float] = []
    began = time.perf_counter()

    async def repeat(buyer: Buyer) -> None:
        while time.perf_counter() - began < stage.seconds:
            took.append(await buyer.buy())
        buyer.leave()

    await asyncio.gather(*(repeat(buyer) for buyer in buyers))
    return took, time.perf_counter() - began


def pauses(stage: Stage) -> None:
    """From staff's click on "Pause" to the frame on a shopper's socket that says so."""
    with stage.sale() as sale:
        took = uvloop.run(_pause_and_resume(stage, sale, make_staff_cookie()))
    stage.results.add(PAUSE, percentile(took, 50))


async def _pause_and_resume(stage: Stage, sale: "Sale", staff: str) -> list[float]:
    shown, wanted = asyncio.Event(), b""

    def hear(frame: bytes) -> None:
        if wanted in frame:
            shown.set()

    connection = await Connection.open(HOST, stage.port)
    socket = await Socket.open(stage.port, f"/ws/sales/{sale.slug}/", hear)
    took = []
    for action, phase in (("pause", "paused"), ("resume", "open")) * _PAUSES:
        wanted = f'id="state" class="state" data-phase="{phase}"'.encode()
        shown.clear()
        path, form = f"/dashboard/sales/{sale.pk}/{action}/", f"csrfmiddlewaretoken={TOKEN}"
        began = time.perf_counter()
        asked = asyncio.create_task(connection.send(post(path, stage.site, staff, form)))
        await asyncio.wait_for(shown.wait(), _PATIENCE)
        if action == "pause":
            took.append(time.perf_counter() - began)
        assert (await asked).status == 302
    connection.close()
    socket.close()
    return took
