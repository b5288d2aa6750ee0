"""Draws that are made for tests: their records, as the shop writes them."""

from collections.abc import Sequence
from dataclasses import replace
from hashlib import sha256
from typing import NamedTuple
from uuid import UUID

from orders.draws import beacon, merkle, ranking, record, seed
from orders.draws.record_check import Published
from orders.draws.tests.drand import ROUND, SIGNATURE


class Draw(NamedTuple):
    """A record and the proof of one entry."""

    header: record.Header
    lots: list[record.Lot]

    def with_ranks(self) -> "Draw":
        """The draw with the ranks that seed and beacon give to its lots."""
        drawn = [lot.entry for lot in self.lots if not lot.set_aside]
        ordered = ranking.order_by_rank(bytes.fromhex(self.header.seed), self.randomness, drawn)
        rank = {entry: number for number, entry in enumerate(ordered, 1)}
        return Draw(self.header, [lot._replace(rank=rank.get(lot.entry)) for lot in self.lots])

    def with_root(self) -> "Draw":
        """The draw with the root of its sale and lots: the file agrees with itself."""
        root = merkle.root_of(record.leaves(self.header, self.lots)).hex()
        return Draw(replace(self.header, root=root), self.lots)

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
    """A draw that is always the same. `wishes` are sku and quantity by entry, `set_aside` has indexes."""
    chosen = sha256(f"seed of {sale}".encode()).digest()
    ids = sorted(
        UUID(bytes=sha256(f"{sale} {leaf}".encode()).digest()[:16]) for leaf in range(len(wishes))
    )
    lots = [
        record.Lot(entry, *wish, leaf in set_aside, None)
        for leaf, (entry, wish) in enumerate(zip(ids, wishes, strict=True))
    ]
    header = record.Header(
        sale=sale,
        commitment=seed.commit(chosen),
        seed=chosen.hex(),
        beacon=beacon.NAME if signature else "",
        round=ROUND if signature else None,
        signature=signature.hex(),
        root="",
        entries=len(lots),
        stock=stock,
    )
    return Draw(header, lots).with_ranks().with_root()


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
    make_draw("none", [], {"poster": 2}),
    make_draw("one", [("poster", 1)], {}),
]


def published_of(draw: Draw) -> Published:
    header = draw.header
    return Published(header.commitment, header.beacon, header.round, header.root)
