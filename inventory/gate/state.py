"""A sale's gate as it is read: the view for pages, the pulse for the caretaker, the snapshot for `verify`."""

from dataclasses import dataclass
from typing import Any, NamedTuple

from inventory.corruption import parse_count, parse_epoch
from inventory.gate.entries import Entry
from inventory.gate.scripts import keys


@dataclass(frozen=True, slots=True)
class View:
    """The gate as read in one transaction. Times are Redis' clock in ms."""

    version: int
    ready: bool
    epoch: str
    status: str
    opens_at: int
    closes_at: int
    limit: int
    stock: dict[str, int]
    in_flight: dict[str, int]
    waiting: int
    now: int

    def left(self, sku: str) -> int:
        """Units that can be bought now."""
        return max(0, self.stock.get(sku, 0) - self.in_flight.get(sku, 0))


WAITS_LONG = (
    2_000  # ms in the line, until staff are told: the caretaker takes what has waited for 1 s
)


class Pulse(NamedTuple):
    """As much of a gate as says whether somebody has to look after it."""

    version: int
    epoch: str
    ready: bool
    waited: int  # ms for which the head of the line has stood there
    corrupt: str = ""  # why it has to be built anew
    stuck: bool = False  # something is held back, and nobody stands in line for it


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What must agree with itself at any moment."""

    view: View
    in_flight_by_shopper: dict[str, int]  # units in flight by shopper
    line: list[Entry]
    unreadable: list[str]  # entries that are not of `admit`'s making


VIEW_REPLIES = 5  # replies to `_ask_view`


def view_commands(sale: int) -> tuple[tuple[str, ...], ...]:
    k = keys(sale)
    hashes = (("HGETALL", key) for key in (k.gate, k.stock, k.in_flight))
    return (*hashes, ("XLEN", k.line), ("TIME",))


def pairs(flat: list[str]) -> dict[str, str]:
    return dict(zip(flat[::2], flat[1::2], strict=True))


def parse_view(replies: list[Any]) -> View:
    """Raises ValueError and TypeError for what is not of our making."""
    gate, stock, in_flight, waiting, (seconds, microseconds) = replies
    moments = [parse_count(gate.get(name)) for name in ("opens_at", "closes_at")]
    if not all(0 <= moment < _LATEST for moment in moments):
        raise ValueError(f"{moments} are no moments")
    if gate.get("ready") == "1" and (
        gate.get("status") not in _RULED or parse_count(gate.get("limit")) < 1
    ):
        raise ValueError("no rules of ours")
    return View(
        version=parse_count(gate.get("version")),
        ready=gate.get("ready") == "1",
        epoch=parse_epoch(gate.get("epoch")),
        status=gate.get("status", ""),
        opens_at=moments[0],
        closes_at=moments[1],
        limit=parse_count(gate.get("limit")),
        stock={sku: parse_count(units) for sku, units in stock.items()},
        in_flight={sku: parse_count(units) for sku, units in in_flight.items()},
        waiting=waiting,
        now=seconds * 1000 + microseconds // 1000,
    )


_RULED = ("live", "paused", "ended")


_LATEST = 32_503_680_000_000  # ms: the year 3000, which no sale reaches
