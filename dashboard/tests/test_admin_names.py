"""Names that staff type in admin are kept in one form, and refused with a reason."""

from typing import Any
from uuid import uuid4

import pytest
from django.db import connection, transaction

from conftest import MakeSale
from dashboard.tests.admin_pages import CORRECT, LOOK, RUN, WRITE, Staff, listed
from dashboard.tests.test_admin_products import edits, product_form
from inventory.models import Variant
from inventory.products import Product
from tests.cast import stocked

ARABIC = "\u0645\u0631\u062d\u0628\u0627"


@pytest.fixture
def anna() -> Staff:
    return Staff.with_permissions(*LOOK, *RUN, *WRITE, CORRECT)


def adds(anna: Staff, name: str = "Shoe", sku: str = "", option: str = "") -> tuple[Any, str]:
    """Sends the form of a new product with one variant. Gives the variant, if there is one, and the page
    that follows."""
    sku = sku or f"typed-{uuid4().hex[:12]}"
    row = {"sku": sku, "option": option, "price": "129.00", "currency": "EUR", "position": "0"}
    typed = {f"variants-0-{field}": value for field, value in row.items()}
    form = product_form(name=name, **{"variants-TOTAL_FORMS": 1, **typed})
    page = anna.browser.post(f"{listed(Product)}add/", form, follow=True).content.decode()
    return Variant.objects.filter(sku=sku).first(), page


def test_a_variant_is_kept_in_one_form(anna: Staff) -> None:
    variant, _ = adds(anna, name=" Cafe\u0301\u00a0 runner", option="\u202e42\u200b")
    assert variant
    assert (variant.name, variant.option) == ("Caf\u00e9 runner", "42")


def test_a_search_finds_a_name_however_it_is_typed(anna: Staff) -> None:
    adds(anna, name="Caf\u00e9 search")
    for typed in ("Caf\u00e9 search", "Cafe\u0301 search", " caf\u00e9  search"):
        for model in (Product, Variant):
            page = anna.browser.get(listed(model), {"q": typed})
            assert [str(row) for row in page.context["cl"].result_list] == ["Caf\u00e9 search"], (
                typed
            )


def test_a_hidden_character_is_named(anna: Staff) -> None:
    variant, page = adds(anna, name="Run\u202ener")
    assert variant is None
    assert "U+202E RIGHT-TO-LEFT OVERRIDE" in page


def test_a_sku_in_another_case_is_refused(anna: Staff) -> None:
    first, _ = adds(anna)
    assert first
    second, page = adds(anna, sku=first.sku.upper())
    assert second is None
    assert "Another product has this sku; capital letters make no difference." in page


HIDDEN = "Zero\u200bwidth"  # as only a shop from before these rules can have it


def test_a_name_from_before_these_rules_does_not_stop_other_edits(
    anna: Staff, make_sale: MakeSale
) -> None:
    """While the sale is open the name cannot be typed again, and texts can."""
    sale = make_sale()
    [product] = Product.objects.filter(variants=sale.variants.get())
    text = f"one\u202e\ntwo {HIDDEN}"
    Product.objects.filter(pk=product.pk).update(name=HIDDEN, description=text)
    sale.variants.update(option=HIDDEN)
    product.refresh_from_db()
    assert "was changed successfully" in edits(anna, product, size_guide="Runs small")
    product.refresh_from_db()
    assert (product.name, product.description, product.size_guide) == (HIDDEN, text, "Runs small")
    assert sale.variants.get().option == HIDDEN


def test_another_such_name_is_refused(anna: Staff) -> None:
    variant, _ = adds(anna)
    assert variant
    assert variant.product
    Product.objects.filter(pk=variant.product.pk).update(name=HIDDEN)
    page = edits(anna, variant.product, name=f"{HIDDEN}!")
    assert "U+200B ZERO WIDTH SPACE" in page
    assert "was changed successfully" in edits(anna, variant.product, name="Zero")


def test_a_product_whose_sku_differs_by_case_only_is_edited(anna: Staff) -> None:
    """After the upgrade of a shop that had such skus: they are left out of the index."""
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("DROP INDEX product_sku_any_case")
        first = stocked(f"clash-{uuid4().hex[:12]}", 3)
        for variant in (first, stocked(first.sku.upper(), 3)):
            assert variant.product
            page = edits(anna, variant.product, **{"variants-0-price": "7"})
            assert "was changed successfully" in page
            assert Variant.objects.get(pk=variant.pk).price == 700
        transaction.set_rollback(True)


def test_a_reason_is_no_reason_if_it_cannot_be_seen(anna: Staff) -> None:
    variant = stocked(f"reason-{uuid4().hex[:12]}", 3)
    anna.confirms("correct", variant, units=-1, reason="\u200b\u3000")
    assert variant.movements.count() == 1
    anna.confirms("correct", variant, units=-1, reason=" mis\u00a0counted ")
    assert variant.movements.first().note == "mis counted"  # type: ignore[union-attr]  # it is there


def test_a_name_does_not_reorder_a_sentence_or_a_list(anna: Staff, make_sale: MakeSale) -> None:
    variant = make_sale(stock=3).variants.get()
    Product.objects.filter(variants=variant).update(name=ARABIC)
    Variant.objects.filter(pk=variant.pk).update(option="42 - 43")
    [said] = anna.confirms("restock", variant, units=17)
    assert said == f"The stock of \u2068{ARABIC}\u2069 42 - 43 has grown by 17."
    assert f"\u2068{ARABIC}\u2069 42 - 43" in anna.opens(
        f"/admin/inventory/stockmovement/?q={variant.sku}"
    )
