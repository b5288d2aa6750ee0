"""The feed: what the pages of a sale are told. One per server process.

It hears of a change once, reads the gate once, renders once per language, and writes ready-made HTML
frames to its own sockets. What it may have missed it finds once a second. The same watch of a sale
also serves the express lane's pages, so that they need PostgreSQL for no request, and Redis only for
what their shopper has bought.
"""

import asyncio
import logging
import struct
import time
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from typing import NamedTuple
from uuid import UUID
from weakref import WeakKeyDictionary

import redis
from django.db import DatabaseError

from flashsale.database import drop_broken_connections_soon, in_thread
from flashsale.http import signing
from flashsale.observe import telemetry
from inventory import announce
from inventory.gate import replica
from inventory.gate.replica import Answer, View
from storefront import catalogue
from storefront import rendered as kept
from storefront.catalogue import ProductCard, SaleCard, stock_level
from storefront.rendered import Kept, place

log = logging.getLogger(__name__)

TICK = 1.0  # seconds between looks at what may have changed unheard
_CARD_KEPT = 5.0  # seconds until names, texts and pictures are read again
_UNUSED = 60.0  # seconds after which a sale that nobody asks for is forgotten
_UNKNOWN_KEPT = 1.0  # seconds for which a sale that does not exist is not looked up again
_UNKNOWN_MOST = 10_000
# Seconds for each socket, from one stock that all are told to the next. It takes a fifth of that.
_PACE = 40e-6

SendFrame = Callable[[str], Awaitable[None]]
WriteFrame = Callable[[bytes], bool]


class Frame(NamedTuple):
    """A text for sockets, and the same as it goes over the wire to all of them (RFC 6455, section 5.2)."""

    text: str
    wire: bytes

    @classmethod
    def of(cls, text: str) -> "Frame":
        content = text.encode()
        length, final_text = len(content), 0x81
        if length < 126:
            head = struct.pack("!BB", final_text, length)
        elif length < 65_536:
            head = struct.pack("!BBH", final_text, 126, length)
        else:
            head = struct.pack("!BBQ", final_text, 127, length)
        return cls(text, head + content)


class Subscriber:
    """One socket. A slow one holds nobody up and gets the newest stock only, but every outcome.

    `send` waits until the socket takes a frame; `write`, where the server has it, is for those that take
    one now. It costs a fraction, and a crowd has thousands of sockets.
    """

    def __init__(
        self,
        send: SendFrame,
        shopper: UUID | None,
        language: str,
        write: WriteFrame | None = None,
    ) -> None:
        self.shopper = shopper.hex if shopper else ""
        self.language = language
        self._send, self._write = send, write
        self._live: str | None = None
        self._outcomes: deque[str] = deque()
        self._sending: asyncio.Task[None] | None = None

    def tell_live(self, frame: Frame) -> None:
        if not self._written(frame):
            self._live = frame.text
            self._wake()

    def tell_outcome(self, frame: Frame) -> None:
        if not self._written(frame):
            self._outcomes.append(frame.text)
            self._wake()

    def _written(self, frame: Frame) -> bool:
        return self._write is not None and not self._is_sending and self._write(frame.wire)

    def _wake(self) -> None:
        if not self._is_sending:
            self._sending = asyncio.ensure_future(self._drain())

    @property
    def _is_sending(self) -> bool:
        return self._sending is not None and not self._sending.done()

    async def _drain(self) -> None:
        try:
            while self._outcomes or self._live is not None:
                if self._outcomes:
                    await self._send(self._outcomes.popleft())
                else:
                    frame, self._live = self._live, None
                    await self._send(frame or "")
        except Exception as error:
            # The socket has gone; its consumer unsubscribes it.
            log.debug("a frame was not sent: %r", error)


