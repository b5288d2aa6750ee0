"""No entry has a better chance than another: its rank depends neither on its time nor on its id or size.

1,000 draws of eight entries each, of which all have another time, id and size. If ranks are random, each of
the 64 pairs of a rank and, say, a place in time comes up 125 times, and the deviations follow chi-squared
(Pearson). The seeds are fixed, so the test gives the same answer each time.
"""

import random
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from hashlib import sha256
from typing import NamedTuple
from uuid import UUID

import pytest

from conftest import MakeSale
from orders import caretaker, settlement
from orders.draws.ranking import order_by_rank, rank_key
from orders.models import Draw, Lot, Order
from tests.cast import bring_draw_forward, queue_up

DRAWS, ENTRIES = 1000, 8
# 49 degrees of freedom: a fair draw exceeds this once in a thousand times.
CRITICAL = 85.35


class Lottery(NamedTuple):
    """A draw to be made: its salt, and its entries in the order in which they came."""

    seed: bytes
    entries: list[UUID]
    sizes: dict[UUID, int]


Rank = Callable[[Lottery], Sequence[UUID]]
Trait = Callable[[Lottery], Sequence[UUID]]  # the entries in the order of a trait


def make_lotteries() -> list[Lottery]:
    chance = random.Random(18)  # fixed, so that the test cannot flake
    return [make_lottery(chance, number) for number in range(DRAWS)]


def make_lottery(chance: random.Random, number: int) -> Lottery:
    entries = [UUID(int=chance.getrandbits(128)) for _ in range(ENTRIES)]
    sizes = chance.sample(range(1, ENTRIES + 1), ENTRIES)
    return Lottery(sha256(b"%d" % number).digest(), entries, dict(zip(entries, sizes, strict=True)))


def draw(lottery: Lottery) -> Sequence[UUID]:
    return order_by_rank(lottery.seed, b"", lottery.entries)


def by_time(lottery: Lottery) -> Sequence[UUID]:
    return lottery.entries


def by_id(lottery: Lottery) -> Sequence[UUID]:
    return sorted(lottery.entries)


def by_size(lottery: Lottery) -> Sequence[UUID]:
    return sorted(lottery.entries, key=lottery.sizes.__getitem__)


TRAITS = (by_time, by_id, by_size)


def chi_squared(rank: Rank, trait: Trait) -> float:
    """How far ranks and places by the trait are from independent, with (ENTRIES - 1)² degrees of freedom.

    Each draw has each rank and each place once, so Pearson's sum is too large by n / (n - 1).
    """
    pairs = Counter(
        pair for lottery in make_lotteries() for pair in pair_up(rank(lottery), trait(lottery))
    )
    expected = DRAWS / ENTRIES
    cells = ((rank, place) for rank in range(ENTRIES) for place in range(ENTRIES))
    deviations = sum((pairs[cell] - expected) ** 2 / expected for cell in cells)
    return deviations * (ENTRIES - 1) / ENTRIES


def pair_up(ranked: Sequence[UUID], ordered: Sequence[UUID]) -> Iterable[tuple[int, int]]:
    """Each entry's rank, and its place by a trait."""
    return ((rank, ordered.index(entry)) for rank, entry in enumerate(ranked))


@pytest.mark.parametrize("trait", TRAITS)
def test_the_rank_does_not_depend_on_time_id_or_size(trait: Trait) -> None:
    assert chi_squared(draw, trait) < CRITICAL


@pytest.mark.parametrize("trait", TRAITS)
def test_a_draw_that_favours_a_trait_a_little_is_found_out(trait: Trait) -> None:
    """The first entry by the trait gets a second chance: the smaller one of two keys counts."""

    def draw_with_favour(lottery: Lottery) -> Sequence[UUID]:
        favoured = trait(lottery)[0]

        def key(entry: UUID) -> bytes:
            usual = rank_key(lottery.seed, b"", entry)
            again = rank_key(lottery.seed, b"again", entry)
            return min(usual, again) if entry == favoured else usual

        return sorted(lottery.entries, key=key)

    assert chi_squared(draw_with_favour, trait) > CRITICAL
    others = [chi_squared(draw_with_favour, other) for other in TRAITS if other is not trait]
    assert max(others) < CRITICAL  # it is found where it is, and nowhere else


def test_postgresql_ranks_as_the_draws_of_this_test(make_sale: MakeSale) -> None:
    """So what they show of ranks holds for real draws."""
    for _ in range(5):
        sale = make_sale({"shoe": 3, "bag": 2}, limit=ENTRIES, draw_in=60)
        for size, sku in enumerate([*sale.variants.values_list("sku", flat=True)] * 4, start=1):
            queue_up(sale, 1, sku=sku, quantity=size)
        settlement.settle(sale.pk)
        bring_draw_forward(sale)
        caretaker.advance_draws()
        seed = bytes.fromhex(Draw.objects.get(sale=sale).seed)
        came = list(Order.objects.filter(sale=sale).values_list("pk", flat=True))
        lots = Lot.objects.filter(sale=sale).order_by("rank")
        assert list(lots.values_list("order", flat=True)) == order_by_rank(seed, b"", came)
        assert len(came) == ENTRIES
