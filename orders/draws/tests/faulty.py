"""Files of draws with faults: cheating, and files of another form. Some are published as test vectors."""

from dataclasses import replace
from hashlib import sha256
from typing import Any, NamedTuple
from uuid import UUID

from orders.draws import record
from orders.draws.record_check import CHECKS
from orders.draws.tests.drand import SIGNATURE
from orders.draws.tests.made_draws import DRAWS, SHOES, Draw, make_draw

DRAW = DRAWS[2]  # with a beacon, several skus, and entries set aside
LINES = DRAW.text().decode().splitlines(keepends=True)


# --- Cheating that the file alone shows ----------------------------------------------------------


def with_header(**changes: object) -> Draw:
    return Draw(replace(DRAW.header, **changes), DRAW.lots)  # type: ignore[arg-type]


def with_lots(*lots: record.Lot, **changes: object) -> Draw:
    header = replace(DRAW.header, entries=len(lots), **changes)  # type: ignore[arg-type]
    return Draw(header, list(lots))


def swap_ranks() -> list[record.Lot]:
    first, second, *others = (lot for lot in DRAW.lots if lot.rank)
    swapped = [first._replace(rank=second.rank), second._replace(rank=first.rank)]
    return sorted([*swapped, *others, *(lot for lot in DRAW.lots if not lot.rank)])


def drop_last_rank() -> list[record.Lot]:
    last = max(lot.rank or 0 for lot in DRAW.lots)
    return [lot._replace(rank=None) if lot.rank == last else lot for lot in DRAW.lots]


OTHER = sha256(b"another").digest()
BEFORE, ASIDE, *AFTER = DRAW.lots
CHEATS: dict[str, tuple[Draw, set[str]]] = {
    "an entry is removed": (with_lots(*DRAW.lots[1:]), {"root", "ranks"}),
    "an entry is there twice": (with_lots(BEFORE, *DRAW.lots), {"entries", "root", "ranks"}),
    "the order is another": (with_lots(*DRAW.lots[::-1]), {"entries", "root"}),
    "an entry is there twice, and all ranks are anew": (
        with_lots(BEFORE, *DRAW.lots).with_ranks().with_root(),
        {"entries", "ranks"},
    ),
    "an entry is not counted": (with_header(entries=12), {"entries"}),
    "two entries are not counted": (with_header(entries=11), {"entries", "root"}),
    "an entry of the last rank is not counted": (
        Draw(replace(DRAWS[0].header, entries=2), DRAWS[0].lots),
        {"entries"},
    ),
    "an entry is counted without being there": (with_header(entries=14), {"entries"}),
    "the rank is another's": (with_lots(*swap_ranks()), {"ranks"}),
    "a rank is given twice": (
        with_lots(BEFORE._replace(rank=2), ASIDE, *AFTER),
        {"ranks"},
    ),
    "a rank is left out": (with_lots(BEFORE._replace(rank=13), ASIDE, *AFTER), {"ranks"}),
    "a rank is out of bounds": (with_lots(BEFORE._replace(rank=14), ASIDE, *AFTER), {"ranks"}),
    "an entry has no rank": (
        with_lots(BEFORE._replace(rank=None), ASIDE, *AFTER),
        {"set_aside", "ranks"},
    ),
    "an entry has no rank, and no other has it": (with_lots(*drop_last_rank()), {"set_aside"}),
    "a rank is as large as can be": (
        with_lots(BEFORE._replace(rank=9_999_999_999), ASIDE, *AFTER),
        {"ranks"},
    ),
    "the seed is another": (with_header(seed=OTHER.hex()), {"commitment", "ranks"}),
    "the commitment is another": (with_header(commitment=OTHER.hex()), {"commitment"}),
    "the stock is another": (with_header(stock={**DRAW.header.stock, "shoe-42": 9}), {"root"}),
    "the sale is another": (with_header(sale="another"), {"root"}),
    "the root is another": (with_header(root=OTHER.hex()), {"root"}),
    "the sku is another": (with_lots(BEFORE._replace(sku="cap"), ASIDE, *AFTER), {"root"}),
    "the quantity is another": (with_lots(BEFORE._replace(quantity=2), ASIDE, *AFTER), {"root"}),
    "an entry is set aside and drawn": (
        with_lots(BEFORE._replace(set_aside=True), ASIDE, *AFTER),
        {"root", "set_aside"},
    ),
    "a set-aside entry is hidden": (
        with_lots(BEFORE, ASIDE._replace(set_aside=False, rank=11), *AFTER),
        {"root", "ranks"},
    ),
    "there is no beacon, and its signature is used": (with_header(beacon=""), {"beacon"}),
    "the beacon is unknown": (with_header(beacon="dice"), {"beacon"}),
    "the signature is left out": (with_header(signature=""), {"beacon", "ranks"}),
    "the round is left out": (with_header(round=None), {"beacon"}),
}

