"""Names that staff type in admin are kept in one form, and refused with a reason."""

from typing import Any
from uuid import uuid4

import pytest

from conftest import MakeSale
from dashboard.tests.admin_pages import CORRECT, LOOK, RUN, WRITE, Staff, listed
from dashboard.tests.test_admin_products import product_form
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
