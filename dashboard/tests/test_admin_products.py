"""A product, its variants and their stock on one page of admin: checked, audited, and never set."""

from typing import Any
from uuid import uuid4

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from conftest import MakeSale
from dashboard import controls
from dashboard.admin import base, product_forms
from dashboard.admin.products import VariantInline
from dashboard.base_control import Outcome
from dashboard.tests.admin_pages import CORRECT, LOOK, RUN, WRITE, Staff, form_of, listed, page_of
from inventory.models import Sale, Variant
from inventory.products import Product
from orders import offer_changes, stock_changes
from orders.models import AuditEntry
from tests.cast import stocked


@pytest.fixture
def anna() -> Staff:
    return Staff.with_permissions(*RUN, *WRITE, CORRECT)


def product_form(**changed: Any) -> dict[str, Any]:
    """What the form of a new product sends, without pictures and variants."""
    counts = {f"{part}-{what}_FORMS": 0 for part in PARTS for what in ("TOTAL", "INITIAL")}
    return {"name": "Shoe", "key": str(uuid4()), "new_currency": "EUR", **counts, **changed}


PARTS = ("pictures", "variants")


def adds(staff: Staff, **typed: Any) -> str:
    """Sends the form of a new product. Gives the page that follows."""
    form = product_form(**typed)
    return staff.browser.post(f"{listed(Product)}add/", form, follow=True).content.decode()


def edits(staff: Staff, product: Product, **typed: Any) -> str:
    """Fills these fields of the product's form in and sends it. Gives the page that follows."""
    form = {**form_of(staff.opens(page_of(product))), **typed}
    return staff.browser.post(page_of(product), form, follow=True).content.decode()


def shoes(units: int = 3) -> tuple[Product, Variant]:
    variant = stocked(f"shoe-{uuid4().hex[:12]}", units)
    assert variant.product
    return variant.product, variant


def entries(subject: Product | Variant | Sale) -> list[tuple[str, str]]:
    return [(entry.action, entry.actor) for entry in subject.audit.order_by("id")]


def rows(product: Product) -> list[tuple[str, str, int, str, int]]:
    fields = ("sku", "option", "price", "currency", "stock")
    return list(product.variants.order_by("position").values_list(*fields))


# --- Several variants at once --------------------------------------------------------------------


def test_six_sizes_are_typed_in_one_field(anna: Staff) -> None:
    name = f"Six {uuid4().hex[:8]}"
    adds(anna, name=name, options="40, 41,42", new_price="129.00", new_units="10", stem="SIX")
    product = Product.objects.get(name=name)
    assert rows(product) == [(f"SIX-{size}", str(size), 12900, "EUR", 10) for size in (40, 41, 42)]
    for variant in product.variants.all():
        assert entries(variant) == [("created", anna.name), ("restocked", anna.name)]
        movement = variant.movements.get()
        assert (movement.delta, movement.actor) == (10, anna.name)
    edits(anna, product, options="43; EU 44 ½", new_price="139,00", new_units="1, 2", stem="SIX")
    assert rows(product)[3:] == [
        ("SIX-43", "43", 13900, "EUR", 1),
        ("SIX-EU-44.5", "EU 44 ½", 13900, "EUR", 2),
    ]


@pytest.mark.parametrize(
    ("options", "skus"),
    [
        ("42, 42½, 42 2/3", ["42", "42.5", "42-2-3"]),
        ("大, 小, 中", ["x", "x-2", "x-3"]),
        ("EU 41, EU-41", ["EU-41", "EU-41-2"]),
        ("42,5; 43,;", ["42-5", "43"]),
        ("40, 41; 42", ["40", "41", "42"]),
        ("x, -, x-2, +", ["x", "x-2", "x-2-2", "x-3"]),
    ],
)
def test_each_option_gets_a_sku_of_its_own(anna: Staff, options: str, skus: list[str]) -> None:
    stem = f"S{uuid4().hex[:8]}"
    adds(anna, name=stem, options=options, new_price="1", stem=stem)
    assert [row[0] for row in rows(Product.objects.get(name=stem))] == [f"{stem}-{s}" for s in skus]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"new_price": ""}, "What does each cost?"),
        ({"new_price": "1.299"}, "can be read in two ways"),
        ({"new_price": "-1"}, "such as 129.00"),
        ({"new_currency": "eur"}, "eur is not one of the available choices"),
        ({"new_units": "1, 2, 3"}, "3 numbers for 2 options."),
        ({"new_units": "many"}, "Whole numbers up to 1,000,000"),
        ({"new_units": "-1"}, "Whole numbers up to 1,000,000"),
        ({"new_units": "1000001"}, "Whole numbers up to 1,000,000"),
        ({"options": "EU 41, eu 41"}, "“eu 41” is there twice."),
        ({"options": "x" * 41}, "at most 40 characters"),
        ({"options": ",".join(map(str, range(101)))}, "A product has at most 100 variants."),
    ],
)
def test_what_makes_no_sense_is_said_and_stays_typed(
    anna: Staff, wrong: dict[str, str], said: str
) -> None:
    name = f"Wrong {uuid4().hex[:8]}"
    typed = {"options": "41, 42", "new_price": "100", "new_units": "5", **wrong}
    page = adds(anna, name=name, description="Typed at length", **typed)
    assert said in page
    assert "Typed at length" in page
    assert not Product.objects.filter(name=name).exists()


