"""Checks the record of a draw: whether the seed, the beacon and the entries give its root and its ranks.

`tools/verify_draw.py` makes the same checks without the shop, except for the beacon's signature.
"""

from collections.abc import Iterator
from hashlib import sha256
from typing import NamedTuple

from orders.draws import beacon, merkle
from orders.draws.ranking import rank_key
from orders.draws.record import Header, Lot, Record, leaves

COMMITMENT, BEACON, ENTRIES, ROOT, SET_ASIDE, RANKS = CHECKS = (
    "commitment",
    "beacon",
    "entries",
    "root",
    "set_aside",
    "ranks",
)


class Published(NamedTuple):
    """The facts that were published before the draw: commitment, beacon and round when it was scheduled,
    the root at the freeze. None is not compared.

    Without these, a record only agrees with itself: another seed, round or list of entries gives another
    record that does so, too.
    """

    commitment: str | None = None
    beacon: str | None = None
    round: int | None = None
    root: str | None = None


class Fault(NamedTuple):
    """A check that fails, by its name in CHECKS, and a sentence about it."""

    check: str
    text: str


def check(record: Record, published: Published | None = None) -> list[Fault]:
    """Check a record, and compare it with the published facts. Returns the first fault of each check, in
    the order of CHECKS. Raises Malformed.

    Reads the lots to their end. Takes 32 bytes of memory for each entry.
    """
    header, published = record.header, published or Published()
    seen = _Seen(header)
    root = merkle.root_of(leaves(header, seen.note_each(record.lots))).hex()
    faults = {
        COMMITMENT: _commitment_fault(header, published),
        BEACON: _beacon_fault(header, published),
        ENTRIES: seen.entries_fault(),
        ROOT: _root_fault(header, published, root),
        SET_ASIDE: seen.set_aside_fault,
        RANKS: seen.ranks_fault(),
    }
    return [Fault(name, faults[name]) for name in CHECKS if faults[name]]


def _commitment_fault(header: Header, published: Published) -> str:
    if published.commitment not in (None, header.commitment):
        return "The commitment is not the published one."
    if sha256(bytes.fromhex(header.seed)).hexdigest() != header.commitment:
        return "The seed does not hash to the commitment."
    return ""


def _beacon_fault(header: Header, published: Published) -> str:
    if published.beacon not in (None, header.beacon):
        return "The beacon is not the published one."
    if published.round not in (None, header.round):
        return "The round is not the published one."
    if header.beacon == "":
        stray = header.round is not None or header.signature
        return "There is a round or a signature without a beacon." if stray else ""
    if header.beacon != beacon.NAME:
        return "The beacon is unknown."
    signature = bytes.fromhex(header.signature)
    if header.round is None or not beacon.is_valid(header.round, signature):
        return "The signature is not the beacon's for this round."
    return ""


def _root_fault(header: Header, published: Published, root: str) -> str:
    if published.root not in (None, header.root):
        return "The root is not the published one."
    return "" if root == header.root else "The entries do not give the root."


class _Seen:
    """Notes of the lots while they pass. Rank keys are kept by rank, so that nothing is sorted."""

    def __init__(self, header: Header) -> None:
        self._entries = header.entries
        self._most = header.entries + 1  # `read` gives no more lots
        randomness = beacon.randomness_of(bytes.fromhex(header.signature))
        self._salt = bytes.fromhex(header.seed), randomness
        self._keys = bytearray(32 * self._most)  # zeros where no lot has the rank
        self._lots = self._ranked = 0
        self._in_order, self.set_aside_fault = True, ""

    def note_each(self, lots: Iterator[Lot]) -> Iterator[Lot]:
        last = b""
        for lot in lots:
            self._lots += 1
            self._in_order &= last < lot.entry.bytes
            last = lot.entry.bytes
            self._note_rank(lot)
            yield lot

    def _note_rank(self, lot: Lot) -> None:
        if lot.set_aside != (lot.rank is None):
            has = "is set aside and has a rank" if lot.set_aside else "has no rank"
            self.set_aside_fault = self.set_aside_fault or f"Entry {lot.entry.hex} {has}."
        if lot.rank is None:
            return
        self._ranked += 1
        if lot.rank <= self._most:
            self._keys[32 * lot.rank - 32 : 32 * lot.rank] = rank_key(*self._salt, lot.entry)

    def entries_fault(self) -> str:
        if self._lots != self._entries:
            more = "more" if self._lots > self._entries else f"{self._lots}"
            return f"The header says {self._entries} entries, and there are {more}."
        return "" if self._in_order else "The entries are not in order, or one is there twice."

    def ranks_fault(self) -> str:
        """A rank that is too large, or given twice, leaves another one empty."""
        last = bytes(32)
        for rank in range(1, self._ranked + 1):
            key = bytes(self._keys[32 * rank - 32 : 32 * rank])
            if not any(key):
                return f"No entry has rank {rank}."
            if key <= last:
                return f"Rank {rank} is not that of seed, beacon and entry."
            last = key
        return ""
