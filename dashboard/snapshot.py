"""What is true now: one look at PostgreSQL, Redis, the gates and the telemetry, for staff.

Each store is read apart from the others, so that what is down takes away its own figures only; in their
place stands what was last known, and an alarm that says so.
"""

import json
import logging
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from dashboard import charts
from flashsale.observe.telemetry_reader import Latency, Process, Second
from inventory.models import Product, Sale
from orders.models import AuditEntry, Order

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Part:
    """A server that the shop depends on."""

    name: str
    ok: bool
    words: str


@dataclass(frozen=True, slots=True)
class Alarm:
    """Something that somebody has to look at. `code` is its heading in `docs/running-a-sale.md`."""

    code: str
    words: str


@dataclass(frozen=True, slots=True)
class ProductFigures:
    """Units: what PostgreSQL has, what is in flight, and what can be bought now. The last two are
    None where the gate cannot be asked."""

    product: Product
    in_flight: int | None
    left: int | None


@dataclass(frozen=True, slots=True)
class SaleFigures:
    """One sale. What is None is not known, because its store cannot be read."""

    sale: Sale
    phase: str  # draft, upcoming, open, paused or ended
    state: str  # the same for staff: see `Sale.state`
    products: list[ProductFigures]
    poison: int
    gate: str  # warm, cold, none, or unknown where it cannot be read
    gate_version: int | None
    waiting: int | None  # purchases in the line
    oldest: int | None  # ms for which the head of the line has waited
    clicks: Counter[str]  # in the last whole second, by answer
    settled: int  # in the last whole second
    total: Counter[str]  # clicks since the sale began
    settled_total: int

    @property
    def in_flight(self) -> int | None:
        return _sum(product.in_flight for product in self.products)

    @property
    def left(self) -> int | None:
        """None as well for a sale that has ended: nothing can be bought there."""
        return None if self.phase == "ended" else _sum(product.left for product in self.products)


def _sum(units: Iterable[int | None]) -> int | None:
    """None where one of them is not known."""
    known = list(units)
    return None if None in known else sum(number or 0 for number in known)


@dataclass(frozen=True, slots=True)
class Snapshot:
    at: datetime  # by Redis' clock, or ours where it is away
    sales: list[SaleFigures]
    hidden_sales: int
    parts: list[Part]
    processes: list[Process]
    second: Second  # the last whole one
    accept: Latency
    confirm: Latency
    history: list[Second]
    timed: Second  # all that was timed so far
    audit: list[AuditEntry]
    poison: list[Order]
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
        """Purchases of which orders were made in the last whole second."""
        return self.second.settled.total()

    @property
    def sockets(self) -> int:
        return sum(process.gauges.get("sockets", 0) for process in self.processes if process.alive)

    def alive(self, role: str) -> int:
        return sum(process.alive for process in self.processes if process.role == role)

    @property
    def latest_points(self) -> str:
        """The charts' newest points as JSON; several, for a late process may have added to some."""
        return json.dumps(charts.points(self.history[-5:]))

    def minutes(self) -> Iterable[charts.Minute]:
        return charts.minutes(self.history)


# --- What is read ----------------------------------------------------------------------------------


# --- What it means ---------------------------------------------------------------------------------
