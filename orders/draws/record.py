"""The record of a draw: the file that is published after it. `docs/draw.md` specifies it.

`write` makes it and `read` reads it, both line by line. `orders/draws/record_check.py` checks it.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, BinaryIO, NamedTuple
from uuid import UUID

FORMAT = "flashsale-draw-1"
COLUMNS = "entry,sku,quantity,set_aside,rank"
MOST_ENTRIES = 10_000_000  # a reader needs 32 bytes for each
_LONGEST_HEADER, _LONGEST_LINE = 1 << 20, 256  # bytes
_SKU = r"[A-Za-z0-9._-]{1,40}"
_NUMBER = r"[1-9][0-9]{0,9}"
_LINE = re.compile(rf"([0-9a-f]{{32}}),({_SKU}),({_NUMBER}),([01]),({_NUMBER})?\n".encode())


class Malformed(ValueError):
    """A file that is no record of a draw. The message names the line."""


@dataclass(frozen=True)
class Header:
    """The facts that all entries share. Bytes are in lower-case hex.

    Without a beacon `beacon` and `signature` are "", and `round` is None. `stock` has the units by sku at
    the freeze.
    """

    sale: str
    commitment: str
    seed: str
    beacon: str
    round: int | None
    signature: str
    root: str
    entries: int
    stock: dict[str, int]


class Lot(NamedTuple):
    """An entry as it was at the freeze. `rank` is None for one that was set aside."""

    entry: UUID
    sku: str
    quantity: int
    set_aside: bool
    rank: int | None


class Record(NamedTuple):
    """A file that is being read: `lots` reads it to its end, once, and raises Malformed."""

    header: Header
    lots: Iterator[Lot]


def leaves(header: Header, lots: Iterable[Lot]) -> Iterator[bytes]:
    """The data of the leaves of the Merkle tree: the sale is leaf 0, and entry i is leaf i + 1."""
    yield leaf_of_sale(header.sale, header.stock)
    yield from map(leaf_of, lots)


def leaf_of_sale(sale: str, stock: Mapping[str, int]) -> bytes:
    """The data of leaf 0: slug and units by sku. No entry begins so: its number has no letter s."""
    return ",".join(["sale", sale, *(f"{sku}={stock[sku]}" for sku in sorted(stock))]).encode()


def leaf_of(lot: Lot) -> bytes:
    """The data of an entry's leaf: without the rank, which comes after the freeze."""
    return f"{lot.entry.hex},{lot.sku},{lot.quantity},{lot.set_aside:d}".encode()


def write(header: Header, lots: Iterable[Lot]) -> Iterator[bytes]:
    """Write the record line by line. The lots come in the order of their leaves."""
    yield _first_line(header)
    yield COLUMNS.encode() + b"\n"
    for lot in lots:
        yield b"%b,%b\n" % (leaf_of(lot), b"" if lot.rank is None else b"%d" % lot.rank)


def _first_line(header: Header) -> bytes:
    known = {"format": FORMAT, **asdict(header)}
    return json.dumps(known, sort_keys=True, separators=(",", ":")).encode() + b"\n"


def read(file: BinaryIO) -> Record:
    """Read a record. Raises Malformed for the first two lines now, and for later ones when they are read.

    It looks at the form alone. It reads at most a line more than the header says that there are entries.
    """
    header = _parse_header(file.readline(_LONGEST_HEADER))
    if file.readline(_LONGEST_LINE) != COLUMNS.encode() + b"\n":
        raise Malformed(f"Line 2 is not {COLUMNS}.")
    return Record(header, _read_lots(file, header.entries))


def _read_lots(file: BinaryIO, entries: int) -> Iterator[Lot]:
    for number in range(3, entries + 4):
        if not (line := file.readline(_LONGEST_LINE)):
            return
        if not (found := _LINE.fullmatch(line)):
            raise Malformed(f"Line {number} is not of the form {COLUMNS}.")
        entry, sku, quantity, set_aside, rank = found.groups()
        yield Lot(
            UUID(bytes=bytes.fromhex(entry.decode())),
            sku.decode(),
            int(quantity),
            set_aside == b"1",
            None if rank is None else int(rank),
        )


def _parse_header(line: bytes) -> Header:
    if not line.endswith(b"\n"):
        raise Malformed("Line 1 has no end, or is longer than 1 MiB.")
    try:
        known = json.loads(line)
    except (ValueError, RecursionError):
        raise Malformed("Line 1 is not JSON.") from None
    if not isinstance(known, dict) or known.pop("format", None) != FORMAT:
        raise Malformed(f"Line 1 is not an object whose format is {FORMAT}.")
    names = {field.name for field in fields(Header)}
    if known.keys() != names:
        raise Malformed(f"Line 1 must have exactly {', '.join(sorted(names))}.")
    if wrong := sorted(name for name, value in known.items() if not _FORMS[name](value)):
        raise Malformed(f"Line 1 has a malformed value: {', '.join(wrong)}.")
    header = Header(**known)
    if line != _first_line(header):  # JSON has many spellings, and each reader knows others
        raise Malformed("Line 1 is not written as specified.")
    return header


# --- Forms of the values in the header ------------------------------------------------------------


def _is_hex(*lengths: int) -> Any:
    """A test of lower-case hex with one of these numbers of digits."""
    return lambda value: (
        isinstance(value, str)
        and len(value) in lengths
        and not set(value) - set("0123456789abcdef")
    )


def _matches(form: str, value: object) -> bool:
    return isinstance(value, str) and re.fullmatch(form, value) is not None


def _is_number(value: object, least: int, most: int) -> bool:
    return type(value) is int and least <= value <= most


def _is_stock(value: object) -> bool:
    return isinstance(value, dict) and all(
        _matches(_SKU, sku) and _is_number(units, 0, 1 << 31) for sku, units in value.items()
    )


_FORMS = {
    "sale": lambda value: _matches(r"[A-Za-z0-9_-]{1,200}", value),
    "commitment": _is_hex(64),
    "seed": _is_hex(64),
    "beacon": lambda value: _matches("[a-z0-9]{0,40}", value),
    "round": lambda value: value is None or _is_number(value, 1, 10_000_000_000),
    "signature": _is_hex(0, 96),
    "root": _is_hex(64),
    "entries": lambda value: _is_number(value, 0, MOST_ENTRIES),
    "stock": _is_stock,
}