class Watch:
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
        self._outcome_frames: dict[tuple[Answer, str], Kept] = {}
        self._reading: asyncio.Task[None] | None = None
        self._again = False
        self._telling: asyncio.TimerHandle | None = None
        self._tell_again_at = 0.0

    # What a page shows. Where there is no gate (finished, or Redis is wiped), the card says it.

    @property
    def now(self) -> int:
        """Redis' clock, in ms since the epoch."""
        return int(time.monotonic() * 1000 + self._offset)

    @property
    def opens_at(self) -> int:
        return (self._told or self.card).opens_at

    @property
    def closes_at(self) -> int:
        return (self._told or self.card).closes_at

    @property
    def limit(self) -> int:
        return (self._told or self.card).limit

    @property
    def phase(self) -> str:
        status = (self._told or self.card).status
        if self.card.finished or status == "ended" or self.now >= self.closes_at:
            return "ended"
        if self.now < self.opens_at:
            return "upcoming"
        return "paused" if status == "paused" else "open"

    @property
    def opens_as(self) -> str:
        """The phase that its opening will bring: pages turn to it by themselves."""
        return "paused" if (self._told or self.card).status == "paused" else "open"

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
        return self._told.left(product.sku) if self._told else product.stock

    @property
    def _told(self) -> View | None:
        """The view, where there is a gate that has been told of the sale."""
        return self.view if self.view and self.view.status and not self.card.finished else None

    # Reading

    async def refresh(self) -> None:
        """Reads the gate again and tells the sockets. However many ask at once, one reads; who asks
        while it is being read has it read once more, for the change may have come too late for it."""
        if self._reading is not None and not self._reading.done():
            self._again = True
        else:
            self._reading = asyncio.ensure_future(self._read())
        await asyncio.shield(self._reading)

    async def _read(self) -> None:
        self._again = True
        while self._again:
            self._again = False
            self._read_card_if_due()
            try:
                self.view = view = await replica.view(self.card.id)
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
        _in_background(self.refresh())

    def _read_card_if_due(self) -> None:
        # A gate that moved may have new rules; one that is gone may be a finished sale's.
        moved = self.view is not None and self.view.version != self.card.version
        if time.monotonic() - self._card_at >= (TICK if moved else _CARD_KEPT):
            self._card_at = time.monotonic()
            _in_background(self._read_card())

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
        self._outcome_frames.clear()
        if self._telling is None:
            self._telling = asyncio.get_running_loop().call_later(
                max(0.0, self._tell_again_at - time.monotonic()), self._tell_live
            )

    def _tell_live(self) -> None:
        """Tells all sockets the present state: at once after a pause, and in a rush so seldom that most of
        the time is left for those who buy."""
        self._telling = None
        self._tell_again_at = time.monotonic() + _PACE * len(self.subscribers)
        for subscriber in self.subscribers:
            subscriber.tell_live(self.live_frame(subscriber.language))

    # Telling

    def subscribe(self, subscriber: Subscriber) -> None:
        """From now on the socket hears of the sale; it gets the present state at once."""
        self.subscribers.add(subscriber)
        subscriber.tell_live(self.live_frame(subscriber.language))

    def unsubscribe(self, subscriber: Subscriber) -> None:
        self.subscribers.discard(subscriber)

    def tell_outcomes(self, outcomes: Iterable[tuple[str, Answer]]) -> None:
        """Gives each of these outcomes to its shopper's sockets, and to nobody else."""
        if not self.subscribers:
            return
        waiting = defaultdict(list)
        for subscriber in self.subscribers:
            waiting[subscriber.shopper].append(subscriber)
        for heard in outcomes:
            for subscriber in waiting.get(heard[1].shopper, ()):
                try:
                    frame = self._outcome_frame(*announce.legible(*heard), subscriber.language)
                except (ValueError, TypeError) as error:
                    log.warning("an outcome that was announced cannot be read: %r", error)
                else:
                    subscriber.tell_outcome(frame)

    def live_frame(self, language: str) -> Frame:
        """The parts of the page that change for everybody, to be swapped in where they stand."""
        if language not in self._live_frames:
            rendered = kept.render("storefront/_live.html", language, {"watch": self, "swap": True})
            self._live_frames[language] = Frame.of(rendered.fill({}).decode())
        return self._live_frames[language]

    def _outcome_frame(self, purchase: str, answer: Answer, language: str) -> Frame:
        alike = (answer._replace(shopper=""), language)
        if alike not in self._outcome_frames:
            context = {
                "watch": self,
                "swap": True,
                "purchase": place("purchase"),
                "answer": answer,
                "product": self.card.product(answer.sku),
            }
            self._outcome_frames[alike] = kept.render("storefront/_outcome.html", language, context)
        filled = self._outcome_frames[alike].fill({"purchase": str(UUID(purchase))})
        return Frame.of(filled.decode())


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
                _in_background(watch.refresh())

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK)
            for slug, watch in list(self._watches.items()):
                if watch.subscribers or time.monotonic() - watch.asked_at < _UNUSED:
                    _in_background(watch.refresh())
                else:
                    del self._watches[slug]


_feeds: WeakKeyDictionary[asyncio.AbstractEventLoop, Feed] = WeakKeyDictionary()
_background: set[asyncio.Task[None]] = set()


def current() -> Feed:
    """This process' feed: one per event loop, started when it is first asked for."""
    loop = asyncio.get_running_loop()
    if loop not in _feeds:
        _feeds[loop] = Feed()
    return _feeds[loop]


def _in_background(work: Coroutine[None, None, None]) -> None:
    """Keeps a reference to the task, which the loop itself does not."""
    task = asyncio.ensure_future(work)
    _background.add(task)
    task.add_done_callback(_background.discard)
