"""The shapes of a snapshot: the state of the shop at one moment, as staff see it."""

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from dashboard import charts
from flashsale.observe.telemetry_reader import Latency, Process, Second
from inventory.models import Sale, Variant
from orders.late_draws import LateDraw
from orders.models import AuditEntry, Draw, Order
from orders.open_holds import OpenHolds
from orders.outbox import Backlog
from payments.figures import Figures


@dataclass(frozen=True, slots=True)
class Part:
    """A store that the shop depends on."""

    name: str  # PostgreSQL, Redis or Telemetry
    ok: bool
    words: str  # its health, or its fault
    read_only: bool = False  # it answers, and cannot be written to


@dataclass(frozen=True, slots=True)
class Alarm:
    """Something that staff have to look at. `code` is its heading in `docs/running-a-sale.md`."""

    code: str
    words: str


@dataclass(frozen=True, slots=True)
class VariantFigures:
    """Units of one variant; None if the gate cannot be read."""

    variant: Variant  # its `stock` is PostgreSQL's
    in_flight: int | None  # of accepted purchases that are not decided yet
    left: int | None  # to be bought now
    waiting: int  # orders, in a draw or on standby


@dataclass(frozen=True, slots=True)
class SaleFigures:
    """One sale. A figure is None if its store cannot be read."""

    sale: Sale
    phase: str  # draft, upcoming, open, paused or ended
    state: str  # the same for staff: see `Sale.state`
    variants: list[VariantFigures]
    poison: int  # orders that were rejected because they could not be processed
    open_holds: OpenHolds | None  # None of a sale without a hold
    draw: Draw | None  # None of a sale by arrival, and of a draft
    draw_words: str  # how far the draw is; "" of a sale by arrival
    gate: str  # ready, not_ready, none, or unknown if it cannot be read
    gate_version: int | None
    waiting: int | None  # purchases in the line
    oldest: int | None  # ms for which the head of the line has waited
    clicks: Counter[str]  # in the last whole second, by answer
    settled: int  # in the last whole second
    total: Counter[str]  # clicks since the sale began
    settled_total: int

    @property
    def gate_words(self) -> str:
        return self.gate.replace("_", " ")

    @property
    def waiting_orders(self) -> int:
        """Entries of a draw that is to come, or orders on standby."""
        return sum(self.sale.waiting.values())

    @property
    def to_draw(self) -> int:
        """Units that lots decide about: those in stock, at the freeze once there was one."""
        if self.draw and self.draw.root:
            return sum(self.draw.stock.values())
        return sum(variant.variant.stock for variant in self.variants)

    @property
    def in_flight(self) -> int | None:
        return _sum(variant.in_flight for variant in self.variants)

    @property
    def left(self) -> int | None:
        """None also for a sale that has ended: nothing can be bought there."""
        return None if self.phase == "ended" else _sum(variant.left for variant in self.variants)


def _sum(units: Iterable[int | None]) -> int | None:
    """None if one of them is None."""
    known = list(units)
    return None if None in known else sum(number or 0 for number in known)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The shop at one moment. Latencies are in ms, over the last `reading.RECENT` seconds."""

    at: datetime  # by Redis' clock, or this process' if Redis is away
    sales: list[SaleFigures]
    hidden_sales: int  # unfinished ones that are not among `sales`
    parts: list[Part]
    processes: list[Process]
    second: Second  # the last whole one
    accept: Latency
    confirm: Latency
    history: list[Second]
    timed: Second  # all latencies since counting began
    audit: list[AuditEntry]  # the latest
    poison: list[Order]  # the latest
    overdue_holds: dict[Sale, int]  # that should have expired long ago
    late_draws: list[LateDraw]
    payments: Figures  # of all sales
    mails: Backlog  # that are not sent yet
    alarms: list[Alarm]

    @property
    def answers(self) -> Counter[str]:
        """Clicks of the last whole second by answer."""
        return self.second.answers

    @property
    def clicks(self) -> int:
        """In the last whole second."""
        return self.answers.total()

    @property
    def settled(self) -> int:
        """Purchases that were decided in the last whole second."""
        return self.second.settled.total()

    @property
    def sockets(self) -> int:
        return sum(process.gauges.get("sockets", 0) for process in self.processes if process.alive)

    def is_ok(self, part: str) -> bool:
        return next(each for each in self.parts if each.name == part).ok

    def alive(self, role: str) -> int:
        """Count the processes of a role that are alive."""
        return sum(process.alive for process in self.processes if process.role == role)

    @property
    def latest_points(self) -> str:
        """The charts' newest points as JSON; several, because a late process may have added to some."""
        return json.dumps(charts.points(self.history[-5:]))

    def minutes(self) -> Iterable[charts.Minute]:
        return charts.minutes(self.history)
