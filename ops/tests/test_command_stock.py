"""`manage.py stock`: units come in, are corrected with a reason, and are explained."""

import pytest

from conftest import MakeSale
from inventory.models import Product, StockMovement
from tests.cast import queue_up
from tests.operators import here, spawned, typed

AWAY = "redis://127.0.0.1:1/0"


@pytest.fixture
def product(make_sale: MakeSale) -> Product:
    """Ten units, of which two wait in a line."""
    sale = make_sale(stock=10)
    queue_up(sale, 2)
    return sale.products.get()


def last_movement(product: Product) -> StockMovement:
    movement = product.movements.first()
    assert movement
    return movement


def test_units_that_came_in_are_added_and_the_ledger_says_by_whom(product: Product) -> None:
    ran = here("stock", "add", product.sku, "5", "--no-input", "--by", "anna", "--json")
    assert (ran.code, ran.told["committed"], ran.told["stock"]) == (0, True, 15)
    movement = last_movement(product)
    assert (movement.delta, movement.reason, movement.actor) == (5, "received", "anna")


@pytest.mark.parametrize(("units", "expected"), [("-3", 7), ("+3", 13)])
def test_a_correction_goes_both_ways_and_keeps_its_reason(
    product: Product, units: str, expected: int
) -> None:
    ran = here("stock", "correct", product.sku, units, "--reason", "miscounted", "--no-input")
    assert (ran.code, ran.out) == (0, f"{product.sku}: {expected} in stock\n")
    assert last_movement(product).note == "miscounted"


def test_more_than_there_is_cannot_be_taken_away(product: Product) -> None:
    ran = here("stock", "correct", product.sku, "-11", "--reason", "lost", "--no-input")
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


def test_nothing_is_added_on_a_dry_run_or_without_an_answer(product: Product) -> None:
    assert here("stock", "add", product.sku, "5", "--dry-run").code == 0
    assert here("stock", "add", product.sku, "5").code == 2
    assert last_movement(product).balance == 10


def test_what_waits_in_the_lines_is_shown_beside_the_stock(product: Product) -> None:
    [told] = [row for row in here("stock", "show", "--json").told if row["sku"] == product.sku]
    assert (told["stock"], told["in_flight"], told["left"]) == (10, 2, 8)


def test_one_product_is_shown_with_its_latest_movements(product: Product) -> None:
    here("stock", "correct", product.sku, "-1", "--reason", "broken", "--no-input")
    told = here("stock", "show", product.sku, "--json").told
    moved = [(row["delta"], row["balance"], row["note"]) for row in told["movements"]]
    assert moved == [(-1, 9, "broken"), (10, 10, "")]
    assert "broken" in here("stock", "show", product.sku).out


def test_an_unknown_product_fails_and_names_what_looks_alike(product: Product) -> None:
    ran = here("stock", "show", f"{product.sku}x")
    assert ran.code == 1
    assert product.sku in ran.err


def test_the_stock_is_shown_while_redis_is_away(product: Product) -> None:
    ran = spawned("stock", "show", product.sku, "--json", REDIS_URL=AWAY)
    assert (ran.code, ran.told["stock"], ran.told["in_flight"]) == (1, 10, None)
    assert "Redis cannot be reached" in ran.err
