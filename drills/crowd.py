"""Crowds of simulated shoppers: one that comes and leaves together, and an endless one."""

import asyncio
import random
import resource
import signal
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import uvloop

from drills.habits import SHARES
from drills.http import Site
from drills.payers import Payers
from drills.private_shop import ending_signals
from drills.shopper import Shopper
from drills.shopper_log import Log

ARRIVAL = 3.0  # seconds within which all arrive, most of them in the first
DEADLINE = 30.0  # seconds for undecided purchases at the end
LONGEST_VISIT = 5.0  # seconds after which a shopper of an endless crowd makes no new click
_ENTERING, _STAYING = 4, 8  # every so many places of an endless crowd, if there is a draw
_TICK = 0.25  # seconds between two reports of progress
_FILES = 3  # open per shopper, at most on average: its socket and its connections
_SPARE_FILES = 100
_MOST = 5000  # beyond this the simulating process, not the shop, sets the pace

Say = Callable[[str], None]


class Crowd:
    """Shoppers of one sale who come within the first seconds and leave together.

    The same seed gives the same habits and the same choices. With `payers` they go on to the checkout
    of their holds.
    """

    def __init__(
        self,
        site: Site,
        slug: str,
        shoppers: int,
        seconds: float,
        seed: int,
        payers: Payers | None = None,
    ) -> None:
        self.seconds = seconds
        self._payers = payers
        self.interrupted = False
        self._site, self._slug, self._seed = site, slug, seed
        self._habits = draw_habits(shoppers, random.Random(seed))  # noqa: S311  # protects nothing
        self._closing = asyncio.Event()
        self.logs: list[Log] = []

    def shop(self, say: Say | None = None) -> list[Log]:
        """Block until all have left, and return their logs. On Ctrl-C, SIGTERM or SIGHUP they leave early;
        a second Ctrl-C is not caught."""
        uvloop.run(self._shop(say))
        return self.logs

    async def _shop(self, say: Say | None) -> None:
        self._listen_for_interrupt()
        reporting = asyncio.create_task(self._report_progress(say)) if say else None
        places = [
            asyncio.create_task(self._fill_place(*place)) for place in enumerate(self._habits)
        ]
        try:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._closing.wait(), self.seconds)
        finally:
            self._close()
        _, late = await asyncio.wait(places, timeout=DEADLINE)
        for place in late:
            place.cancel()
        await asyncio.gather(*places, return_exceptions=True)
        if reporting:
            reporting.cancel()
        for place in places:
            if not place.cancelled():
                place.result()  # raise the drill's own errors, which are not faults of the shop

    async def _fill_place(self, number: int, habit: str) -> None:
        """Simulate one shopper, from arrival to departure."""
        shopper = self._new_shopper(f"{number}", habit, self._closing)
        await shopper.pause(min(shopper.random.expovariate(1), ARRIVAL, self.seconds / 2))
        await self._visit(shopper, stays=True)

    def _new_shopper(self, number: str, habit: str, closing: asyncio.Event) -> Shopper:
        seed = f"{self._seed} {number}"
        shopper = Shopper(self._site, self._slug, closing=closing, seed=seed, habit=habit)
        self.logs.append(shopper.log)
        return shopper

    async def _visit(self, shopper: Shopper, *, stays: bool) -> None:
        """With `stays`, the shopper keeps the page open after the outcome."""
        habit, _ = SHARES[shopper.log.habit]
        try:
            await habit(shopper)
            await shopper.wait_for_outcomes()
            if self._payers:
                await self._check_out(self._payers, shopper)
            if stays:
                await shopper.closing.wait()
        finally:
            await shopper.leave()

    async def _check_out(self, payers: Payers, shopper: Shopper) -> None:
        for purchase, update in list(shopper.log.final.items()):
            if update.status == "held":
                await payers.check_out(shopper.browser, purchase, shopper.random)
                await shopper.ask_outcome(purchase)

    def _close(self) -> None:
        self._closing.set()

    def _listen_for_interrupt(self) -> None:
        loop = asyncio.get_running_loop()

        def close(number: signal.Signals) -> None:
            self.interrupted = True
            self._close()
            if number == signal.SIGINT:
                loop.remove_signal_handler(number)

        for number in ending_signals():
            loop.add_signal_handler(number, close, number)

    async def _report_progress(self, say: Say) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        while True:
            phase = "waiting for answers" if self._closing.is_set() else "shopping"
            say(
                f"{loop.time() - began:.0f} of {self.seconds:g} s, {phase}: {describe_progress(self.logs)}"
            )
            await asyncio.sleep(_TICK)


class EndlessCrowd(Crowd):
    """An endless crowd: a shopper who knows all outcomes leaves, and another one comes."""

    def __init__(self, *args: Any, draw: str = "") -> None:
        """`draw` is a second sale: every fourth place enters its draw, and every eighth stays for it."""
        super().__init__(*args)
        self._draw = draw
        self.entered: list[Log] = []  # logs of those who entered the draw, which `logs` has not
        self._leaving: set[asyncio.Event] = set()  # of the present shoppers

    async def _fill_place(self, number: int, habit: str) -> None:
        """Simulate one shopper after the other."""
        visit = 0
        while not self._closing.is_set():
            leaving = asyncio.Event()
            self._leaving.add(leaving)
            bored = asyncio.get_running_loop().call_later(LONGEST_VISIT, leaving.set)
            await self._visit(self._choose_sale(number, visit, habit, leaving), stays=False)
            bored.cancel()
            self._leaving.remove(leaving)
            visit += 1

    def _choose_sale(self, number: int, visit: int, habit: str, leaving: asyncio.Event) -> Shopper:
        name = f"{number} {visit}"
        if not self._draw or number % _ENTERING:
            return self._new_shopper(name, habit, leaving)
        shopper = Shopper(
            self._site,
            self._draw,
            closing=leaving,
            seed=f"{self._seed} {name}",
            habit=habit,
            awaits_draw=number % _STAYING == 0,
        )
        self.entered.append(shopper.log)
        return shopper

    def _close(self) -> None:
        super()._close()
        for leaving in self._leaving:
            leaving.set()


def draw_habits(shoppers: int, chance: random.Random) -> list[str]:
    """Draw one habit per shopper, by `SHARES` and in random order. Largest remainders are rounded up."""
    shares = {habit: shoppers * share / 100 for habit, (_, share) in SHARES.items()}
    counts = Counter({habit: int(share) for habit, share in shares.items()})
    by_remainder = sorted(shares, key=lambda habit: counts[habit] - shares[habit])
    counts.update(by_remainder[: shoppers - counts.total()])
    habits = list(counts.elements())
    chance.shuffle(habits)
    return habits


def describe_progress(logs: list[Log]) -> str:
    """Sum up the logs in one line."""
    here = sum(1 for log in logs if log.pages)
    clicks = sum(len(log.replies) for log in logs)
    accepted = sum(len(log.accepted) for log in logs)
    waiting = sum(len(log.accepted - log.final.keys()) for log in logs)
    return (
        f"{here:,} shoppers so far, {clicks:,} clicks, {accepted:,} accepted, {waiting:,} undecided"
    )


def max_shoppers() -> int:
    """How many shoppers this process can simulate, by its limit of open files."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if files == resource.RLIM_INFINITY:
        return _MOST
    return max(0, min(_MOST, (files - _SPARE_FILES) // _FILES))
