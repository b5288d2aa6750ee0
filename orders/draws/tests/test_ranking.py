"""Ranks follow from seed, beacon and entries; units go out in their order, as far as they fit."""

from hashlib import sha256
from uuid import UUID

from orders.draws.ranking import order_by_rank, rank_key, winners

ENTRIES = [UUID(int=number) for number in range(1, 40)]
SEED, BEACON = b"s" * 32, b"b" * 32


def test_the_key_is_the_hash_of_seed_beacon_and_entry() -> None:
    expected = sha256(SEED + BEACON + bytes.fromhex("00" * 15 + "07")).digest()
    assert rank_key(SEED, BEACON, UUID(int=7)) == expected


def test_the_smallest_key_is_the_first() -> None:
    ranked = order_by_rank(SEED, BEACON, ENTRIES)
    keys = [rank_key(SEED, BEACON, entry).hex() for entry in ranked]
    assert keys == sorted(keys)
    assert sorted(ranked) == ENTRIES


def test_the_order_of_entries_changes_no_rank() -> None:
    assert order_by_rank(SEED, b"", ENTRIES) == order_by_rank(SEED, b"", ENTRIES[::-1])


def test_another_seed_or_beacon_gives_other_ranks() -> None:
    orders = [
        order_by_rank(*salt, ENTRIES) for salt in ((SEED, b""), (SEED, BEACON), (BEACON, b""))
    ]
    assert len({tuple(order) for order in orders}) == 3


def test_an_entry_gets_all_its_units_or_none_and_a_smaller_one_may_still_fit() -> None:
    ranked = list(zip(ENTRIES, ["m", "m", "l", "m", "m"], [2, 2, 1, 1, 1], strict=False))
    assert list(winners(ranked, {"m": 3})) == [ENTRIES[0], ENTRIES[3]]
