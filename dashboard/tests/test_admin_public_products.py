"""What a public sale offers is asked about or refused on a product's page; open pages learn of changes."""

from typing import Any

import pytest

from conftest import MakeSale
from dashboard.tests.admin_pages import CORRECT, RUN, WRITE, Staff, form_of, page_of
from dashboard.tests.test_admin_products import edits, entries
from inventory.gate import replica
from inventory.models import Sale, Variant
from inventory.products import Product
from orders import finishing, sale_lifecycle


@pytest.fixture
def anna() -> Staff:
    return Staff.with_permissions(*RUN, *WRITE, CORRECT)


# What a form types for each field, and what is stored then.
OFFERED: dict[str, Any] = {
    "name": ("Toaster", "Toaster"),
    "variants-0-option": ("43", "43"),
    "variants-0-price": ("1", 100),
    "variants-0-currency": ("USD", "USD"),
}


# Every field of a live sale is tried with every change; of others all but the name in `./check deep`.
OPENED = [
    pytest.param(field, then, marks=pytest.mark.deep if then and field != "name" else ())
    for field in OFFERED
    for then in (None, sale_lifecycle.pause, sale_lifecycle.end)
]


def of(field: str) -> str:
    return field.removeprefix("variants-0-")


def on_sale(sale: Sale) -> tuple[Product, Variant]:
    variant = sale.variants.get()
    assert variant.product
    return variant.product, variant


@pytest.mark.parametrize(("field", "then"), OPENED)
def test_what_a_sale_that_has_opened_offers_stands(
    field: str, then: Any, anna: Staff, make_sale: MakeSale
) -> None:
    sale = make_sale()
    if then:
        then(sale.pk, by="staff")
    product, variant = on_sale(sale)
    version = Sale.objects.get(pk=sale.pk).version
    page = edits(anna, product, although_public="on", **{field: OFFERED[field][0]})
    assert f"what it sells ({of(field)}) cannot change" in page
    assert getattr(Variant.objects.get(pk=variant.pk), of(field)) == getattr(variant, of(field))
    assert (entries(product), entries(variant)) == ([], [])
    assert Sale.objects.get(pk=sale.pk).version == version


@pytest.mark.parametrize("field", OFFERED)
def test_what_a_sale_that_will_open_offers_is_asked_about(
    field: str, anna: Staff, make_sale: MakeSale
) -> None:
    sale = make_sale(opens_in=3600, closes_in=7200)
    product, variant = on_sale(sale)
    typed, stored = OFFERED[field]
    page = edits(anna, product, **{field: typed})
    assert f"is public. If you change this ({of(field)})" in page
    assert 'name="although_public"' in page
    assert getattr(Variant.objects.get(pk=variant.pk), of(field)) == getattr(variant, of(field))
    page = edits(anna, product, although_public="on", **{field: typed})
    assert "was changed successfully" in page
    assert getattr(Variant.objects.get(pk=variant.pk), of(field)) == stored
    raised = Sale.objects.get(pk=sale.pk)
    assert raised.version == sale.version + 1
    assert replica.read_view(sale.pk).version == raised.version  # pages learn of it by the gate


def test_a_sale_that_opens_while_its_product_is_edited_refuses_the_change(
    anna: Staff, make_sale: MakeSale
) -> None:
    sale = make_sale(opens_in=3600, closes_in=7200)
    product, variant = on_sale(sale)
    form = form_of(anna.opens(page_of(product)))
    sale_lifecycle.go_live(sale.pk, by="staff")
    changed = {**form, "variants-0-price": "1", "although_public": "on"}
    assert "has opened" in anna.browser.post(page_of(product), changed).content.decode()
    assert Variant.objects.get(pk=variant.pk).price == variant.price


@pytest.mark.parametrize("opens_in", [-60, 3600])
@pytest.mark.parametrize("field", ["description", "size_guide"])
def test_texts_may_change_at_any_time_and_open_pages_learn_of_it(
    field: str, opens_in: float, anna: Staff, make_sale: MakeSale
) -> None:
    sale = make_sale(opens_in=opens_in, closes_in=7200)
    page = edits(anna, on_sale(sale)[0], **{field: "It is blue."})
    assert "was changed successfully" in page
    version = Sale.objects.get(pk=sale.pk).version
    assert version == sale.version + 1
    assert replica.read_view(sale.pk).version == version


def test_a_change_of_one_variant_is_announced_to_its_sales_only(
    anna: Staff, make_sale: MakeSale
) -> None:
    sale, other = (make_sale(opens_in=3600, closes_in=7200) for _ in range(2))
    product, variant = on_sale(sale)
    other.variants.update(product=product)
    number = list(product.variants.order_by("position", "pk")).index(variant)
    edits(anna, product, although_public="on", **{f"variants-{number}-option": "43"})
    versions = [Sale.objects.get(pk=each.pk).version for each in (sale, other)]
    assert versions == [sale.version + 1, other.version]


@pytest.mark.parametrize("draft", [True, False], ids=["in a draft", "in a sale that is finished"])
def test_what_no_shopper_can_buy_changes_freely(
    draft: bool, anna: Staff, make_sale: MakeSale
) -> None:
    sale = make_sale(live=not draft)
    if not draft:
        sale_lifecycle.end(sale.pk, by="staff")
        assert finishing.finish_sale(sale.pk)
    page = edits(anna, on_sale(sale)[0], name="Toaster")
    assert "was changed successfully" in page
    assert "although_public" not in page


def test_a_refused_change_is_not_announced_as_made(anna: Staff, make_sale: MakeSale) -> None:
    """PostgreSQL looks at the currencies of a sale only when the transaction ends."""
    sale = make_sale(stock={"shoe": 1, "bag": 1}, opens_in=3600, closes_in=7200)
    product = sale.variants.all()[0].product
    assert product
    page = edits(anna, product, although_public="on", **{"variants-0-currency": "USD"})
    assert "in several currencies" in page
    assert "was changed successfully" not in page
