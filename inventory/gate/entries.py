"""What the gate stores of a purchase: its entry in the line, and its answer."""

import re
import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple
from uuid import UUID

# What `admit` is given instead of a digest if the click's form showed something else than is sold now.
CHANGED = "changed"


class Answer(NamedTuple):
    """The answer to a purchase: `queued`, or the order's status. `shopper` is a UUID in hex.
    `hold_until` is the end of a hold, in ms since 1970; 0 in any other status. `place` is that of a waiting
    order (`Order.place`); 0 while it has none, and in any other status."""

    status: str
    reason: str
    shopper: str
    sku: str
    quantity: int
    hold_until: int = 0
    place: int = 0

    @classmethod
    def parse(cls, stored: str) -> "Answer":
        """Read a stored answer. Raises ValueError unless `admit` or `apply` wrote it."""
        status, reason, shopper, sku, quantity, *more = stored.split("|", 6)
        if status not in _STATUSES or not _UNITS.match(quantity):
            raise ValueError("not an answer of the gate's scripts")
        if status == "held":
            _, until = more
            if not _MOMENT.match(until):
                raise ValueError("a hold without an end")
            return cls(status, reason, shopper, sku, int(quantity), int(until))
        if status == "waiting" and len(more) > 1:
            if not _PLACE.match(more[1]):
                raise ValueError("a place that is not a number")
            return cls(status, reason, shopper, sku, int(quantity), place=int(more[1]))
        return cls(status, reason, shopper, sku, int(quantity))

    @classmethod
    def of(cls, told: list[Any]) -> "Answer":
        """Read an answer as a delta tells it: its seventh part depends on the status."""
        status, reason, shopper, sku, quantity, *more = told
        if more and status == "waiting":
            return cls(status, reason, shopper, sku, quantity, place=more[0])
        return cls(*told)


_STATUSES = ("queued", "waiting", "held", "confirmed", "rejected", "expired", "cancelled")


class Verdict(NamedTuple):
    """The decision of `admit`. `lua/admit.lua` lists the codes."""

    code: str
    answer: Answer | None = None
    reason: str = ""
    wait: int = 0  # ms until a rate allows another
    ring: bool = False


@dataclass(frozen=True, slots=True)
class Entry:
    """An accepted, undecided purchase in the line. `id` is its stream id, `quantity` is in
    units. `shown` is the digest of the variant as the form showed it (`inventory/shown.py`), in hex;
    "" from a web process of version 0.1.0. `network` is the keyed hash of the click's network
    (`orders/networks.py`), in hex; "" in a sale without a hold. `lacks` is the reason for which settlement
    rejects it whatever is in stock; "" in the line. `person` is the present id of the shopper's person, if
    settlement has to count for all ids of theirs; None in the line."""

    id: str
    purchase: UUID
    shopper: UUID
    sku: str
    quantity: int
    accepted_at: datetime
    shown: str = ""
    network: str = ""
    lacks: str = ""
    person: UUID | None = None

    @property
    def buyer(self) -> UUID:
        """Under whose id units count against the limit."""
        return self.person or self.shopper

    @classmethod
    def parse(cls, entry_id: str, fields: dict[str, str]) -> "Entry":
        """Read an entry of the stream.

        An invalid sku or quantity becomes "" or 0, which settlement rejects. Raises KeyError or
        ValueError if purchase or shopper cannot be read: there is no shopper who could get an
        answer.
        """
        purchase, shopper = fields["purchase"], fields["shopper"]
        if not (_HEX.match(purchase) and _HEX.match(shopper)):
            raise ValueError("purchase or shopper is not an id")
        sku, quantity = fields.get("sku", ""), fields.get("quantity", "")
        network = fields.get("network", "")
        return cls(
            entry_id,
            UUID(purchase),
            UUID(shopper),
            sku if _SKU.match(sku) else "",
            int(quantity) if _UNITS.match(quantity) else 0,
            _moment(entry_id),
            fields.get("shown", ""),
            network if _NETWORK.match(network) else "",
        )


# As `admit` writes them. `lua/empty.lua` uses the same patterns.
_HEX = re.compile(r"\A[0-9a-f]{32}\Z")
_SKU = re.compile(r"\A[A-Za-z0-9._-]{1,40}\Z")
_UNITS = re.compile(r"\A[0-9]{1,5}\Z")
_NETWORK = re.compile(r"\A[0-9a-f]{16}\Z")
_MOMENT = re.compile(r"\A[0-9]{1,14}\Z")
_PLACE = re.compile(r"\A[0-9]{1,15}\Z")
_AHEAD = 24 * 3600.0  # seconds


def _moment(entry_id: str) -> datetime:
    """When the entry was put in line, by its stream id.

    An id a day or more ahead of the clock counts as now: it may be later than any datetime.
    """
    seconds, now = int(entry_id.partition("-")[0]) / 1000, time.time()
    return datetime.fromtimestamp(now if seconds > now + _AHEAD else seconds, UTC)


def parse_line(raw: Iterable[tuple[str, dict[str, str]]]) -> tuple[list[Entry], list[str]]:
    """Split a raw line into readable entries and the stream ids of unreadable ones."""
    entries, unreadable = [], []
    for entry, fields in raw:
        try:
            entries.append(Entry.parse(entry, fields))
        except (KeyError, ValueError):
            unreadable.append(entry)
    return entries, unreadable


UNREADABLE = Answer("unreadable", "", "", "", 0)


def parse_answer(stored: str) -> Answer | None:
    """The stored answer, or None if it is corrupt."""
    try:
        return Answer.parse(stored)
    except ValueError:
        return None


def accepted_at_of(stored: str) -> datetime | None:
    """When the purchase was accepted; None if a rebuild stored the answer, which has no entry."""
    entry = stored.split("|")[5:]
    try:
        return _moment(entry[0]) if entry else None
    except (ValueError, OverflowError):
        return None