# --- Cheating that the published values show: the file agrees with itself -------------------------

ADDED = record.Lot(UUID(bytes=sha256(b"added").digest()[:16]), "shoe-42", 1, False, None)
REMADE: dict[str, tuple[Draw, set[str]]] = {
    "an entry is added": (
        with_lots(*sorted([*DRAW.lots, ADDED])).with_ranks().with_root(),
        {"root"},
    ),
    "units are added": (
        with_header(stock={**DRAW.header.stock, "shoe-42": 9}).with_root(),
        {"root"},
    ),
    "a set-aside entry is removed": (with_lots(BEFORE, *AFTER).with_root(), {"root"}),
    "the seed is another": (
        make_draw("another", SHOES, {}, signature=SIGNATURE),
        {"commitment", "root"},
    ),
    "the beacon is left out": (
        with_header(beacon="", round=None, signature="").with_ranks(),
        {"beacon"},
    ),
}
# Its signature is invented, and ranks are made anew: nothing but BLS, or drand's own servers, shows it.
FORGED = with_header(signature="12" * 48).with_ranks()

# --- Files of another form ------------------------------------------------------------------------

HEADER = LINES[0]
MALFORMED = {
    "nothing": "",
    "a header alone": HEADER,
    "no end of the header": HEADER.rstrip("\n"),
    "a header that is too long": " " * (1 << 20) + HEADER,
    "no JSON": "draw\n" + "".join(LINES[1:]),
    "JSON that is nested without end": "[" * 100_000 + "\n",
    "no object": "[]\n" + "".join(LINES[1:]),
    "another format": HEADER.replace("draw-1", "draw-2") + "".join(LINES[1:]),
    "a field less": HEADER.replace('"sale":"set-aside",', "") + "".join(LINES[1:]),
    "a field more": HEADER.replace('"sale"', '"more":1,"sale"') + "".join(LINES[1:]),
    "a seed in capitals": HEADER.replace(DRAW.header.seed, DRAW.header.seed.upper())
    + "".join(LINES[1:]),
    "entries without end": HEADER.replace('"entries":13', '"entries":99999999999')
    + "".join(LINES[1:]),
    "a round that never comes": HEADER.replace('"round":6', '"round":99999999999')
    + "".join(LINES[1:]),
    "a fraction of an entry": HEADER.replace('"entries":13', '"entries":13.0') + "".join(LINES[1:]),
    "entries that are true": HEADER.replace('"entries":13', '"entries":true') + "".join(LINES[1:]),
    "entries with an exponent": HEADER.replace('"entries":13', '"entries":1.3e1')
    + "".join(LINES[1:]),
    "no units, with a sign": HEADER.replace('"shoe-43":3', '"shoe-43":-0') + "".join(LINES[1:]),
    "a space before the object": " " + "".join(LINES),
    "a space after the object": HEADER.replace("\n", " \n") + "".join(LINES[1:]),
    "a space in the object": HEADER.replace(",", ", ", 1) + "".join(LINES[1:]),
    "a carriage return after the object": HEADER.replace("\n", "\r\n") + "".join(LINES[1:]),
    "a byte order mark": "\ufeff" + "".join(LINES),
    "an escape": HEADER.replace('"sale"', '"\\u0073ale"') + "".join(LINES[1:]),
    "a field twice": HEADER.replace('"sale"', '"sale":"another","sale"') + "".join(LINES[1:]),
    "a sku twice": HEADER.replace('"shoe-43"', '"shoe-42":9,"shoe-43"') + "".join(LINES[1:]),
    "fields in another order": HEADER.replace('"sale":"set-aside",', "").replace(
        "{", '{"sale":"set-aside",', 1
    )
    + "".join(LINES[1:]),
    "skus in another order": HEADER.replace('"shoe-42":4,"shoe-43":3', '"shoe-43":3,"shoe-42":4')
    + "".join(LINES[1:]),
    "more stock than can be": HEADER.replace('"shoe-42":4', '"shoe-42":2147483649')
    + "".join(LINES[1:]),
    "a rank of eleven digits": "".join(LINES).replace(
        "shoe-42,1,0,4\n", "shoe-42,1,0,10000000000\n"
    ),
    "an entry too many that is none": "".join(LINES) + "\n",
    "a name with a line break": HEADER.replace('"set-aside"', '"set\\naside"') + "".join(LINES[1:]),
    "less than no stock": HEADER.replace('"shoe-42":4', '"shoe-42":-4') + "".join(LINES[1:]),
    "other columns": HEADER + "entry,sku\n" + "".join(LINES[2:]),
    "windows line ends": DRAW.text().decode().replace("\n", "\r\n"),
    "a short entry": "".join(LINES).replace(BEFORE.entry.hex, BEFORE.entry.hex[1:]),
    "an entry in capitals": "".join(LINES).replace(BEFORE.entry.hex, BEFORE.entry.hex.upper()),
    "no quantity": "".join(LINES).replace("shoe-42,1,0,4\n", "shoe-42,0,0,4\n"),
    "a quantity with a zero before": "".join(LINES).replace("shoe-42,1,0,4\n", "shoe-42,01,0,4\n"),
    "rank 0": "".join(LINES).replace("shoe-42,1,0,4\n", "shoe-42,1,0,0\n"),
    "a column more": "".join(LINES).replace("shoe-42,1,0,4\n", "shoe-42,1,0,4,\n"),
    "no end of the last line": "".join(LINES).rstrip("\n"),
    "an empty line": "".join(LINES[:5]) + "\n" + "".join(LINES[5:]),
    "a line without end": "".join(LINES[:4]) + "0" * 1000,
    "bytes that are no text": "".join(LINES[:4]) + "\udcff\n",
}


