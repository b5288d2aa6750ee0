"""A live sale: what the pages of one sale show now, and the sockets that receive its changes.

Each server process has one `LiveSale` per sale in use; `feed.py` keeps and refreshes them.
"""

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
from orders.models import Order
from storefront import catalogue
from storefront.catalogue import SaleCard, VariantCard, stock_level
from storefront.draw_state import DrawState
from storefront.given_back import mark_given_back
from storefront.outcome_fragment import render_outcome
from storefront.rendered import render

log = logging.getLogger(__name__)

TICK = 1.0  # seconds between refreshes: a message about a change may be lost
_CARD_KEPT = 5.0  # seconds until names, texts and pictures are read again

# Seconds per socket between two frames to all sockets. Writing one takes a fifth of that.
_PACE = 40e-6


class LiveSale:
    """The state of one sale in this process."""

    def __init__(self, card: SaleCard) -> None:
        self.card = card
        self.view: View | None = None
        self.revision = 0  # rises with each change that a page shows
        self.subscribers: set[Subscriber] = set()
        self.asked_at = self._card_at = time.monotonic()
        self._offset = time.time() * 1000 - time.monotonic() * 1000
        self._pushed_state: object = None
        # By language, of the present revision: a crowd connects in the same second.
        self._live_frames: dict[str, Frame] = {}
        self._refreshing = SingleFlight(self._read_gate)
        self._read_again = False
        self._pushing: asyncio.TimerHandle | None = None
        self._push_again_at = 0.0

    # --- State: from the gate; from the card if there is no gate (sale finished, or Redis wiped) ----

    @property
    def now(self) -> int:
        """Redis' clock, in ms since 1970."""
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
    def bounds_networks(self) -> bool:
        """Whether each network may take a number of units only. The gate has the rule: it is not shown."""
        return bool(self.view and self.view.per_address)

    @property
    def phase(self) -> str:
        status = (self._from_gate or self.card).status
        if self.card.finished or status == "ended" or self.now >= self.closes_at:
            return "ended"
        if self.now < self.opens_at:
            return "upcoming"
        return "paused" if status == "paused" else "open"

    @property
    def stage(self) -> str:
        """The phase as pages show it: `stage_of` in `storefront/draw_state.py`."""
        return self.draw.stage(self.phase, self.now)

    @property
    def opens_as(self) -> str:
        """The stage after the opening: pages switch to it by their own clock."""
        if (self._from_gate or self.card).status == "paused":
            return "paused"
        return "entering" if self.draw.is_ahead else "open"

    @property
    def draw(self) -> DrawState:
        if self._from_gate:
            return DrawState.of(self._from_gate, self._from_gate.stock)
        stock = {variant.sku: variant.stock for variant in self.card.variants}
        return DrawState.of(self.card, stock)

    @property
    def badge(self) -> str:
        """The stage; while the sale is open, `sold_out` or `nearly_gone` if its stock is."""
        phase = self.stage
        if phase != "open":
            return phase
        left = sum(self.left(variant) for variant in self.card.variants)
        offered = sum(variant.offered for variant in self.card.variants)
        return {"none": "sold_out", "last": "nearly_gone"}.get(stock_level(left, offered), phase)

    def left(self, variant: VariantCard) -> int:
        """Units that can be bought now."""
        if self._from_gate:
            return self._from_gate.left(variant.sku)
        return 0 if self.draw.is_ahead or self.card.waiting.get(variant.sku) else variant.stock

    @property
    def _from_gate(self) -> View | None:
        """The view, if the gate has the sale."""
        return self.view if self.view and self.view.status and not self.card.finished else None

    # --- Reading -----------------------------------------------------------------------------------

    async def refresh(self) -> None:
        """Read the gate and push changes to the sockets.

        One read runs at a time. A call during a read causes one more: that read may have missed the
        caller's change.
        """
        self._read_again = True
        await self._refreshing()

    async def _read_gate(self) -> None:
        while self._read_again:
            self._read_again = False
            self._read_card_if_due()
            try:
                self.view = view = await admission.read_view(self.card.id)
            except (redis.RedisError, OSError) as error:
                log.warning("sale %s: showing the last known state (%r)", self.card.slug, error)
                return
            self._offset = view.now - time.monotonic() * 1000
            self._push_if_changed()
            self._schedule_phase_changes()

    def _schedule_phase_changes(self) -> None:
        """Refresh at the opening, the draw and the closing: they happen by the clock, without a message."""
        for moment in (self.opens_at, self.draw.draw_at, self.closes_at):
            if 0 < moment - self.now <= 1500 * TICK:
                asyncio.get_running_loop().call_later(
                    (moment - self.now) / 1000, self._refresh_at_phase_change
                )

    def _refresh_at_phase_change(self) -> None:
        self._card_at = 0.0  # staff may change prices until the opening
        run_in_background(self.refresh())

    def _read_card_if_due(self) -> None:
        # A gate of another version may have new rules; a missing gate may mean a finished sale, which
        # stays without one.
        moved = self.view is not None and self.view.version != self.card.version
        moved = moved and not self.card.finished
        self._read_card_after(TICK if moved else _CARD_KEPT)

    def read_card_soon(self) -> None:
        """Read the card, which a form contradicts. Does not wait for it."""
        self._read_card_after(TICK)

    def _read_card_after(self, seconds: float) -> None:
        if time.monotonic() - self._card_at >= seconds:
            self._card_at = time.monotonic()
            run_in_background(self._read_card())

    async def _read_card(self) -> None:
        """Read names, texts, pictures and prices. Runs beside the gate's read: the stock must not wait
        for a PostgreSQL that hangs."""
        try:
            card = await in_thread(catalogue.card, pk=self.card.id)
        except (DatabaseError, TimeoutError) as error:
            log.warning(
                "sale %s: cannot read its card, showing the last one (%r)", self.card.slug, error
            )
            await drop_broken_connections_soon()
            return
        if card is not None and card != self.card:
            self.card = card
            self._push_if_changed()

    def _push_if_changed(self) -> None:
        state = self._visible_state()
        if state == self._pushed_state:
            return
        self._pushed_state = state
        self.revision += 1
        self._live_frames.clear()
        if self._pushing is None:
            self._pushing = asyncio.get_running_loop().call_later(
                max(0.0, self._push_again_at - time.monotonic()), self._push_live
            )

    def _visible_state(self) -> object:
        return (
            self.stage,
            self.draw,
            self.card.lottery,
            self.opens_as,
            self.opens_at,
            self.closes_at,
            self.limit,
            (self.card.hold_minutes, self.card.ask, self.card.payment, self.card.price_note),
            (self.card.name, self.card.time_zone),
            tuple((variant.sku, self.left(variant)) for variant in self.card.variants),
            tuple(variant.offered for variant in self.card.variants),
            self.card.shown.look,
        )

    def _push_live(self) -> None:
        """Push the present state to all sockets: at once after a quiet time, but in a rush so seldom
        that most of the CPU time is left for clicks."""
        self._pushing = None
        self._push_again_at = time.monotonic() + _PACE * len(self.subscribers)
        for subscriber in self.subscribers:
            subscriber.push_live(self.live_frame(subscriber.language))

    # --- Sockets -----------------------------------------------------------------------------------

    def subscribe(self, subscriber: Subscriber) -> None:
        """Push the present state to the socket now, and each change from now on."""
        self.subscribers.add(subscriber)
        subscriber.push_live(self.live_frame(subscriber.language))

    def unsubscribe(self, subscriber: Subscriber) -> None:
        self.subscribers.discard(subscriber)

    def push_outcomes(self, outcomes: Iterable[tuple[str, Answer]]) -> None:
        """Push each outcome to the sockets of its shopper only."""
        if not self.subscribers:
            return
        by_shopper = defaultdict(list)
        for subscriber in self.subscribers:
            by_shopper[subscriber.shopper].append(subscriber)
        for purchase, answer in outcomes:
            if subscribers := by_shopper.get(answer.shopper):
                self._push_outcome(subscribers, purchase, answer)

    def _push_outcome(
        self, subscribers: Iterable[Subscriber], purchase: str, answer: Answer
    ) -> None:
        try:
            number, parsed = announce.parse_outcome(purchase, answer)
        except (ValueError, TypeError) as error:
            log.warning("an announced outcome is malformed: %r", error)
            return
        if parsed.status == Order.Status.CANCELLED:  # by whom it does not say
            run_in_background(self._push_cancelled(subscribers, number, parsed))
        else:
            self._push_box(subscribers, number, parsed)

    async def _push_cancelled(
        self, subscribers: Iterable[Subscriber], number: UUID, answer: Answer
    ) -> None:
        marked = await mark_given_back({number: answer})
        self._push_box(subscribers, number, marked[number])

    def _push_box(self, subscribers: Iterable[Subscriber], number: UUID, answer: Answer) -> None:
        for subscriber in subscribers:
            fragment = render_outcome(
                self.card, subscriber.language, number, answer, swap=True, stage=self.stage
            )
            subscriber.push_outcome(Frame.of(fragment.decode()))

    def live_frame(self, language: str) -> Frame:
        """The parts of the page that are the same for all shoppers, each to replace the old one."""
        if language not in self._live_frames:
            frame = render("storefront/_live.html", language, {"live": self, "swap": True})
            self._live_frames[language] = Frame.of(frame.fill({}).decode())
        return self._live_frames[language]


_background: set[asyncio.Task[None]] = set()


def run_in_background(work: Coroutine[None, None, None]) -> None:
    """Start a task and keep a reference to it: the loop keeps none, so it could be collected."""
    task = asyncio.ensure_future(work)
    _background.add(task)
    task.add_done_callback(_background.discard)
