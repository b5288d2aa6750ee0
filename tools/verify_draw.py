"""Checks the published file of a draw: `python verify_draw.py FILE --commitment HEX --root HEX --entry ID`.

It is one file that needs Python 3.9 or newer, and nothing else: no shop, no network. Give it commitment,
round and root as they were published before the draw: without them it can only say that the file agrees
with itself. The signature of a beacon is not verified; it says how to compare it with drand's own servers.
The format is in docs/draw.md. Exit code: 0 all is right, 1 there is a fault, 2 the file cannot be checked.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from array import array
from datetime import datetime, timedelta, timezone
from hashlib import sha256
from typing import Any, BinaryIO, Callable, Iterator  # noqa: UP035 (Python 3.9)

FORMAT = "flashsale-draw-1"
COLUMNS = b"entry,sku,quantity,set_aside,rank\n"
MOST_ENTRIES = 10_000_000
LONGEST_HEADER, LONGEST_LINE = 1 << 20, 256
SKU, NUMBER = r"[A-Za-z0-9._-]{1,40}", r"[1-9][0-9]{0,9}"
LINE = re.compile(f"([0-9a-f]{{32}}),({SKU}),({NUMBER}),([01]),({NUMBER})?\n".encode())
QUICKNET = "52db9ba70e0cc0f6eaf7803dd07447a1f5477735fd3f661792ba94600c84e971"
GENESIS = datetime(2023, 8, 23, 15, 9, 27, tzinfo=timezone.utc)  # noqa: UP017 (Python 3.9)


Lot = tuple[bytes, bytes, bytes, int, bool, int]


class Malformed(Exception):
    """The file is no record of a draw."""


# --- Read -----------------------------------------------------------------------------------------


def is_hex(*lengths: int) -> Callable[[object], bool]:
    return lambda value: (
        isinstance(value, str)
        and len(value) in lengths
        and not set(value) - set("0123456789abcdef")
    )


def is_number(least: int, most: int) -> Callable[[object], bool]:
    return lambda value: type(value) is int and least <= value <= most


def matches(form: str) -> Callable[[object], bool]:
    return lambda value: isinstance(value, str) and re.fullmatch(form, value) is not None


def is_stock(value: object) -> bool:
    return isinstance(value, dict) and all(
        re.fullmatch(SKU, sku) and is_number(0, 1 << 31)(units) for sku, units in value.items()
    )


FORMS: dict[str, Callable[[object], bool]] = {
    "format": lambda value: value == FORMAT,
    "sale": matches(r"[A-Za-z0-9_-]{1,200}"),
    "commitment": is_hex(64),
    "seed": is_hex(64),
    "beacon": matches("[a-z0-9]{0,40}"),
    "round": lambda value: value is None or is_number(1, 10_000_000_000)(value),
    "signature": is_hex(0, 96),
    "root": is_hex(64),
    "entries": is_number(0, MOST_ENTRIES),
    "stock": is_stock,
}


def read_header(file: BinaryIO) -> dict[str, Any]:
    line = file.readline(LONGEST_HEADER)
    if not line.endswith(b"\n"):
        raise Malformed("line 1 has no end, or is too long")
    try:
        header = json.loads(line)
    except (ValueError, RecursionError):
        raise Malformed("line 1 is not JSON") from None
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise Malformed(f"line 1 is not an object whose format is {FORMAT}")
    if header.keys() != FORMS.keys():
        raise Malformed(f"line 1 must have exactly {', '.join(sorted(FORMS))}")
    for name, fits in FORMS.items():
        if not fits(header[name]):
            raise Malformed(f"line 1 has a malformed value: {name}")
    if line != json.dumps(header, sort_keys=True, separators=(",", ":")).encode() + b"\n":
        raise Malformed("line 1 is not written as specified")
    if file.readline(LONGEST_LINE) != COLUMNS:
        raise Malformed("line 2 does not name the columns")
    return header


def read_lots(file: BinaryIO, entries: int) -> Iterator[Lot]:
    """Yield (leaf data, entry's 16 bytes, sku, quantity, is set aside, rank or 0)."""
    for number in range(3, entries + 4):
        line = file.readline(LONGEST_LINE)
        if not line:
            return
        found = LINE.fullmatch(line)
        if not found:
            raise Malformed(f"line {number} is not an entry")
        entry, sku, quantity, aside, rank = found.groups()
        leaf = line[: line.rindex(b",")]
        yield leaf, bytes.fromhex(entry.decode()), sku, int(quantity), aside == b"1", int(rank or 0)


def sale_leaf(header: dict[str, Any]) -> bytes:
    """The data of leaf 0: it binds the sale and its units to the root."""
    units = [f"{sku}={header['stock'][sku]}" for sku in sorted(header["stock"])]
    return ",".join(["sale", header["sale"], *units]).encode()


# --- Check ----------------------------------------------------------------------------------------


class Tree:
    """The Merkle tree of RFC 9162, leaf by leaf."""

    def __init__(self) -> None:
        self.count = 0
        self.whole: list[bytes] = []

    def add(self, data: bytes) -> None:
        self.count += 1
        number, node = self.count, sha256(b"\x00" + data).digest()
        while number % 2 == 0:
            node = sha256(b"\x01" + self.whole.pop() + node).digest()
            number //= 2
        self.whole.append(node)

    def root(self) -> str:
        node = self.whole[-1]
        for left in self.whole[-2::-1]:
            node = sha256(b"\x01" + left + node).digest()
        return node.hex()


class Entries:
    """Reads all entries once, and keeps by rank: key, sku and quantity."""

    def __init__(self, header: dict[str, Any], lots: Iterator[Lot], wanted: bytes | None) -> None:
        self.header, self.wanted = header, wanted
        self.found: tuple[int, bool, int] | None = None  # index, is set aside, rank
        self.count = 0
        self.tree = Tree()
        self.tree.add(sale_leaf(header))
        self.skus: dict[str, int] = {}
        self.most = header["entries"] + 1  # read_lots gives no more
        self.keys = bytearray(32 * self.most)
        self.wants = array("Q", bytes(8 * self.most))  # sku's number, quantity
        self.ranked, self.in_order, self.aside_fault = 0, True, ""
        signature = bytes.fromhex(header["signature"])
        self.salt = bytes.fromhex(header["seed"]) + (
            sha256(signature).digest() if signature else b""
        )
        last = b""
        for lot in lots:
            self.in_order = self.in_order and last < lot[1]
            last = lot[1]
            self.note(*lot)

    def note(
        self, leaf: bytes, entry: bytes, sku: bytes, quantity: int, aside: bool, rank: int
    ) -> None:
        if entry == self.wanted:
            self.found = (self.count, aside, rank)
        self.count += 1
        self.tree.add(leaf)
        if aside == bool(rank) and not self.aside_fault:
            has = "is set aside and has a rank" if aside else "has no rank"
            self.aside_fault = f"entry {entry.hex()} {has}"
        if not rank:
            return
        self.ranked += 1
        if rank <= self.most:
            self.keys[32 * rank - 32 : 32 * rank] = sha256(self.salt + entry).digest()
            number = self.skus.setdefault(sku.decode(), len(self.skus))
            self.wants[rank - 1] = number << 34 | quantity

    def count_fault(self) -> str:
        said, there = self.header["entries"], self.count
        if said != there:
            return (
                f"the header says {said} entries, and there are {'more' if there > said else there}"
            )
        return "" if self.in_order else "entries are not in order, or one is there twice"

    def ranks_fault(self) -> str:
        """A rank that is too large, or given twice, leaves another one empty."""
        last = bytes(32)
        for rank in range(self.ranked):
            key = bytes(self.keys[32 * rank : 32 * rank + 32])
            if not any(key):
                return f"no entry has rank {rank + 1}"
            if key <= last:
                return f"rank {rank + 1} is not that of seed, beacon and entry"
            last = key
        return ""

    def winning_ranks(self) -> Iterator[int]:
        """The ranks that get their units: in order, all or none, while the stock of the sku suffices."""
        names = list(self.skus)
        left = [self.header["stock"].get(sku, 0) for sku in names]
        for rank in range(1, self.ranked + 1):
            number, quantity = self.wants[rank - 1] >> 34, self.wants[rank - 1] & (1 << 34) - 1
            if quantity <= left[number]:
                left[number] -= quantity
                yield rank


def commitment_fault(header: dict[str, Any], published: str | None) -> str:
    if published and published != header["commitment"]:
        return "the commitment is not the published one"
    if sha256(bytes.fromhex(header["seed"])).hexdigest() != header["commitment"]:
        return "the seed does not hash to the commitment"
    return ""


def beacon_fault(header: dict[str, Any], published: int | None) -> str:
    if published is not None and published != (header["round"] or 0):
        return "the round is not the published one"
    if header["beacon"] == "":
        stray = header["round"] is not None or header["signature"]
        return "there is a round or a signature without a beacon" if stray else ""
    if header["beacon"] != "quicknet":
        return "the beacon is unknown"
    return (
        "" if header["round"] and header["signature"] else "the round or its signature is missing"
    )


def root_fault(header: dict[str, Any], published: str | None, root: str) -> str:
    if published and published != header["root"]:
        return "the root is not the published one"
    return "" if root == header["root"] else "the entries do not give the root"


# --- Tell -----------------------------------------------------------------------------------------


def tell_of_beacon(header: dict[str, Any]) -> None:
    if not header["beacon"]:
        print("note   No beacon: the organiser could have tried several seeds before committing.")
        return
    number, signature = header["round"], bytes.fromhex(header["signature"])
    known = GENESIS + timedelta(seconds=3 * (number - 1))
    print("note   The beacon's signature is not verified here. Open")
    print(f"       https://api.drand.sh/{QUICKNET}/public/{number}")
    print("       and compare: until then the beacon proves nothing. These must be there:")
    print(f"       signature  {header['signature']}")
    print(f"       randomness {sha256(signature).hexdigest()}")
    print(
        f"       The root must have been published before the round became known, which was at"
        f" {known:%Y-%m-%d %H:%M:%S} UTC."
    )


def tell_of_entry(entries: Entries, wanted: bytes, winning: set[int]) -> bool:
    """Print what the file says of the wanted entry. Returns whether it is there."""
    if not entries.found:
        print(f"FAULT  entry: {wanted.hex()} is not in the file")
        return False
    index, aside, rank = entries.found
    outcome = "gets its units" if rank in winning else "gets nothing at the draw"
    drawn = "is set aside" if aside or not rank else f"has rank {rank} and {outcome}"
    print(f"ok     entry: {wanted.hex()} is line {index + 3} of the file, and {drawn}")
    return True


def verify(file: BinaryIO, options: argparse.Namespace) -> bool:
    header = read_header(file)
    entries = Entries(header, read_lots(file, header["entries"]), options.entry)
    checks = {
        "commitment": commitment_fault(header, options.commitment),
        "beacon": beacon_fault(header, options.round),
        "entries": entries.count_fault(),
        "root": root_fault(header, options.root, entries.tree.root()),
        "set_aside": entries.aside_fault,
        "ranks": entries.ranks_fault(),
    }
    print(f"draw   {header['sale']}: {entries.count} entries, {entries.ranked} of them with a rank")
    for name, fault in checks.items():
        print(f"FAULT  {name}: {fault}" if fault else f"ok     {name}")
    right = not any(checks.values())
    if right:
        winning = set(entries.winning_ranks())
        print(f"note   {len(winning)} entries get units.")
        tell_of_beacon(header)
        right = not options.entry or tell_of_entry(entries, options.entry, winning)
    for name in ("commitment", "round", "root"):
        if getattr(options, name) is None:
            print(f"note   Compare the {name} with the one that was published before: --{name}")
    return right


def entry_id(text: str) -> bytes:
    return bytes.fromhex(_hex(text.replace("-", ""), 32))


def hex_of_32_bytes(text: str) -> str:
    return _hex(text, 64)


def _hex(text: str, digits: int) -> str:
    if not is_hex(digits)(text.lower()):
        raise ValueError(text)
    return text.lower()


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("file")
    parser.add_argument("--commitment", type=hex_of_32_bytes, help="as published at scheduling")
    parser.add_argument(
        "--round", type=int, help="of the beacon, as published at scheduling; 0: without"
    )
    parser.add_argument("--root", type=hex_of_32_bytes, help="as published at the freeze")
    parser.add_argument("--entry", type=entry_id, help="the number of an entry, to see its rank")
    options = parser.parse_args(arguments)
    try:
        with open(options.file, "rb") as file:  # noqa: PTH123
            return 0 if verify(file, options) else 1
    except (Malformed, OSError) as error:
        print(f"FAULT  the file cannot be checked: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
