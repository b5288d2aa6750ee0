"""Staff type prices as people write them, and choose the currency from a list."""

import re
from typing import Any
from uuid import uuid4

import pytest
from django import forms
from django.test import override_settings
from django.test.html import parse_html

from dashboard.admin.prices import CurrencyList, CurrencySelect, offered_currencies
from dashboard.tests.admin_pages import LOOK, WRITE, Staff, form_of, listed, page_of
from dashboard.tests.test_admin_products import product_form
from inventory.models import Variant
from inventory.products import Product
from tests.cast import stocked

ADD = f"{listed(Product)}add/"


@pytest.fixture
def anna() -> Staff:
    return Staff.with_permissions(*LOOK, *WRITE)


def send(staff: Staff, address: str, **fields: Any) -> str:
    return staff.browser.post(address, fields, follow=True).content.decode()


@pytest.fixture
def sku() -> str:
    return f"prices-{uuid4().hex[:8]}"


def add(staff: Staff, sku: str, price: str, currency: str = "EUR") -> str:
    row = {"sku": sku, "price": price, "currency": currency, "position": "0"}
    typed = {f"variants-0-{name}": value for name, value in row.items()}
    return send(staff, ADD, **product_form(**{"variants-TOTAL_FORMS": 1, **typed}))


def priced(price: str | None = None, currency: str | None = None) -> dict[str, str]:
    """What is typed into the first row of variants."""
    typed = {"variants-0-price": price, "variants-0-currency": currency}
    return {name: value for name, value in typed.items() if value is not None}


def product_of(variant: Variant) -> str:
    """The address of its product's page."""
    assert variant.product
    return page_of(variant.product)


@pytest.mark.parametrize(
    ("price", "currency", "minor_units"),
    [
        ("129.00", "EUR", 12900),
        ("129,00", "EUR", 12900),
        ("1.299,00", "EUR", 129900),
        ("€1,299.00", "EUR", 129900),
        ("149", "EUR", 14900),
        ("129.00", "RSD", 12900),
        ("12900", "JPY", 12900),
        ("12.900", "KWD", 12900),
        ("0", "EUR", 0),
    ],
)
def test_a_price_is_kept_in_minor_units(
    anna: Staff, sku: str, price: str, currency: str, minor_units: int
) -> None:
    add(anna, sku, price, currency)
    variant = Variant.objects.get(sku=sku)
    assert (variant.price, variant.currency) == (minor_units, currency)


@pytest.mark.parametrize(
    ("price", "currency", "sentence"),
    [
        ("1.299", "EUR", "can be read in two ways"),
        ("1299.001", "EUR", "EUR has 2 decimals."),
        ("129.00", "JPY", "JPY has no decimals."),
        ("21474836.48", "EUR", "The largest price is €21,474,836.47."),
        ("cheap", "EUR", "such as 129.00"),
        ("$129", "EUR", "such as 129.00"),
        ("129.00", "XAU", "XAU is not one of the available choices"),
        ("129.00", "", "This field is required"),
    ],
)
def test_a_price_that_cannot_be_kept_is_refused_with_a_sentence(
    anna: Staff, sku: str, price: str, currency: str, sentence: str
) -> None:
    page = add(anna, sku, price, currency)
    assert sentence in page
    assert len(re.findall('class="errorlist"', page)) == 1
    assert not Variant.objects.filter(sku=sku).exists()


def test_a_form_shows_the_price_as_it_is_typed_and_sends_it_unchanged(anna: Staff) -> None:
    variant = stocked("prices-shown", 1)
    form = form_of(anna.opens(product_of(variant)))
    assert (form["variants-0-price"], form["variants-0-currency"]) == ("129.00", "EUR")
    anna.sends(product_of(variant), **form)
    variant.refresh_from_db()
    assert variant.price == 12900
    assert not variant.audit.exists()


def test_another_currency_reads_the_price_anew(anna: Staff) -> None:
    variant = stocked("prices-yen", 1)
    form = form_of(anna.opens(product_of(variant)))
    assert "JPY has no decimals." in send(
        anna, product_of(variant), **{**form, **priced(currency="JPY")}
    )
    anna.sends(product_of(variant), **{**form, **priced(currency="KWD")})
    variant.refresh_from_db()
    assert (variant.price, variant.currency) == (129000, "KWD")


def test_two_who_edit_price_and_currency_leave_a_pair_that_one_of_them_typed(anna: Staff) -> None:
    """12900 in minor units would be ¥12,900 after the one and €99.00 became ¥9,900 after the other."""
    variant, ben = stocked("prices-pair", 1), Staff.with_permissions(*LOOK, *WRITE)
    form = form_of(anna.opens(product_of(variant)))
    ben.sends(product_of(variant), **{**form, **priced("16000", "JPY")})
    anna.sends(product_of(variant), **{**form, **priced("99.00")})
    variant.refresh_from_db()
    assert (variant.price, variant.currency) == (9900, "EUR")


def currencies_of(page: str) -> str:
    """The list of currencies of a row that is not filled in yet."""
    [shown] = re.findall(r'<select name="variants-__prefix__-currency".*?</select>', page, re.S)
    return str(shown)


def empty_row(page: str) -> str:
    [chosen] = re.findall(r'<option value="(\w+)" selected', currencies_of(page))
    return str(chosen)


def test_a_new_price_is_in_the_shops_currency(anna: Staff) -> None:
    assert empty_row(anna.opens(ADD)) == "EUR"
    with override_settings(DEFAULT_CURRENCY="CHF"):
        assert empty_row(anna.opens(ADD)) == "CHF"


def test_currencies_are_listed_by_code_and_name_the_shops_own_first(anna: Staff) -> None:
    listed_here = currencies_of(anna.opens(ADD))
    offered = re.findall(r'<option value="(\w+)"[^>]*>([^<]+)', listed_here)
    assert offered[:2] == [("EUR", "EUR Euro"), ("AED", "AED UAE Dirham")]
    assert len({code for code, _ in offered}) == len(offered) > 150
    assert "CLF" not in dict(offered)


def test_the_list_of_currencies_is_what_django_writes() -> None:
    """Without its templates, which take 30 ms for each of a product's rows."""
    for widget in (CurrencyList(), CurrencySelect()):
        widget.choices = list(offered_currencies("X<Y"))
        attrs = {"id": "id_currency", "required": True, "aria-describedby": "help"}
        for chosen in ("EUR", "X<Y", "", None):
            expected = forms.Select.render(widget, "currency", chosen, attrs)
            shown = widget.render("currency", chosen, attrs)
            assert parse_html(shown) == parse_html(expected)


def test_an_unknown_currency_from_before_stays_until_another_is_chosen(
    anna: Staff, sku: str
) -> None:
    variant = stocked("prices-old", 1)
    Variant.objects.filter(pk=variant.pk).update(currency="ABC")
    form = form_of(anna.opens(product_of(variant)))
    anna.sends(product_of(variant), **{**form, "name": "Hat"})
    variant.refresh_from_db()
    assert (variant.name, variant.price, variant.currency) == ("Hat", 12900, "ABC")
    assert "ABC is not one of the available choices" in add(anna, sku, "1", "ABC")
