"""Names of variants and sales: one form, and unique whatever the case."""

import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, connection, transaction

from inventory import migrations
from inventory.constraint_messages import explain
from inventory.models import Sale, Variant
from inventory.names import LineFormField, find_clashes, find_each_in_any_case, find_in_any_case
from inventory.products import Picture, Product
from inventory.tests.test_rules import a_sale, a_variant, sql

_VARIANTS = Variant.objects.all()


@pytest.fixture(autouse=True)
def _undone() -> Iterator[None]:
    with transaction.atomic():
        yield
        transaction.set_rollback(True)


def described(**texts: str) -> list[Product | Variant | Picture]:
    """Rows with these texts, as a form or an import has them, before they are saved."""
    of = {"option": Variant, "text": Picture}
    product = {"name": "Shoe", **{name: text for name, text in texts.items() if name not in of}}
    picture = Picture(text=texts.get("text", "A shoe"), file="products/a.webp")
    return [Product(**product), planned(option=texts.get("option", "")), picture]


def check(rows: list[Product | Variant | Picture]) -> None:
    for row in rows:
        row.full_clean(exclude=["product"])


TEXTS = ["name", "option", "description", "size_guide", "text"]


def planned(**named: str) -> Variant:
    """A variant as a form or an import has it, before it is saved."""
    texts: dict[str, Any] = {"sku": f"name-{uuid4().hex[:12]}", "name": "Shoe", **named}
    return Variant(price=12900, currency="EUR", **texts)


def test_every_text_is_normalised_when_it_is_checked() -> None:
    typed = " Cafe\u0301\u00a0 "
    rows = described(**dict.fromkeys(TEXTS, typed))
    check(rows)
    texts = [getattr(row, name) for row in rows for name in TEXTS if getattr(row, name, "")]
    assert [text for text in texts if text != "Shoe"] == ["Caf\u00e9"] * len(TEXTS)


@pytest.mark.parametrize("text", TEXTS)
def test_every_text_is_refused_with_a_hidden_character(text: str) -> None:
    with pytest.raises(ValidationError) as refusal:
        check(described(**{text: "Run\u202ener"}))
    assert "U+202E RIGHT-TO-LEFT OVERRIDE" in refusal.value.message_dict[text][0]


@pytest.mark.parametrize("blank", [" ", "\u3000", "\u200b"])
def test_a_name_must_be_seen_and_an_option_may_be_empty(blank: str) -> None:
    with pytest.raises(ValidationError) as refusal:
        check(described(name=blank, option=blank))
    check([planned(option=blank)])
    assert list(refusal.value.message_dict) == ["name"]


def test_the_length_is_that_of_the_normal_form() -> None:
    assert LineFormField(max_length=3).clean(" e\u0301e\u0301e\u0301 ") == "\u00e9\u00e9\u00e9"


# --- Unique whatever the case --------------------------------------------------------------------


def test_no_second_sku_differs_by_case_only() -> None:
    sku = a_variant().sku
    with pytest.raises(ValidationError, match="Another product has this sku"):
        planned(sku=sku.upper()).full_clean()
    with (
        pytest.raises(IntegrityError, match="product_sku_any_case") as refusal,
        transaction.atomic(),
    ):
        planned(sku=sku.upper()).save()
    assert "Another product has this sku" in explain(refusal.value)


def test_no_second_slug_differs_by_case_only() -> None:
    sale = a_sale()
    with pytest.raises(IntegrityError, match="sale_slug_any_case") as refusal, transaction.atomic():
        sql("UPDATE inventory_sale SET slug = upper(%s) WHERE id = %s", sale.slug, a_sale().pk)
    assert "Another sale has this slug" in explain(refusal.value)


def test_a_variant_is_found_whatever_the_case() -> None:
    variant = a_variant()
    assert find_in_any_case(_VARIANTS, "sku", variant.sku.upper()) == variant
    assert find_in_any_case(_VARIANTS, "sku", "unknown") is None
    asked = [variant.sku.title(), "unknown", variant.sku]
    assert find_each_in_any_case(_VARIANTS, "sku", asked) == {asked[0]: variant, asked[2]: variant}


# --- Shops from before ---------------------------------------------------------------------------


def clashing(*, then: bool) -> tuple[Variant, Variant]:
    """Two skus of a time before the rule; `then` migrates."""
    sql("DROP INDEX product_sku_any_case")
    lower = a_variant()
    upper = planned(sku=lower.sku.upper())
    upper.save()
    if then:
        sql("SET CONSTRAINTS ALL IMMEDIATE")
        _migrate()
    return lower, upper


def _migrate() -> None:
    [file] = Path(migrations.__file__).parent.glob("*_names.py")
    migration = importlib.import_module(f"inventory.migrations.{file.stem}").Migration
    make_unique = migration.operations[0].database_operations[0].code
    with connection.schema_editor(atomic=False) as editor:
        make_unique(None, editor)


def test_a_shop_with_such_skus_migrates_keeps_them_and_gets_no_third() -> None:
    lower, upper = clashing(then=True)
    upper.stock = 0
    upper.save()  # as settlement and staff do
    with pytest.raises(IntegrityError, match="product_sku_any_case"), transaction.atomic():
        planned(sku=lower.sku.title()).save()


def test_such_skus_are_found_exactly_or_not_at_all() -> None:
    lower, upper = clashing(then=False)
    assert find_in_any_case(_VARIANTS, "sku", lower.sku) == lower
    assert find_in_any_case(_VARIANTS, "sku", upper.sku) == upper
    assert find_in_any_case(_VARIANTS, "sku", lower.sku.title()) is None
    assert find_clashes(_VARIANTS, "sku") == [[lower.sku, upper.sku]]
    assert find_clashes(Sale.objects.all(), "slug") == []


def test_a_name_from_before_is_sold_and_changed_as_ever() -> None:
    old = a_variant()
    Product.objects.filter(variants=old).update(name="\u202eRunner")
    old.refresh_from_db()
    old.save()
    assert _VARIANTS.get(pk=old.pk).name == "\u202eRunner"
