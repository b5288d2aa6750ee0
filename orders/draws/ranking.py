"""The rank of an entry in a draw, and who wins by it. PostgreSQL computes the same ranks of large draws."""

from collections.abc import Iterable, Iterator, Mapping
from hashlib import sha256
from uuid import UUID


def rank_key(seed: bytes, randomness: bytes, entry: UUID) -> bytes:
    """What entries are ordered by, 32 bytes. `randomness` is the beacon's, empty without one."""
    return sha256(seed + randomness + entry.bytes).digest()


def order_by_rank(seed: bytes, randomness: bytes, entries: Iterable[UUID]) -> list[UUID]:
    """Order entries by rank: the smallest key is rank 1. Without the entries that were set aside."""
    return sorted(entries, key=lambda entry: rank_key(seed, randomness, entry))


def winners(ranked: Iterable[tuple[UUID, str, int]], stock: Mapping[str, int]) -> Iterator[UUID]:
    """The entries that get units, in order of rank, from (entry, sku, quantity) in that order.

    An entry gets all of its units or none. One that does not fit is passed over, and a later one that
    wants fewer units of the same sku may fit. `stock` has the units by sku.
    """
    left = dict(stock)
    for entry, sku, quantity in ranked:
        if quantity <= left.get(sku, 0):
            left[sku] -= quantity
            yield entry
