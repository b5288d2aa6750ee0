"""The test vectors of docs/draw.md: draws as files, what they give, and files with faults.

`python -m orders.draws.tests.vectors` writes them; a test says whether they are up to date.
"""

import json
from pathlib import Path
from typing import Any

from orders.draws import merkle, ranking, record
from orders.draws.tests.faulty import PUBLISHED_FAULTS
from orders.draws.tests.made_draws import DRAWS, Draw

FOLDER = Path(__file__).resolve().parents[3] / "docs" / "draw"


def expected_of(draw: Draw) -> dict[str, Any]:
    """The steps of a draw, in hex, and its winners in order of rank."""
    salt = bytes.fromhex(draw.header.seed), draw.randomness
    hashes = [merkle.hash_leaf(data) for data in record.leaves(draw.header, draw.lots)]
    ranked = sorted((lot for lot in draw.lots if lot.rank), key=lambda lot: lot.rank or 0)
    wishes = [(lot.entry, lot.sku, lot.quantity) for lot in ranked]
    return {
        "randomness": draw.randomness.hex(),
        "leaf_hashes": [leaf.hex() for leaf in hashes],
        "rank_keys": [
            "" if lot.set_aside else ranking.rank_key(*salt, lot.entry).hex() for lot in draw.lots
        ],
        "proof_of_leaf_1": _prove_leaf_1(hashes),
        "winners": [entry.hex for entry in ranking.winners(wishes, draw.header.stock)],
    }


def _prove_leaf_1(hashes: list[bytes]) -> list[str] | None:
    """The proof of the first entry; None if there is none."""
    if len(hashes) < 2:
        return None
    return [node.hex() for node in merkle.prove(hashes, 1, len(hashes))]


def files() -> dict[str, bytes]:
    """The files of the vectors, by name."""
    expected = {draw.header.sale: expected_of(draw) for draw in DRAWS}
    drawn = {f"{draw.header.sale}.csv": draw.text() for draw in DRAWS}
    faulty = {f"faults/{name}.csv": fault.text for name, fault in PUBLISHED_FAULTS.items()}
    found = {name: fault.found() for name, fault in PUBLISHED_FAULTS.items()}
    return {**drawn, **faulty, "expected.json": _as_json(expected), "faults.json": _as_json(found)}


def _as_json(known: object) -> bytes:
    return json.dumps(known, indent=2).encode() + b"\n"


if __name__ == "__main__":
    (FOLDER / "faults").mkdir(parents=True, exist_ok=True)
    for name, content in files().items():
        (FOLDER / name).write_bytes(content)
