"""What the gate stores of a purchase: its entry in the line, and its answer."""

import re
import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple
from uuid import UUID


class Answer(NamedTuple):
    """What is known of a purchase: `queued`, or the order's status."""

    status: str
    reason: str
    shopper: str
    sku: str
    quantity: int

    @classmethod
    def parse(cls, stored: str) -> "Answer":
        """Raises ValueError for what neither `admit` nor `tell` writes."""
        status, reason, shopper, sku, quantity = stored.split("|", 5)[:5]
        if status not in _STATUSES or not _UNITS.match(quantity):
            raise ValueError("no answer of ours")
        return cls(status, reason, shopper, sku, int(quantity))


_STATUSES = ("queued", "confirmed", "rejected", "cancelled")


class Verdict(NamedTuple):
    """What `admit` decided; the codes are listed in `lua/admit.lua`."""

    code: str
    answer: Answer | None = None
    reason: str = ""
    wait: int = 0  # ms until a rate allows another
    ring: bool = False


@dataclass(frozen=True, slots=True)
class Entry:
    """An accepted, undecided purchase, as it stands in the line."""

    id: str
    purchase: UUID
    shopper: UUID
    sku: str
    quantity: int
    accepted_at: datetime

    @classmethod
    def parse(cls, entry_id: str, fields: dict[str, str]) -> "Entry":
        """Whose purchase it is must be readable; the rest, where it is not, becomes what settlement
        rejects: no product, no units. Raises KeyError or ValueError for what nobody can be told."""
        purchase, shopper = fields["purchase"], fields["shopper"]
        if not (_HEX.match(purchase) and _HEX.match(shopper)):
            raise ValueError("no purchase of ours")
        sku, quantity = fields.get("sku", ""), fields.get("quantity", "")
        return cls(
            entry_id,
            UUID(purchase),
            UUID(shopper),
            sku if _SKU.match(sku) else "",
            int(quantity) if _UNITS.match(quantity) else 0,
            _moment(entry_id),
        )


# As `admit` writes them. `lua/empty.lua` counts by the same.
_HEX = re.compile(r"\A[0-9a-f]{32}\Z")


_SKU = re.compile(r"\A[A-Za-z0-9._-]{1,40}\Z")


_UNITS = re.compile(r"\A[0-9]{1,5}\Z")


_AHEAD = 24 * 3600.0  # seconds


def _moment(entry_id: str) -> datetime:
    """When the entry was put in line. One far ahead of the clock says nothing, and may be later than any
    moment that can be written down: it counts as of now."""
    seconds, now = int(entry_id.partition("-")[0]) / 1000, time.time()
    return datetime.fromtimestamp(now if seconds > now + _AHEAD else seconds, UTC)


def parse_line(raw: Iterable[tuple[str, dict[str, str]]]) -> tuple[list[Entry], list[str]]:
    """The entries of a line as read, and the ids of those that cannot be."""
    entries, unreadable = [], []
    for entry, fields in raw:
        try:
            entries.append(Entry.parse(entry, fields))
        except (KeyError, ValueError):
            unreadable.append(entry)
    return entries, unreadable


UNREADABLE = Answer("unreadable", "", "", "", 0)


def parse_answer(stored: str) -> Answer | None:
    try:
        return Answer.parse(stored)
    except ValueError:
        return None


def accepted_at_of(stored: str) -> datetime | None:
    entry = stored.split("|")[5:]
    try:
        return _moment(entry[0]) if entry else None
    except (ValueError, OverflowError):  # it was told in a rebuild, which does not know
        return None
