"""Names in a terminal: found in any case, aligned, and isolated."""

from unittest.mock import patch

import pytest
from django.db import connection, transaction

from conftest import MakeSale
from inventory.models import Sale, Variant
from inventory.products import Picture, Product
from ops.base_command import _harmless, aligned
from ops.doctor import names
from ops.doctor.findings import State
from tests.cast import stocked
from tests.operators import at_a_terminal, here, typed

ARABIC = "\u0645\u0631\u062d\u0628\u0627"


def test_commands_find_a_sale_and_a_variant_in_any_case(make_sale: MakeSale) -> None:
    sale = make_sale(stock=3)
    sku = sale.variants.get().sku
    assert here("sale", "show", sale.slug.upper(), "--json").told["slug"] == sale.slug
    ran = here("stock", "add", sku.upper(), "2", "--no-input")
    assert (ran.code, ran.out) == (0, f"{sku}: 5 in stock\n")
    words = ["--name", "Next", "--opens", "2030-01-01T10:00Z", "--closes", "2030-01-01T11:00Z"]
    other = stocked(f"other-{sku}", 1)
    made = here(
        "sale", "create", f"next-{sku}", *words, "--product", other.sku.upper(), "--no-input"
    )
    assert made.code == 0, made.err


def test_what_a_command_takes_is_normalised(make_sale: MakeSale) -> None:
    variant = make_sale(stock=3).variants.get()
    ran = here("stock", "correct", variant.sku, "-1", "--reason", " Cafe\u0301 ", "--no-input")
    assert ran.code == 0, ran.err
    assert variant.movements.first().note == "Caf\u00e9"  # type: ignore[union-attr]  # it is there


@pytest.mark.parametrize("option", ["--by", "--reason"])
def test_what_a_command_takes_has_nothing_hidden(make_sale: MakeSale, option: str) -> None:
    sku = make_sale(stock=3).variants.get().sku
    ran = typed("stock", "add", sku, "1", "--no-input", option, "an\u202ena")
    assert ran.code == 2
    assert "U+202E RIGHT-TO-LEFT OVERRIDE" in ran.err


# --- On the screen -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "places"),
    [
        ("shoe", 4),
        ("\u65e5\u672c\u8a9e", 6),
        ("e\u0301", 1),
        ("\U0001f468\u200d\U0001f469\u200d\U0001f467", 2),
        ("\u2764\ufe0f", 2),
        ("\U0001f1e9\U0001f1ea", 2),
    ],
    ids=ascii,
)
def test_columns_are_aligned_by_the_places_that_letters_take(name: str, places: int) -> None:
    [_, row] = aligned(("NAME", "STOCK"), [(name, 3), ("x" * 10, 3)]).splitlines()[:2]
    assert row == f"{name}{' ' * (10 - places)}      3"


def test_a_cell_from_right_to_left_leaves_its_neighbours_alone() -> None:
    [_, row] = aligned(("NAME", "SIZE"), [(ARABIC, "42 - 43")]).splitlines()
    assert row == f"\u2068{ARABIC}\u2069  42 - 43"


def test_an_old_name_does_not_turn_the_line() -> None:
    assert _harmless("a\u202eb") == "a\ufffdb"


def test_a_long_name_is_shown_as_a_whole(make_sale: MakeSale) -> None:
    variant = make_sale(stock=3).variants.get()
    Product.objects.filter(variants=variant).update(name="M" * 120)
    Variant.objects.filter(pk=variant.pk).update(option="Q" * 40)
    with (
        patch.dict("os.environ", {"COLUMNS": "60"}),
        at_a_terminal("stock", "show", variant.sku) as terminal,
    ):
        assert terminal.ends() == 0
        assert (terminal.screen.count("M"), terminal.screen.count("Q")) == (120, 40)


# --- The doctor ----------------------------------------------------------------------------------


@pytest.fixture
def all_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """The doctor names all rows that it finds: other tests leave some of all kinds."""
    monkeypatch.setattr(names, "_NAMED", 1_000_000)


@pytest.mark.usefixtures("all_named")
def test_the_doctor_names_what_a_shop_from_before_has() -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("DROP INDEX product_sku_any_case")
        Variant.objects.create(sku="doctor-tee", name="Tee", price=1, currency="EUR")
        Variant.objects.create(sku="DOCTOR-TEE", name="Tee", price=1, currency="EUR")
        Product.objects.create(name="T\u200bee", slug="doctor")
        [clash], [hidden] = list(names.check_clashes()), list(names.check_hidden_characters())
        transaction.set_rollback(True)
    assert clash.state == hidden.state == State.WARNING
    assert "doctor-tee and DOCTOR-TEE" in clash.seen
    assert "doctor (U+200B ZERO WIDTH SPACE)" in hidden.seen


@pytest.mark.usefixtures("all_named")
def test_the_doctor_names_nothing_that_follows_the_rules(make_sale: MakeSale) -> None:
    sale = make_sale()
    seen = " ".join(finding.seen for check in names.CHECKS for finding in check())
    assert sale.slug not in seen
    assert sale.variants.get().sku not in seen


def test_the_doctor_is_content_with_a_shop_without_such_names() -> None:
    with (
        patch.object(Variant.objects, "all", Variant.objects.none),
        patch.object(Sale.objects, "all", Sale.objects.none),
        patch.object(Product.objects, "all", Product.objects.none),
        patch.object(Picture.objects, "all", Picture.objects.none),
    ):
        assert all(each.state == State.OK for check in names.CHECKS for each in check())
