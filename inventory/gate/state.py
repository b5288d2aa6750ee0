"""The gate as it is read: the view for pages, the pulse for the caretaker, the snapshot for
`verify`."""

import json
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from inventory.corruption import parse_count, parse_epoch
from inventory.gate.entries import Entry
from inventory.gate.scripts import keys


@dataclass(frozen=True, slots=True)
class View:
    """The gate, read in one transaction. Stock and in flight are units by sku; times are ms of
    Redis' clock."""

    version: int
    ready: bool
    epoch: str
    status: str
    opens_at: int
    closes_at: int
    limit: int
    stock: dict[str, int]
    in_flight: dict[str, int]
    in_line: int  # entries
    now: int
    draw: str = ""  # `Sale.draw`
    draw_at: int = 0  # 0: no draw
    standby: int = 0  # 1 if there is one
    per_address: int = 0  # units; 0: no bound
    waiting: dict[str, int] = field(default_factory=dict)  # waiting orders by sku

    def left(self, sku: str) -> int:
        """Units that can be bought now: none before a draw, and none past those who wait."""
        if self.draw in _UNDRAWN or self.waiting.get(sku):
            return 0
        return max(0, self.stock.get(sku, 0) - self.in_flight.get(sku, 0))


class Pulse(NamedTuple):
    """The part of a gate that the caretaker reads to see whether it needs care."""

    version: int
    epoch: str
    ready: bool
    waited: int  # ms for which the oldest entry has waited
    corrupt: str = ""  # why the gate must be rebuilt
    stuck: bool = False  # units are in flight although the line is empty


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The whole gate at one moment: its parts must agree with each other."""

    view: View
    in_flight_by_shopper: dict[str, int]  # units
    line: list[Entry]
    unreadable: list[str]  # stream ids of entries that `admit` did not write


VIEW_REPLIES = 5  # replies to `view_commands`


def view_commands(sale: int) -> tuple[tuple[str, ...], ...]:
    """The commands whose replies `parse_view` reads."""
    k = keys(sale)
    hashes = (("HGETALL", key) for key in (k.gate, k.stock, k.in_flight))
    return (*hashes, ("XLEN", k.line), ("TIME",))


def pairs(flat: list[str]) -> dict[str, str]:
    """A hash, from the flat list that RESP 2 sends."""
    return dict(zip(flat[::2], flat[1::2], strict=True))


def parse_view(replies: list[Any]) -> View:
    """Read the replies to `view_commands`. Raises ValueError or TypeError if the gate is
    corrupt."""
    gate, stock, in_flight, in_line, (seconds, microseconds) = replies
    moments = [parse_count(gate.get(name)) for name in ("opens_at", "closes_at", "draw_at")]
    if not all(0 <= moment < _LATEST for moment in moments):
        raise ValueError(f"{moments} are not times")
    if gate.get("ready") == "1" and (
        gate.get("status") not in _RULED or parse_count(gate.get("limit")) < 1
    ):
        raise ValueError("status or limit is not a rule of a sale")
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
        in_line=in_line,
        now=seconds * 1000 + microseconds // 1000,
        draw=gate.get("draw", ""),
        draw_at=moments[2],
        standby=parse_count(gate.get("standby")),
        per_address=parse_count(gate.get("per_address")),
        waiting=_parse_waiting(gate.get("waiting", "{}")),
    )


def _parse_waiting(stored: str) -> dict[str, int]:
    return {str(sku): int(orders) for sku, orders in json.loads(stored).items()}


_UNDRAWN = ("open", "closed", "frozen")
_RULED = ("live", "paused", "ended")
_LATEST = 32_503_680_000_000  # ms: the year 3000, which no sale reaches
