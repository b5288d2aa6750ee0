"""How much of a sale one network is proposed to take."""

from datetime import timedelta
from math import comb

import pytest

from conftest import MakeSale
from inventory.models import Sale
from orders.network_bound import CROWDS, PEOPLE, describe_proposals, propose_bound
from orders.sale_warnings import list_warnings


def chance_of_more(units: int, stock: int, crowd: int) -> float:
    """That more than `units` of the stock go to PEOPLE of the crowd, if lots decide."""
    others = crowd - PEOPLE
    ways = (comb(PEOPLE, n) * comb(others, stock - n) for n in range(units + 1, stock + 1))
    return sum(ways) / comb(crowd, stock)


@pytest.mark.parametrize("crowd", CROWDS)
@pytest.mark.parametrize("stock", [20, 100, 300, 900])
def test_people_behind_one_address_are_stopped_in_fewer_than_one_sale_of_a_thousand(
    stock: int, crowd: int
) -> None:
    bound = propose_bound(stock, 1, crowd)
    assert chance_of_more(bound, stock, crowd) < 1 / 1000
    assert chance_of_more(bound // 2, stock, crowd) > 1 / 1000  # and hardly more is given away


@pytest.mark.parametrize(
    ("stock", "limit", "crowd", "units"),
    [
        (1000, 1, 500, 500),  # enough for all: all may buy
        (1000, 2, 500, 1000),
        (300, 1, 5_000, 52),
        (300, 1, 20_000, 19),
        (300, 4, 20_000, 30),
        (10_000, 1, 20_000, 314),
        (300, 1, 1_000_000, 2),
        (3, 8, 1_000_000, 8),  # one shopper may buy the limit
        (100, 2, 30, 60),  # a crowd that is smaller than a university
        (0, 1, 20_000, 1),
    ],
)
def test_the_numbers(stock: int, limit: int, crowd: int, units: int) -> None:
    assert propose_bound(stock, limit, crowd) == units


def draft(make_sale: MakeSale, per_address: int) -> Sale:
    return make_sale(stock={"shoe": 200, "bag": 100}, live=False, per_address=per_address)


def test_a_bound_that_leaves_most_of_the_stock_to_one_network_is_asked_about(
    make_sale: MakeSale,
) -> None:
    [said] = list_warnings(draft(make_sale, 151))
    assert said.startswith("One network may take 151 of the 300 units.")
    assert "52 for 5,000, 19 for 20,000" in said


@pytest.mark.parametrize("per_address", [0, 19, 150])
def test_no_bound_and_a_useful_one_are_not_asked_about(
    per_address: int, make_sale: MakeSale
) -> None:
    assert list_warnings(draft(make_sale, per_address)) == []


def test_all_people_of_a_network_may_enter_a_draw(make_sale: MakeSale) -> None:
    sale = make_sale(limit=2, live=False)
    sale.draw_at = sale.opens_at + timedelta(minutes=1)
    assert describe_proposals(sale).startswith("1,000: ")
