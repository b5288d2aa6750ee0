"""The feed: what the pages of a sale are told. One per server process.

It hears of a change once, reads the gate once, renders once per language, and writes ready-made HTML
frames to its own sockets. What it may have missed it finds once a second. The same watch of a sale
also serves the express lane's pages, so that they need PostgreSQL for no request, and Redis only for
what their shopper has bought.
"""

import asyncio
import logging
import time
from weakref import WeakKeyDictionary

from flashsale.database import in_thread
from flashsale.http import signing
from flashsale.observe import telemetry
from inventory import announce
from inventory.gate.entries import Answer
from storefront import catalogue
from storefront.live_sale import TICK, Watch, in_background

log = logging.getLogger(__name__)

_UNUSED = 60.0  # seconds after which a sale that nobody asks for is forgotten
_UNKNOWN_KEPT = 1.0  # seconds for which a sale that does not exist is not looked up again
_UNKNOWN_MOST = 10_000


class Feed:
    """All sales that this process watches."""

    def __init__(self) -> None:
        self._watches: dict[str, Watch] = {}
        self._loading: dict[str, asyncio.Task[Watch | None]] = {}
        self._unknown: dict[str, float] = {}
        key = signing.name_of_key()
        telemetry.start("web", lambda: {"sockets": self.sockets, "key": key})
        self._tasks = [asyncio.ensure_future(self._listen()), asyncio.ensure_future(self._tick())]

    @property
    def sockets(self) -> int:
        """How many are open."""
        return sum(len(watch.subscribers) for watch in list(self._watches.values()))

    async def watch(self, slug: str) -> Watch | None:
        """The sale of that slug; None if there is none. Raises DatabaseError or TimeoutError where a
        sale that was not asked for lately cannot be read."""
        watch = self._watches.get(slug)
        if watch is None:
            watch = await self._load_once(slug)
        if watch is not None:
            watch.asked_at = time.monotonic()
        return watch

    async def watch_id(self, sale: int) -> Watch | None:
        """The same by number: purchases carry it."""
        for watch in self._watches.values():
            if watch.card.id == sale:
                return watch
        card = await in_thread(catalogue.card, pk=sale)
        return await self.watch(card.slug) if card else None

    async def _load_once(self, slug: str) -> Watch | None:
        """A crowd that arrives at once has the sale read once."""
        if time.monotonic() < self._unknown.get(slug, 0):
            return None
        if slug not in self._loading:
            self._loading[slug] = asyncio.ensure_future(self._load(slug))
        return await asyncio.shield(self._loading[slug])

    async def _load(self, slug: str) -> Watch | None:
        try:
            card = await in_thread(catalogue.card, slug=slug)
            if card is None:
                if len(self._unknown) >= _UNKNOWN_MOST:
                    self._unknown.clear()
                self._unknown[slug] = time.monotonic() + _UNKNOWN_KEPT
                return None
            watch = Watch(card)
            await watch.refresh()
            self._watches[slug] = watch
            return watch
        finally:
            del self._loading[slug]

    async def _listen(self) -> None:
        while True:
            try:
                async for sale, outcomes in announce.receive():
                    self._heard(sale, outcomes)
            except Exception as error:
                log.warning("the feed hears nothing (%r) and listens again", error)
                await asyncio.sleep(TICK)

    def _heard(self, sale: int, outcomes: list[tuple[str, Answer]]) -> None:
        telemetry.count_outcomes((purchase, answer.status) for purchase, answer in outcomes)
        for watch in self._watches.values():
            if watch.card.id == sale:
                watch.tell_outcomes(outcomes)
                in_background(watch.refresh())

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK)
            for slug, watch in list(self._watches.items()):
                if watch.subscribers or time.monotonic() - watch.asked_at < _UNUSED:
                    in_background(watch.refresh())
                else:
                    del self._watches[slug]


_feeds: WeakKeyDictionary[asyncio.AbstractEventLoop, Feed] = WeakKeyDictionary()


def current() -> Feed:
    """This process' feed: one per event loop, started when it is first asked for."""
    loop = asyncio.get_running_loop()
    if loop not in _feeds:
        _feeds[loop] = Feed()
    return _feeds[loop]
