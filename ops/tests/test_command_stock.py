"""`manage.py stock`: units come in, are corrected with a reason, and are explained."""

import pytest

from conftest import MakeSale
from inventory.models import StockMovement, Variant
from tests.cast import queue_up
from tests.operators import here, spawned, typed

AWAY = "redis://127.0.0.1:1/0"


@pytest.fixture
def variant(make_sale: MakeSale) -> Variant:
    """Ten units, of which two wait in a line."""
    sale = make_sale(stock=10)
    queue_up(sale, 2)
    return sale.variants.get()


def last_movement(variant: Variant) -> StockMovement:
    movement = variant.movements.first()
    assert movement
    return movement


def test_units_that_came_in_are_added_and_the_ledger_says_by_whom(variant: Variant) -> None:
    ran = here("stock", "add", variant.sku, "5", "--no-input", "--by", "anna", "--json")
    assert (ran.code, ran.told["committed"], ran.told["stock"]) == (0, True, 15)
    movement = last_movement(variant)
    assert (movement.delta, movement.reason, movement.actor) == (5, "received", "anna")


@pytest.mark.parametrize(("units", "expected"), [("-3", 7), ("+3", 13)])
def test_a_correction_goes_both_ways_and_keeps_its_reason(
    variant: Variant, units: str, expected: int
) -> None:
    ran = here("stock", "correct", variant.sku, units, "--reason", "miscounted", "--no-input")
    assert (ran.code, ran.out) == (0, f"{variant.sku}: {expected} in stock\n")
    assert last_movement(variant).note == "miscounted"


def test_more_than_there_is_cannot_be_taken_away(variant: Variant) -> None:
    ran = here("stock", "correct", variant.sku, "-11", "--reason", "lost", "--no-input")
    assert ran.code == 1
    assert "Only 10 units are in stock." in ran.err


@pytest.mark.parametrize(
    "words",
    [
        ("add", "x", "0"),
        ("add", "x", "-5"),
        ("add", "x", "many"),
        ("correct", "x", "5"),
        ("correct", "x", "0", "--reason", "why"),
        ("set", "x", "5"),
    ],
)
def test_malformed_words_are_exit_code_2(words: tuple[str, ...]) -> None:
    assert typed("stock", *words).code == 2


def test_nothing_is_added_on_a_dry_run_or_without_an_answer(variant: Variant) -> None:
    assert here("stock", "add", variant.sku, "5", "--dry-run").code == 0
    assert here("stock", "add", variant.sku, "5").code == 2
    assert last_movement(variant).balance == 10


def test_what_waits_in_the_lines_is_shown_beside_the_stock(variant: Variant) -> None:
    [told] = [row for row in here("stock", "show", "--json").told if row["sku"] == variant.sku]
    assert (told["stock"], told["in_flight"], told["left"]) == (10, 2, 8)


def test_one_variant_is_shown_with_its_latest_movements(variant: Variant) -> None:
    here("stock", "correct", variant.sku, "-1", "--reason", "broken", "--no-input")
    told = here("stock", "show", variant.sku, "--json").told
    moved = [(row["delta"], row["balance"], row["note"]) for row in told["movements"]]
    assert moved == [(-1, 9, "broken"), (10, 10, "")]
    assert "broken" in here("stock", "show", variant.sku).out


def test_an_unknown_variant_fails_and_names_what_looks_alike(variant: Variant) -> None:
    ran = here("stock", "show", f"{variant.sku}x")
    assert ran.code == 1
    assert variant.sku in ran.err


def test_the_stock_is_shown_while_redis_is_away(variant: Variant) -> None:
    ran = spawned("stock", "show", variant.sku, "--json", REDIS_URL=AWAY)
    assert (ran.code, ran.told["stock"], ran.told["in_flight"]) == (1, 10, None)
    assert "Redis cannot be reached" in ran.err