def test_all_that_is_wrong_is_said_at_once(anna: Staff) -> None:
    page = adds(anna, name="", options="41, 42", new_price="1.299", new_units="1, 2, 3")
    for said in ("This field is required.", "can be read in two ways", "3 numbers for 2 options."):
        assert said in page


def test_a_sku_that_there_is_names_its_option(anna: Staff) -> None:
    _, variant = shoes()
    page = adds(anna, options="41", new_price=1, stem=variant.sku.removesuffix("-41"))
    assert "already exists" not in page
    page = adds(anna, options="41", new_price=1, stem=variant.sku)
    assert f"{variant.sku}-41: Variant with this Sku already exists." in page


def test_a_new_row_goes_to_the_end_unless_a_place_is_typed(anna: Staff) -> None:
    product, present = shoes()
    new = {"price": "100", "currency": "EUR"}
    first, last = f"first-{uuid4().hex[:8]}", f"last-{uuid4().hex[:8]}"
    rows = {1: {"sku": last, "position": "", **new}, 2: {"sku": first, "position": "0", **new}}
    Variant.objects.filter(pk=present.pk).update(position=1)
    typed = {
        f"variants-{n}-{name}": value for n, row in rows.items() for name, value in row.items()
    }
    edits(anna, product, **{"variants-TOTAL_FORMS": 3, **typed})
    skus = product.variants.order_by("position").values_list("sku", flat=True)
    assert list(skus) == [first, present.sku, last]


# --- How many ------------------------------------------------------------------------------------


def with_variants(count: int) -> Product:
    product = Product.objects.create(name=f"Many {uuid4().hex[:8]}")
    for number in range(count):
        stocked(f"{product.slug}-{number}", 0, product)
    return product


@pytest.fixture
def most(monkeypatch: pytest.MonkeyPatch) -> int:
    """How many variants a product may have. A form of a hundred takes a busy machine seconds, during which
    PostgreSQL waits for its transaction."""
    most = 4
    monkeypatch.setattr(product_forms, "MOST_VARIANTS", most)
    monkeypatch.setattr(VariantInline, "max_num", most)
    return most


def test_a_product_with_all_its_variants_is_edited_and_gets_no_more(anna: Staff, most: int) -> None:
    product = with_variants(most)
    edits(anna, product, **{f"variants-{most - 1}-option": "the last"})
    assert product.variants.filter(option="the last").count() == 1
    page = edits(anna, product, options="one more", new_price="1")
    assert f"A product has at most {most} variants." in page


def test_a_product_that_has_more_variants_than_a_form_adds_is_edited(
    anna: Staff, most: int
) -> None:
    product = with_variants(most + 1)
    edits(anna, product, **{f"variants-{most}-option": "the last"})
    assert product.variants.filter(option="the last").count() == 1


def test_rows_that_stay_as_they_were_ask_postgresql_nothing(anna: Staff) -> None:
    """The form is checked under the locks of the product's sales: their settlement waits."""
    asked = []
    for count in (1, 9):
        product = with_variants(count)
        form = form_of(anna.opens(page_of(product)))
        with CaptureQueriesContext(connection) as queries:
            anna.browser.post(page_of(product), {**form, "variants-0-option": "L"})
        asked.append(len(queries))
    assert asked[0] == asked[1]


