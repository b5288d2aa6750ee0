"""The feed: keeps the live sales of a server process up to date. One feed per process.

The feed receives each change once; the live sale then reads the gate once, renders once per language
and writes ready-made frames to the sockets of its process. The feed also refreshes each sale once a
second, because messages may be lost. Pages are rendered from the same live sales: a request needs no
PostgreSQL, and Redis only for the shopper's own purchases.
"""

import asyncio
import logging
import time
from typing import TypeVar

from flashsale.concurrency import PerLoop, SingleFlight
from flashsale.database import in_thread
from flashsale.http import signing
from flashsale.observe import telemetry
from flashsale.redis import web_connections
from inventory import announce
from inventory.gate.entries import Answer
from storefront import catalogue
from storefront.live_sale import TICK, LiveSale, run_in_background

log = logging.getLogger(__name__)

_Kept = TypeVar("_Kept")

_UNUSED = 60.0  # seconds without a request or a socket until a sale is dropped
_UNKNOWN_KEPT = 1.0  # seconds until an unknown slug is looked up again
_ALIAS_KEPT = 60.0  # seconds until a slug in another case is looked up again
_MOST_KEPT = 10_000  # unknown slugs, and as many in another case


class Feed:
    """The live sales of this process, by slug."""

    def __init__(self) -> None:
        self._live_sales: dict[str, LiveSale] = {}
        self._loading = SingleFlight(self._load)
        self._probing = SingleFlight(web_connections.probe_all)
        self._unknown: dict[str, float] = {}
        # A crowd may come by a poster with the slug in capitals.
        self._aliases: dict[str, tuple[str, float]] = {}
        key = signing.key_number()
        telemetry.start("web", lambda: {"sockets": self.sockets, "key": key})
        self._tasks = [asyncio.ensure_future(self._listen()), asyncio.ensure_future(self._tick())]

    @property
    def sockets(self) -> int:
        """The number of open sockets."""
        return sum(len(live.subscribers) for live in list(self._live_sales.values()))

    async def live_sale(self, slug: str) -> LiveSale | None:
        """The sale with that slug, in any case; None if there is none, or if it is a draft.

        Raises DatabaseError or TimeoutError if the sale is not loaded yet and cannot be read.
        """
        live = self._live_sales.get(slug) or self._find_alias(slug)
        if live is None:
            if time.monotonic() < self._unknown.get(slug, 0):
                return None
            live = await self._loading(slug)  # once for all requests that wait for it
        if live is not None:
            live.asked_at = time.monotonic()
        return live

    async def live_sale_by_id(self, sale: int) -> LiveSale | None:
        """Like `live_sale`, by the id that every purchase carries."""
        for live in self._live_sales.values():
            if live.card.id == sale:
                return live
        card = await in_thread(catalogue.card, pk=sale)
        return await self.live_sale(card.slug) if card else None

    async def _load(self, slug: str) -> LiveSale | None:
        card = await in_thread(catalogue.card, slug=slug)
        if card is None:
            _keep(self._unknown, slug, time.monotonic() + _UNKNOWN_KEPT)
            return None
        live = self._live_sales.get(card.slug)
        if live is None:
            fresh = LiveSale(card)
            await fresh.refresh()
            # Another spelling of the slug may have been loaded meanwhile: a sale is live once.
            live = self._live_sales.setdefault(card.slug, fresh)
        if slug != card.slug:
            _keep(self._aliases, slug, (card.slug, time.monotonic() + _ALIAS_KEPT))
        return live

    def _find_alias(self, slug: str) -> LiveSale | None:
        own_slug, until = self._aliases.get(slug, ("", 0.0))
        return self._live_sales.get(own_slug) if time.monotonic() < until else None

    async def _listen(self) -> None:
        while True:
            try:
                async for sale, outcomes in announce.receive():
                    self._apply_change(sale, outcomes)
            except Exception as error:
                log.warning("the feed receives no messages (%r) and subscribes again", error)
                await asyncio.sleep(TICK)

    def _apply_change(self, sale: int, outcomes: list[tuple[str, Answer]]) -> None:
        telemetry.count_outcomes((purchase, answer.status) for purchase, answer in outcomes)
        for live in self._live_sales.values():
            if live.card.id == sale:
                live.push_outcomes(outcomes)
                run_in_background(live.refresh())

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK)
            # A Redis that was replaced, and is still there as a replica, answers every read.
            self._probing.start()
            for slug, live in list(self._live_sales.items()):
                if live.subscribers or time.monotonic() - live.asked_at < _UNUSED:
                    run_in_background(live.refresh())
                else:
                    del self._live_sales[slug]


def _keep(kept: "dict[str, _Kept]", slug: str, value: "_Kept") -> None:
    if len(kept) >= _MOST_KEPT:
        kept.clear()
    kept[slug] = value


_feeds = PerLoop(Feed)


def current() -> Feed:
    """The feed of this process: one per event loop, started on first use."""
    return _feeds.get()
