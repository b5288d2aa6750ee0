"""A crowd: so many shoppers, each with a habit, who come within the first seconds and leave together."""

import asyncio
import random
import resource
import signal
from collections import Counter
from collections.abc import Callable
from contextlib import suppress

import uvloop

from drills.habits import SHARES
from drills.shopper import Log, Shopper, Site

ARRIVAL = 3.0  # seconds within which all have come, most of them in the first
DEADLINE = 30.0  # seconds for what is undecided at the end
_TICK = 0.25  # seconds between two words about the progress
_FILES = 3  # that a shopper has open, on average at most: its socket and its connections
_SPARE_FILES = 100
_MOST = 5000  # one process simulates no more at a pace that says anything about the shop

Say = Callable[[str], None]


class Crowd:
    """Shoppers for one sale. The same seed gives the same habits and the same choices."""

    def __init__(self, site: Site, slug: str, shoppers: int, seconds: float, seed: int) -> None:
        self.seconds = seconds
        self.interrupted = False
        self._site, self._slug, self._seed = site, slug, seed
        self._habits = habits_of(shoppers, random.Random(seed))  # noqa: S311  # protects nothing
        self.logs: list[Log] = []

    def shop(self, say: Say | None = None) -> list[Log]:
        """Blocks until all have left. Ctrl-C lets them leave early; a second one is not caught."""
        uvloop.run(self._shop(say))
        return self.logs

    async def _shop(self, say: Say | None) -> None:
        closing = asyncio.Event()
        shoppers = self._shoppers(closing)
        self.logs = [shopper.log for shopper in shoppers]
        self._listen_for_interrupt(closing)
        telling = asyncio.create_task(self._tell(say, closing)) if say else None
        visits = [asyncio.create_task(self._visit(shopper)) for shopper in shoppers]
        with suppress(TimeoutError):
            await asyncio.wait_for(closing.wait(), self.seconds)
        closing.set()
        _, late = await asyncio.wait(visits, timeout=DEADLINE)
        for visit in late:
            visit.cancel()
        await asyncio.gather(*visits, return_exceptions=True)
        if telling:
            telling.cancel()
        for visit in visits:
            if not visit.cancelled():
                visit.result()  # what a drill does wrong is not to pass for the shop's fault

    def _shoppers(self, closing: asyncio.Event) -> list[Shopper]:
        return [
            Shopper(
                self._site,
                self._slug,
                closing=closing,
                seed=f"{self._seed} {number}",
                habit=habit,
            )
            for number, habit in enumerate(self._habits)
        ]

    async def _visit(self, shopper: Shopper) -> None:
        habit, _ = SHARES[shopper.log.habit]
        latest = min(ARRIVAL, self.seconds / 2)
        try:
            await shopper.pause(min(shopper.random.expovariate(1), latest))
            await habit(shopper)
            await shopper.outcomes()
        finally:
            await shopper.leave()

    def _listen_for_interrupt(self, closing: asyncio.Event) -> None:
        loop = asyncio.get_running_loop()

        def close() -> None:
            self.interrupted = True
            closing.set()
            loop.remove_signal_handler(signal.SIGINT)

        loop.add_signal_handler(signal.SIGINT, close)

    async def _tell(self, say: Say, closing: asyncio.Event) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        while True:
            what = "waiting for answers" if closing.is_set() else "shopping"
            say(f"{loop.time() - began:.0f} s, {what}: {progress(self.logs)}")
            await asyncio.sleep(_TICK)


def habits_of(shoppers: int, chance: random.Random) -> list[str]:
    """So many habits in their shares, in a random order. What does not divide goes to the largest
    remainder."""
    shares = {habit: shoppers * share / 100 for habit, (_, share) in SHARES.items()}
    counts = Counter({habit: int(share) for habit, share in shares.items()})
    by_remainder = sorted(shares, key=lambda habit: counts[habit] - shares[habit])
    counts.update(by_remainder[: shoppers - counts.total()])
    habits = list(counts.elements())
    chance.shuffle(habits)
    return habits


def progress(logs: list[Log]) -> str:
    """What has happened so far, in a line."""
    here = sum(1 for log in logs if log.pages)
    clicks = sum(len(log.heard) for log in logs)
    accepted = sum(len(log.accepted) for log in logs)
    waiting = sum(len(log.accepted - log.final.keys()) for log in logs)
    return f"{here:,} shoppers, {clicks:,} clicks, {accepted:,} accepted, {waiting:,} undecided"


def most_shoppers() -> int:
    """How many this process may be, by its limit of open files."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if files == resource.RLIM_INFINITY:
        return _MOST
    return max(0, min(_MOST, (files - _SPARE_FILES) // _FILES))
