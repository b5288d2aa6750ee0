"""A sale as this process knows it: what its pages show now, and the sockets that are told."""

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import Coroutine, Iterable
from uuid import UUID

import redis
from django.db import DatabaseError

from flashsale.concurrency import SingleFlight
from flashsale.database import drop_broken_connections_soon, in_thread
from flashsale.http.sockets import Frame, Subscriber
from inventory import announce
from inventory.gate import admission
from inventory.gate.entries import Answer
from inventory.gate.state import View
from storefront import catalogue
from storefront import rendered as kept
from storefront.catalogue import ProductCard, SaleCard, stock_level
from storefront.outcome_fragment import render_outcome

log = logging.getLogger(__name__)

TICK = 1.0  # seconds between looks at what may have changed unheard


_CARD_KEPT = 5.0  # seconds until names, texts and pictures are read again


# Seconds for each socket, from one stock that all are told to the next. It takes a fifth of that.
_PACE = 40e-6


class LiveSale:
    """A sale as this process knows it."""

    def __init__(self, card: SaleCard) -> None:
        self.card = card
        self.view: View | None = None
        self.revision = 0  # rises whenever what a page shows has changed
        self.subscribers: set[Subscriber] = set()
        self.asked_at = self._card_at = time.monotonic()
        self._offset = time.time() * 1000 - time.monotonic() * 1000
        self._shown: object = None
        # Rendered since what a page shows has changed: a crowd connects in the same second.
        self._live_frames: dict[str, Frame] = {}
        self._reading = SingleFlight(self._read)
        self._again = False
        self._pushing: asyncio.TimerHandle | None = None
        self._push_again_at = 0.0

    # What a page shows. Where there is no gate (finished, or Redis is wiped), the card says it.

    @property
    def now(self) -> int:
        """Redis' clock, in ms since the epoch."""
        return int(time.monotonic() * 1000 + self._offset)

    @property
    def opens_at(self) -> int:
        return (self._from_gate or self.card).opens_at

    @property
    def closes_at(self) -> int:
        return (self._from_gate or self.card).closes_at

    @property
    def limit(self) -> int:
        return (self._from_gate or self.card).limit

    @property
    def phase(self) -> str:
        status = (self._from_gate or self.card).status
        if self.card.finished or status == "ended" or self.now >= self.closes_at:
            return "ended"
        if self.now < self.opens_at:
            return "upcoming"
        return "paused" if status == "paused" else "open"

    @property
    def opens_as(self) -> str:
        """The phase that its opening will bring: pages turn to it by themselves."""
        return "paused" if (self._from_gate or self.card).status == "paused" else "open"

    @property
    def badge(self) -> str:
        """The phase; while it is open, also how it stands with the stock."""
        phase = self.phase
        if phase != "open":
            return phase
        left = sum(self.left(product) for product in self.card.products)
        offered = sum(product.offered for product in self.card.products)
        return {"none": "sold_out", "last": "nearly_gone"}.get(stock_level(left, offered), phase)

    def left(self, product: ProductCard) -> int:
        """Units that can be bought now."""
        return self._from_gate.left(product.sku) if self._from_gate else product.stock

    @property
    def _from_gate(self) -> View | None:
        """The view, where there is a gate that has been told of the sale."""
        return self.view if self.view and self.view.status and not self.card.finished else None

    # Reading

    async def refresh(self) -> None:
        """Reads the gate again and tells the sockets. However many ask at once, one reads; who asks
        while it is being read has it read once more, for the change may have come too late for it."""
        self._again = True
        await self._reading()

    async def _read(self) -> None:
        while self._again:
            self._again = False
            self._read_card_if_due()
            try:
                self.view = view = await admission.read_view(self.card.id)
            except (redis.RedisError, OSError) as error:
                log.warning("sale %s: showing the last known state (%r)", self.card.slug, error)
                return
            self._offset = view.now - time.monotonic() * 1000
            self._publish_if_changed()
            self._look_when_it_turns()

    def _look_when_it_turns(self) -> None:
        """Opening and closing happen by the clock: nobody announces them."""
        for moment in (self.opens_at, self.closes_at):
            if 0 < moment - self.now <= 1500 * TICK:
                asyncio.get_running_loop().call_later((moment - self.now) / 1000, self._turn)

    def _turn(self) -> None:
        self._card_at = 0.0  # a price may have been changed until the opening
        in_background(self.refresh())

    def _read_card_if_due(self) -> None:
        # A gate that moved may have new rules; one that is gone may be a finished sale's.
        moved = self.view is not None and self.view.version != self.card.version
        if time.monotonic() - self._card_at >= (TICK if moved else _CARD_KEPT):
            self._card_at = time.monotonic()
            in_background(self._read_card())

    async def _read_card(self) -> None:
        """Beside the gate's reading: a PostgreSQL that hangs must not hold up the stock."""
        try:
            card = await in_thread(catalogue.card, pk=self.card.id)
        except (DatabaseError, TimeoutError) as error:
            log.warning("sale %s: its card could not be read again (%r)", self.card.slug, error)
            await drop_broken_connections_soon()
            return
        if card is not None and card != self.card:
            self.card = card
            self._publish_if_changed()

    def _publish_if_changed(self) -> None:
        shown = (
            self.phase,
            self.opens_as,
            self.opens_at,
            self.closes_at,
            self.limit,
            (self.card.name, self.card.time_zone),
            tuple((product.sku, self.left(product)) for product in self.card.products),
            tuple(
                (p.name, p.description, p.picture, p.price, p.offered) for p in self.card.products
            ),
        )
        if shown == self._shown:
            return
        self._shown = shown
        self.revision += 1
        self._live_frames.clear()
        if self._pushing is None:
            self._pushing = asyncio.get_running_loop().call_later(
                max(0.0, self._push_again_at - time.monotonic()), self._push_live
            )

    def _push_live(self) -> None:
        """Tells all sockets the present state: at once after a pause, and in a rush so seldom that most of
        the time is left for those who buy."""
        self._pushing = None
        self._push_again_at = time.monotonic() + _PACE * len(self.subscribers)
        for subscriber in self.subscribers:
            subscriber.push_live(self.live_frame(subscriber.language))

    # Telling

    def subscribe(self, subscriber: Subscriber) -> None:
        """From now on the socket hears of the sale; it gets the present state at once."""
        self.subscribers.add(subscriber)
        subscriber.push_live(self.live_frame(subscriber.language))

    def unsubscribe(self, subscriber: Subscriber) -> None:
        self.subscribers.discard(subscriber)

    def push_outcomes(self, outcomes: Iterable[tuple[str, Answer]]) -> None:
        """Gives each of these outcomes to its shopper's sockets, and to nobody else."""
        if not self.subscribers:
            return
        waiting = defaultdict(list)
        for subscriber in self.subscribers:
            waiting[subscriber.shopper].append(subscriber)
        for heard in outcomes:
            for subscriber in waiting.get(heard[1].shopper, ()):
                try:
                    purchase, answer = announce.parse_outcome(*heard)
                except (ValueError, TypeError) as error:
                    log.warning("an outcome that was announced cannot be read: %r", error)
                else:
                    fragment = render_outcome(
                        self.card, subscriber.language, UUID(purchase), answer, swap=True
                    )
                    subscriber.push_outcome(Frame.of(fragment.decode()))

    def live_frame(self, language: str) -> Frame:
        """The parts of the page that change for everybody, to be swapped in where they stand."""
        if language not in self._live_frames:
            rendered = kept.render("storefront/_live.html", language, {"live": self, "swap": True})
            self._live_frames[language] = Frame.of(rendered.fill({}).decode())
        return self._live_frames[language]


_background: set[asyncio.Task[None]] = set()


def in_background(work: Coroutine[None, None, None]) -> None:
    """Keeps a reference to the task, which the loop itself does not."""
    task = asyncio.ensure_future(work)
    _background.add(task)
    task.add_done_callback(_background.discard)