# --- Test vectors ---------------------------------------------------------------------------------


class PublishedFault(NamedTuple):
    """A file in `docs/draw/faults`, made from `set-aside.csv`: which checks fail in the file alone, and
    which once it is compared with the published values. None: it is malformed."""

    text: bytes
    alone: set[str] | None
    compared: set[str] | None

    def found(self) -> dict[str, Any]:
        return {"alone": _in_order(self.alone), "compared": _in_order(self.compared)}


def _in_order(checks: set[str] | None) -> list[str] | None:
    return None if checks is None else sorted(checks, key=CHECKS.index)


def _in_file(cheat: str, *compared: str) -> PublishedFault:
    draw, alone = CHEATS[cheat]
    return PublishedFault(draw.text(), alone, {*alone, *compared})


def _made_anew(cheat: str) -> PublishedFault:
    draw, compared = REMADE[cheat]
    return PublishedFault(draw.text(), set(), compared)


def _malformed(kind: str) -> PublishedFault:
    return PublishedFault(MALFORMED[kind].encode(), None, None)


PUBLISHED_FAULTS = {
    "removed": _in_file("an entry is removed"),
    "uncounted": _in_file("an entry is not counted"),
    "twice": _in_file("an entry is there twice, and all ranks are anew", "root"),
    "swapped": _in_file("the rank is another's"),
    "seed": _in_file("the seed is another"),
    "stock": _in_file("the stock is another"),
    "sale": _in_file("the sale is another"),
    "hidden": _in_file("a set-aside entry is hidden"),
    "ranked": _in_file("an entry is set aside and drawn"),
    "no-rank": _in_file("an entry has no rank, and no other has it"),
    "stray-round": _in_file("there is no beacon, and its signature is used"),
    "added": _made_anew("an entry is added"),
    "units": _made_anew("units are added"),
    "no-beacon": _made_anew("the beacon is left out"),
    "forged": PublishedFault(FORGED.text(), {"beacon"}, {"beacon"}),
    "spaces": _malformed("a space in the object"),
    "zero": _malformed("a quantity with a zero before"),
}
