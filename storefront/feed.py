"""The feed: what the pages of a sale are told. One per server process.

It hears of a change once, reads the gate once, renders once per language, and writes ready-made HTML
frames to its own sockets. What it may have missed it finds once a second. The same watch of a sale
also serves the express lane's pages, so that they need PostgreSQL for no request, and Redis only for
what their shopper has bought.
"""

import asyncio
import logging
import time

from flashsale.concurrency import PerLoop, SingleFlight
from flashsale.database import in_thread
from flashsale.http import signing
from flashsale.observe import telemetry
from inventory import announce
from inventory.gate.entries import Answer
from storefront import catalogue
from storefront.live_sale import TICK, LiveSale, in_background

log = logging.getLogger(__name__)

_UNUSED = 60.0  # seconds after which a sale that nobody asks for is forgotten
_UNKNOWN_KEPT = 1.0  # seconds for which a sale that does not exist is not looked up again
_UNKNOWN_MOST = 10_000


class Feed:
    """All sales that this process watches."""

    def __init__(self) -> None:
        self._live_sales: dict[str, LiveSale] = {}
        self._loading = SingleFlight(self._load)
        self._unknown: dict[str, float] = {}
        key = signing.key_number()
        telemetry.start("web", lambda: {"sockets": self.sockets, "key": key})
        self._tasks = [asyncio.ensure_future(self._listen()), asyncio.ensure_future(self._tick())]

    @property
    def sockets(self) -> int:
        """How many are open."""
        return sum(len(live.subscribers) for live in list(self._live_sales.values()))

    async def live_sale(self, slug: str) -> LiveSale | None:
        """The sale of that slug; None if there is none. Raises DatabaseError or TimeoutError where a
        sale that was not asked for lately cannot be read."""
        live = self._live_sales.get(slug)
        if live is None:
            if time.monotonic() < self._unknown.get(slug, 0):
                return None
            live = await self._loading(slug)  # a crowd that arrives at once has it read once
        if live is not None:
            live.asked_at = time.monotonic()
        return live

    async def live_sale_by_id(self, sale: int) -> LiveSale | None:
        """The same by number: purchases carry it."""
        for live in self._live_sales.values():
            if live.card.id == sale:
                return live
        card = await in_thread(catalogue.card, pk=sale)
        return await self.live_sale(card.slug) if card else None

    async def _load(self, slug: str) -> LiveSale | None:
        card = await in_thread(catalogue.card, slug=slug)
        if card is None:
            if len(self._unknown) >= _UNKNOWN_MOST:
                self._unknown.clear()
            self._unknown[slug] = time.monotonic() + _UNKNOWN_KEPT
            return None
        live = LiveSale(card)
        await live.refresh()
        self._live_sales[slug] = live
        return live

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
        for live in self._live_sales.values():
            if live.card.id == sale:
                live.push_outcomes(outcomes)
                in_background(live.refresh())

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK)
            for slug, live in list(self._live_sales.items()):
                if live.subscribers or time.monotonic() - live.asked_at < _UNUSED:
                    in_background(live.refresh())
                else:
                    del self._live_sales[slug]


_feeds = PerLoop(Feed)


def current() -> Feed:
    """This process' feed: one per event loop, started when it is first asked for."""
    return _feeds.get()
