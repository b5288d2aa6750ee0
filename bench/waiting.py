"""Measures the time from a click to the outcome on the shopper's socket: idle, at half load, in a loop."""

import asyncio
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

import uvloop

from bench import wrk
from bench.buying import wait_for_empty_line
from bench.figures import ACCEPTED, HALF, IDLE, LOOP, LOOP_P50, LOOP_P99, PAUSE, SILENCE
from bench.sockets import Socket
from bench.stage import Stage, first_sku, percentile_ms, shopper_cookie, shown_in
from drills.http import Connection, post
from drills.private_shop import HOST, TOKEN, BackgroundWork, make_staff_cookie

if TYPE_CHECKING:
    from threading import Event

    from inventory.models import Sale

_PLENTY = 10_000  # units per shopper
_CLICKS, _RARE_CLICKS, _AMONG_OTHERS = 300, 60, 150
_PAUSES = 20
_PATIENCE = 30.0  # seconds for an outcome
# Half of the possible load.
_CONNECTIONS, _HALF_LOAD = 32, 10.0  # seconds
_ACCEPTED = 4000.0  # clicks/s, assumed if not measured
_ANSWERED = 3.0  # ms until an answer, roughly


class Buyer:
    """A shopper with an open page, who buys, waits for the outcome, and buys again."""

    def __init__(self, stage: Stage, sale: "Sale", sku: str) -> None:
        from flashsale.http import shoppers

        self._stage, self._sale, self._sku = stage, sale, sku
        self._shopper = shoppers.new_shopper()
        self._cookie = shopper_cookie(self._shopper)
        self._expected = b""
        self._heard = asyncio.Event()

    async def open_page(self) -> None:
        port, path = self._stage.port, f"/ws/sales/{self._sale.slug}/"
        self._connection = await Connection.open(HOST, port)
        self._socket = await Socket.open(port, path, self._hear, self._cookie)

    async def buy(self) -> float:
        """Buy once. Return the seconds from the click to the frame that confirms it."""
        from orders import tickets

        purchase = tickets.new_purchase(self._sale.pk)
        ticket = tickets.ticket_for(purchase, self._shopper, shown_in(self._sale.pk))
        form = f"ticket={ticket}&product={self._sku}"
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


def measure_click_to_confirmed(stage: Stage) -> None:
    """Measure single clicks, one after the other: in an idle shop, then beside half the possible load."""
    with stage.open_sale(limit=_PLENTY) as sale:
        sku = first_sku(sale)

        def clicks(count: int, pause: float) -> list[float]:
            return list(uvloop.run(_click_in_sequence(Buyer(stage, sale, sku), count, pause)))

        _add(stage, IDLE, clicks(_CLICKS, 0.01))
        _add(stage, SILENCE, clicks(_RARE_CLICKS, 0.3))
        half = (stage.results.median(ACCEPTED[64]) or _ACCEPTED) / 2
        requests = list(stage.make_clicks(sale, _HALF_LOAD))
        pause = _CONNECTIONS / half * 1000 - _ANSWERED

        loads: list[wrk.Load] = []

        def click(_: "Event") -> None:
            loads.append(wrk.run_load(stage.port, _CONNECTIONS, _HALF_LOAD, requests, pause=pause))

        others = BackgroundWork(click, "others")
        took = clicks(_AMONG_OTHERS, 0.01)
        alone = bool(loads)
        others.stop()
        if alone or not 0.3 < loads[0].per_second(202) / half / 2 < 0.7:
            raise SystemExit(f"the load was not half of the possible one: {loads}")
        _add(stage, HALF, took)
        wait_for_empty_line(sale)


def _add(stage: Stage, names: Mapping[str, str], took: list[float]) -> None:
    stage.results.add(names["p50"], percentile_ms(took, 50))
    stage.results.add(names["p99"], percentile_ms(took, 99))


async def _click_in_sequence(buyer: Buyer, count: int, pause: float) -> list[float]:
    await buyer.open_page()
    took = []
    for _ in range(count):
        took.append(await buyer.buy())
        await asyncio.sleep(pause)
    buyer.leave()
    return took


def measure_closed_loop(stage: Stage, users: int) -> None:
    """Measure users who buy, wait for the outcome on their socket, and buy again."""
    with stage.open_sale(limit=_PLENTY) as sale:
        took, lasted = uvloop.run(_click_in_parallel(stage, sale, users))
    stage.results.add(LOOP[users], len(took) / lasted)
    stage.results.add(LOOP_P50[users], percentile_ms(took, 50))
    stage.results.add(LOOP_P99[users], percentile_ms(took, 99))


async def _click_in_parallel(stage: Stage, sale: "Sale", users: int) -> tuple[list[float], float]:
    """Return the seconds of each click, and of the whole run."""
    sku = await asyncio.to_thread(first_sku, sale)
    buyers = [Buyer(stage, sale, sku) for _ in range(users)]
    await asyncio.gather(*(buyer.open_page() for buyer in buyers))
    took: list[float] = []
    began = time.perf_counter()

    async def repeat(buyer: Buyer) -> None:
        while time.perf_counter() - began < stage.seconds:
            took.append(await buyer.buy())
        buyer.leave()

    await asyncio.gather(*(repeat(buyer) for buyer in buyers))
    return took, time.perf_counter() - began


def measure_pauses(stage: Stage) -> None:
    """Measure the time from the staff's click on "Pause" to the frame on a shopper's socket."""
    with stage.open_sale() as sale:
        took = uvloop.run(_pause_and_resume(stage, sale, make_staff_cookie()))
    stage.results.add(PAUSE, percentile_ms(took, 50))


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
        answer = asyncio.create_task(connection.send(post(path, stage.site, staff, form)))
        await asyncio.wait_for(shown.wait(), _PATIENCE)
        if action == "pause":
            took.append(time.perf_counter() - began)
        assert (await answer).status == 302
    connection.close()
    socket.close()
    return took