def test_a_form_is_read_before_its_sales_are_locked(
    anna: Staff, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Shoppers wait for the locks, and a hundred rows take a second to read."""
    product, steps = with_variants(2), []
    form = {**form_of(anna.opens(page_of(product))), "variants-0-option": "first"}
    read, lock = product_forms.VariantForm.full_clean, offer_changes.lock_product_for_change

    def read_and_note(row: product_forms.VariantForm) -> None:
        steps.append("read")
        read(row)

    def lock_and_note(number: int) -> offer_changes.OnSale:
        steps.append("locked")
        return lock(number)

    monkeypatch.setattr(product_forms.VariantForm, "full_clean", read_and_note)
    monkeypatch.setattr(product_forms, "lock_product_for_change", lock_and_note)
    anna.browser.post(page_of(product), form)
    assert steps == ["read", "read", "locked"]


def test_a_row_behind_the_last_position_is_saved(anna: Staff) -> None:
    product, _ = shoes()
    edits(anna, product, **{"variants-0-position": "32767"})
    edits(anna, product, options="behind", new_price="1", stem=f"B{uuid4().hex[:8]}")
    assert [row.option for row in product.variants.order_by("position", "pk")][-1] == "behind"


# --- Variants ------------------------------------------------------------------------------------


@pytest.mark.parametrize("price", ["-1", "0.001", "1.299", "99999999999", "NaN", ""])
def test_a_price_that_is_none_is_an_error_of_the_form(anna: Staff, price: str) -> None:
    product, variant = shoes()
    page = edits(anna, product, **{"variants-0-price": price})
    assert "errorlist" in page
    assert Variant.objects.get(pk=variant.pk).price == 12900


def test_a_price_is_changed_and_the_audit_tells_what_it_was(anna: Staff) -> None:
    product, variant = shoes()
    edits(anna, product, **{"variants-0-price": "99.00"})
    entry = variant.audit.get()
    assert (entry.action, entry.actor) == ("edited", anna.name)
    assert (entry.before, entry.after) == ({"price": 12900}, {"price": 9900})
    assert entries(product) == []


def test_a_product_saved_as_it_was_is_no_change(anna: Staff) -> None:
    product, variant = shoes()
    edits(anna, product)
    assert (entries(product), entries(variant)) == ([], [])


def test_neither_stock_nor_sku_is_among_what_can_be_sent(anna: Staff) -> None:
    product, variant = shoes(3)
    forged = {"variants-0-stock": "1000", "variants-0-sku": "other"}
    edits(anna, product, **{"variants-0-option": "42", **forged})
    present = Variant.objects.get(pk=variant.pk)
    assert (present.option, present.stock, present.sku) == ("42", 3, variant.sku)


def test_a_new_row_gets_its_first_units_with_it(anna: Staff) -> None:
    product, _ = shoes()
    new = {"sku": f"row-{uuid4().hex[:8]}", "option": "44", "price": "100", "currency": "EUR"}
    row = {f"variants-1-{name}": value for name, value in {**new, "units": "7"}.items()}
    edits(anna, product, **{"variants-TOTAL_FORMS": 2, **row})
    variant = product.variants.get(sku=new["sku"])
    assert variant.stock == 7
    assert entries(variant) == [("created", anna.name), ("restocked", anna.name)]


def test_units_are_added_to_what_is_there_now(anna: Staff) -> None:
    product, variant = shoes(3)
    form = form_of(anna.opens(page_of(product)))
    stock_changes.restock(variant.pk, 4, by="ben")
    said = anna.sends(page_of(product), **{**form, "variants-0-units": "5"})
    assert f"The stock of {variant} has grown by 5." in said
    assert Variant.objects.get(pk=variant.pk).stock == 12


def test_a_form_that_is_sent_twice_moves_its_units_once(anna: Staff) -> None:
    product, variant = shoes(3)
    form = {**form_of(anna.opens(page_of(product))), "variants-0-units": "5"}
    anna.sends(page_of(product), **form)
    assert any("this was done before" in words for words in anna.sends(page_of(product), **form))
    assert Variant.objects.get(pk=variant.pk).stock == 8


def test_units_that_postgresql_does_not_take_are_said(
    anna: Staff, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PostgreSQL changes to a standby after the form is saved, before its units move."""
    product, _ = shoes()
    lost = Outcome("read_only", "PostgreSQL can only be read.")
    monkeypatch.setattr(controls.Restock, "carry_out", lambda *args, **options: lost)
    assert lost.words in edits(anna, product, **{"variants-0-units": "5"})


def test_units_that_take_too_long_are_not_tried_for_ever(
    anna: Staff, monkeypatch: pytest.MonkeyPatch
) -> None:
    product = with_variants(2)
    monkeypatch.setattr(base, "PATIENCE", -1.0)
    page = edits(anna, product, **{"variants-0-units": "5", "variants-1-units": "5"})
    assert "2 more were not tried: the others took too long." in page
    assert [row.stock for row in product.variants.all()] == [0, 0]


def test_units_that_are_added_in_a_sale_can_be_bought(anna: Staff, make_sale: MakeSale) -> None:
    sale = make_sale(stock=1)
    variant = sale.variants.get()
    assert variant.product
    edits(anna, variant.product, **{"variants-0-units": "5", "variants-0-reason": "Found a box"})
    sale.refresh_from_db()
    assert sale.listings.get().offered == 6
    assert variant.movements.all()[0].note == "Found a box"


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ({"units": "-1"}, "A correction needs a reason."),
        ({"units": "-4", "reason": "Broken"}, "Only 3 units are in stock."),
        ({"units": "1000001"}, "less than or equal to 1000000"),
        ({"units": "some"}, "Enter a whole number."),
    ],
)
def test_units_that_cannot_be_moved_are_said_and_nothing_is_saved(
    anna: Staff, typed: dict[str, str], said: str
) -> None:
    product, variant = shoes(3)
    row = {f"variants-0-{name}": value for name, value in typed.items()}
    page = edits(anna, product, name="Boot", **row)
    assert said in page
    product.refresh_from_db()
    assert (product.name, Variant.objects.get(pk=variant.pk).stock) == ("Shoe", 3)


