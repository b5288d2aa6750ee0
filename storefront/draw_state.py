"""The draw and the queue of a sale, as its pages tell of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple, Protocol, Self

from inventory.models import Sale
from orders.draws import beacon
from orders.models import Draw

_AHEAD = (Sale.Draw.OPEN, Sale.Draw.CLOSED, Sale.Draw.FROZEN)


@dataclass(frozen=True, slots=True)
class DrawCard:
    """The published facts of a draw, as PostgreSQL has it. Bytes are in hex, "" until they are known; times
    in ms since 1970, 0 until then."""

    commitment: str
    beacon: str
    round: int
    scheduled_at: int
    root: str = ""
    entries: int = 0  # at the freeze, with those that were set aside
    stock: tuple[tuple[str, int], ...] = ()  # units by sku at the freeze
    frozen_at: int = 0
    signature: str = ""
    seed: str = ""
    allotted: int = 0  # ranks up to this one are decided
    drawn_at: int = 0
    hindrance: str = ""  # `orders/draws/steps.py`
    round_at: int = 0  # when the beacon's round is known

    @classmethod
    def of(cls, draw: Draw, hindrance: str = "") -> Self:
        return cls(
            hindrance=hindrance,
            round_at=_milliseconds(beacon.time_of(draw.round)) if draw.round else 0,
            commitment=draw.commitment,
            beacon=draw.beacon,
            round=draw.round or 0,
            scheduled_at=_milliseconds(draw.scheduled_at),
            root=draw.root,
            entries=draw.entries or 0,
            stock=tuple(sorted(draw.stock.items())),
            frozen_at=_milliseconds(draw.frozen_at),
            signature=draw.signature,
            seed=draw.seed,
            allotted=draw.allotted,
            drawn_at=_milliseconds(draw.drawn_at),
        )

    @property
    def units(self) -> int:
        return sum(units for _, units in self.stock)

    @property
    def is_public(self) -> bool:
        """Whether seed, ranks and entries are revealed: from then on the record stays as it is."""
        return bool(self.seed)


def _milliseconds(moment: datetime | None) -> int:
    return round(moment.timestamp() * 1000) if moment else 0


class Rules(Protocol):
    """The rules of a sale, in its gate's view or on its card."""

    @property
    def draw(self) -> str: ...
    @property
    def draw_at(self) -> int: ...
    @property
    def standby(self) -> int: ...
    @property
    def waiting(self) -> Mapping[str, int]: ...


class DrawState(NamedTuple):
    """How far the draw of a sale is, and who waits: by its gate, or without one by its card."""

    draw: str  # `Sale.draw`
    draw_at: int  # ms since 1970; 0: no draw
    standby: bool
    stock: Mapping[str, int]  # units by sku, if a draw decides about them
    waiting: Mapping[str, int]  # waiting orders by sku

    @classmethod
    def of(cls, rules: Rules, stock: Mapping[str, int]) -> Self:
        # Without a draw no page shows the stock, which is not what can be bought.
        shown = stock if rules.draw in _AHEAD else {}
        return cls(rules.draw, rules.draw_at, bool(rules.standby), shown, rules.waiting)

    @property
    def is_ahead(self) -> bool:
        """Whether nothing is sold yet, because a draw decides."""
        return self.draw in _AHEAD

    @property
    def is_done(self) -> bool:
        return self.draw == Sale.Draw.DONE

    @property
    def takes_back(self) -> bool:
        """Whether waiting orders can be taken back: not from the close of the entries until all have
        their outcome."""
        return self.draw not in (Sale.Draw.CLOSED, Sale.Draw.FROZEN)

    @property
    def entries(self) -> int:
        return sum(self.waiting.values())

    @property
    def units(self) -> int:
        return sum(self.stock.values())

    def stage(self, phase: str, now: int) -> str:
        return stage_of(self.draw, now >= self.draw_at, phase)


def stage_of(draw: str, is_due: bool, phase: str) -> str:
    """The phase as pages show it. While a draw is ahead, `entering` and `drawing` take the place of `open`,
    and `drawing` of `ended` too: a draw may be at the close. A paused sale takes no entries, and draws
    only when it goes on."""
    if draw in (Sale.Draw.CLOSED, Sale.Draw.FROZEN):
        return "drawing"
    if draw != Sale.Draw.OPEN or phase not in ("open", "ended"):
        return phase
    if is_due:
        return "drawing"
    return "entering" if phase == "open" else phase


def chance(entries: int, units: int) -> int:
    """How many of 100 entries for one unit each get it; 100 if all do."""
    return 100 if entries <= units else 100 * units // entries
