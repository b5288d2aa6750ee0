"""The test vectors of docs/draw.md: three draws as files, and what they give.

`python -m orders.draws.tests.vectors` writes them; a test says whether they are up to date.
"""

import json
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

from orders.draws import beacon, merkle, ranking, record, seed
from orders.draws.tests.drand import ROUND, SIGNATURE

FOLDER = Path(__file__).resolve().parents[3] / "docs" / "draw"


class Draw(NamedTuple):
    """A record and the proof of one entry."""

    header: record.Header
    lots: list[record.Lot]

    def text(self) -> bytes:
        return b"".join(record.write(self.header, self.lots))

    @property
    def randomness(self) -> bytes:
        return beacon.randomness_of(bytes.fromhex(self.header.signature))


def make_draw(
    sale: str,
    wishes: Sequence[tuple[str, int]],
    stock: dict[str, int],
    *,
    signature: bytes = b"",
    set_aside: Sequence[int] = (),
) -> Draw:
    """A draw that is always the same. `wishes` are sku and quantity by leaf, `set_aside` has leaves."""
    chosen = sha256(f"seed of {sale}".encode()).digest()
    ids = sorted(
        UUID(bytes=sha256(f"{sale} {leaf}".encode()).digest()[:16]) for leaf in range(len(wishes))
    )
    drawn = [entry for leaf, entry in enumerate(ids) if leaf not in set_aside]
    ordered = ranking.order_by_rank(chosen, beacon.randomness_of(signature), drawn)
    rank = {entry: number for number, entry in enumerate(ordered, 1)}
    lots = [
        record.Lot(entry, *wish, entry not in rank, rank.get(entry))
        for entry, wish in zip(ids, wishes, strict=True)
    ]
    header = record.Header(
        sale=sale,
        commitment=seed.commit(chosen),
        seed=chosen.hex(),
        beacon=beacon.NAME if signature else "",
        round=ROUND if signature else None,
        signature=signature.hex(),
        root=merkle.root_of(map(record.leaf_of, lots)).hex(),
        entries=len(lots),
        stock=stock,
    )
    return Draw(header, lots)


SHOES = [("shoe-42", 1), ("shoe-43", 2), ("shoe-42", 2), ("shoe-43", 1), ("shoe-42", 1)]
DRAWS = [
    make_draw("three", [("poster", 1)] * 3, {"poster": 2}),
    make_draw("beacon", [*SHOES, *SHOES[:2]], {"shoe-42": 3, "shoe-43": 2}, signature=SIGNATURE),
    make_draw(
        "set-aside",
        [*SHOES, *SHOES, ("cap", 1), ("shoe-42", 1), ("shoe-43", 1)],
        {"shoe-42": 4, "shoe-43": 3},
        signature=SIGNATURE,
        set_aside=[1, 8, 12],
    ),
]


def expected_of(draw: Draw) -> dict[str, Any]:
    """The steps of a draw, in hex, and its winners in order of rank."""
    salt = bytes.fromhex(draw.header.seed), draw.randomness
    hashes = [merkle.hash_leaf(record.leaf_of(lot)) for lot in draw.lots]
    ranked = sorted((lot for lot in draw.lots if lot.rank), key=lambda lot: lot.rank or 0)
    wishes = [(lot.entry, lot.sku, lot.quantity) for lot in ranked]
    return {
        "randomness": draw.randomness.hex(),
        "leaf_hashes": [leaf.hex() for leaf in hashes],
        "rank_keys": [
            "" if lot.set_aside else ranking.rank_key(*salt, lot.entry).hex() for lot in draw.lots
        ],
        "proof_of_leaf_1": [node.hex() for node in merkle.prove(hashes, 1, len(hashes))],
        "winners": [entry.hex for entry in ranking.winners(wishes, draw.header.stock)],
    }


def files() -> dict[str, bytes]:
    """The files of the vectors, by name."""
    expected = {draw.header.sale: expected_of(draw) for draw in DRAWS}
    drawn = {f"{draw.header.sale}.csv": draw.text() for draw in DRAWS}
    return {**drawn, "expected.json": json.dumps(expected, indent=2).encode() + b"\n"}


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name, content in files().items():
        (FOLDER / name).write_bytes(content)