def test_units_are_taken_away_for_a_reason(anna: Staff) -> None:
    product, variant = shoes(3)
    edits(anna, product, **{"variants-0-units": "-2", "variants-0-reason": "Broken"})
    assert Variant.objects.get(pk=variant.pk).stock == 1
    entry = variant.audit.get()
    assert (entry.action, entry.reason) == ("corrected", "Broken")


def test_who_may_not_restock_adds_no_units() -> None:
    ben = Staff.with_permissions(*LOOK, *WRITE)
    product, variant = shoes(3)
    page = edits(ben, product, **{"variants-0-units": "5"})
    assert "You may not change the stock in this way." in page
    assert "units" not in form_of(ben.opens(page_of(product)))
    page = adds(ben, name="None", options="1", new_price=1, new_units="5")
    assert "You may not add units." in page
    assert Variant.objects.get(pk=variant.pk).stock == 3


def test_the_price_of_what_is_on_sale_stands(anna: Staff, make_sale: MakeSale) -> None:
    variant = make_sale().variants.get()
    assert variant.product
    page = edits(anna, variant.product, **{"variants-0-price": "1", "variants-0-units": "5"})
    assert "what it sells (price) cannot change" in page
    present = Variant.objects.get(pk=variant.pk)
    assert (present.price, present.stock) == (12900, 10)
    assert entries(variant) == []


def test_two_who_edit_one_product_keep_each_others_changes(anna: Staff) -> None:
    product, variant = shoes()
    ben = Staff.with_permissions(*LOOK, *WRITE)
    form = form_of(anna.opens(page_of(product)))
    edits(ben, product, description="Warm", **{"variants-0-price": "99.00"})
    anna.sends(page_of(product), **{**form, "name": "Hat", "variants-0-option": "M"})
    product.refresh_from_db()
    variant.refresh_from_db()
    assert (product.name, product.description) == ("Hat", "Warm")
    assert (variant.name, variant.option, variant.price) == ("Hat", "M", 9900)
    told = product.audit.all()[0]
    assert (told.actor, told.after) == (anna.name, {"name": "Hat"})


def test_what_has_a_history_is_not_deleted() -> None:
    root = Staff.superuser()
    product, variant = shoes()
    page = root.browser.post(f"{listed(Product)}{product.pk}/delete/", {"post": "yes"})
    assert "Cannot delete" in page.content.decode()
    assert "would require deleting" in edits(root, product, **{"variants-0-DELETE": "on"})
    assert Variant.objects.filter(pk=variant.pk).exists()


def test_what_has_none_is_deleted_and_the_audit_tells() -> None:
    root = Staff.superuser()
    product, variant = shoes(0)
    edits(root, product, **{"variants-0-DELETE": "on"})
    assert AuditEntry.objects.get(subject=variant.sku).action == "deleted"
    root.sends(f"{listed(Product)}{product.pk}/delete/", post="yes")
    assert not Product.objects.filter(pk=product.pk).exists()
    assert entries(product) == [("deleted", root.name)]


def test_a_product_without_a_slug_gets_one(anna: Staff) -> None:
    name = f"Blue {uuid4().hex[:8]}"
    adds(anna, name=name)
    product = Product.objects.get(name=name)
    assert product.slug == name.lower().replace(" ", "-")
    assert "Another product has this slug." in adds(anna, name=name, slug=product.slug.upper())


def test_a_variants_own_page_shows_it_and_leads_to_its_product(anna: Staff) -> None:
    product, variant = shoes()
    page = anna.opens(page_of(variant))
    assert page_of(product) in page
    assert anna.browser.post(page_of(variant), {"option": "42"}).status_code == 403
