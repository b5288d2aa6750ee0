"""The checkout's form asks what a country's post needs, and takes what people really type."""

from typing import Any

import pytest
from django.utils import translation

from accounts import addresses
from accounts.contacts import Details
from inventory.models import Sale
from storefront.address_form import CheckoutForm

# By country: an address as it is typed, the fields that must be filled in beside name and street, and what
# is kept of what was typed.
ADDRESSES: dict[str, tuple[dict[str, str], set[str], dict[str, str]]] = {
    "DE": ({"postcode": "50667", "city": "Köln"}, {"postcode", "city"}, {}),
    "GB": (
        {"postcode": "ec1y 8sy", "city": "London"},
        {"postcode", "city"},
        {"postcode": "EC1Y 8SY"},
    ),
    "US": (
        {"postcode": "95014", "city": "Cupertino", "region": "CA"},
        {"postcode", "city", "region"},
        {},
    ),
    "JP": (
        {"postcode": "１５４－００２３", "region": "東京都"},  # noqa: RUF001  # wide, as typed there
        {"postcode", "region"},
        {"postcode": "154-0023"},
    ),
    "IE": (
        {"city": "Dublin", "district": "Ballyboden", "region": "Co. Dublin", "postcode": ""},
        {"city"},
        {},
    ),
    "HK": ({"city": "Mong Kok", "region": "Kowloon"}, {"region"}, {}),
    "BR": (
        {"postcode": "40301-110", "city": "Salvador", "region": "BA", "district": "Brotas"},
        {"postcode", "city", "region"},
        {},
    ),
    "CH": ({"postcode": "8001", "city": "Zürich"}, {"postcode", "city"}, {}),
    "NL": (
        {"postcode": "1234 ab", "city": "Den Haag"},
        {"postcode", "city"},
        {"postcode": "1234 AB"},
    ),
    "AQ": ({"city": "McMurdo"}, {"city"}, {}),
}
WHO = {"email": "anna@example.com", "name": "Anna Öz", "street": "Hauptstr. 1"}


def form(country: str, ask: str = "address", terms: str = "", **typed: str) -> CheckoutForm:
    sale = Sale(ask=ask, terms=terms, hold_minutes=10)
    return CheckoutForm(sale, country, {"country": country, **typed})


def wrong(faulty: CheckoutForm) -> set[str]:
    return {field.name for field in faulty.faulty}


@pytest.mark.parametrize("country", ADDRESSES)
def test_an_address_of_this_country_is_taken(country: str) -> None:
    typed, _, kept = ADDRESSES[country]
    full = form(country, **WHO, **typed)
    assert full.is_valid(), full.errors
    assert full.details == Details(country=country, **{**WHO, **typed, **kept})


@pytest.mark.parametrize("country", ADDRESSES)
def test_what_the_post_needs_must_be_filled_in(country: str) -> None:
    _, required, _ = ADDRESSES[country]
    assert wrong(form(country)) == {"email", "name", "street", *required}


@pytest.mark.parametrize("country", ADDRESSES)
def test_each_field_has_a_label_and_tells_browsers_what_it_is(country: str) -> None:
    shown = form(country)
    for line in shown.address_lines:
        for field in line:
            assert field.label
            assert "autocomplete" in field.field.widget.attrs or field.name == "sorting_code"


@pytest.mark.parametrize(
    ("country", "labels"),
    [
        ("DE", {"postcode": "Postcode", "city": "City"}),
        ("GB", {"city": "Post town"}),
        ("US", {"postcode": "ZIP code", "region": "State"}),
        ("JP", {"region": "Prefecture"}),
        ("IE", {"postcode": "Eircode", "region": "County", "district": "Townland"}),
        ("HK", {"city": "District", "region": "Area"}),
        ("BR", {"district": "Neighbourhood", "region": "State"}),
        ("IN", {"postcode": "PIN code"}),
    ],
)
def test_fields_are_called_as_the_country_calls_them(country: str, labels: dict[str, str]) -> None:
    shown = form(country)
    assert {name: shown[name].label for name in labels} == labels


@pytest.mark.parametrize(
    ("country", "postcode", "region"),
    [
        ("DE", "5066", ""),
        ("DE", "5066A", ""),
        ("GB", "12345", ""),
        ("US", "9501", "CA"),
        ("US", "10001", "CA"),  # New York's
        ("JP", "15400230", "東京都"),
    ],
)
def test_a_postcode_of_another_form_is_refused(country: str, postcode: str, region: str) -> None:
    typed = {**ADDRESSES[country][0], "postcode": postcode, "region": region}
    assert wrong(form(country, **WHO, **typed)) == {"postcode"}


def test_a_region_is_one_of_the_list_named_in_latin_letters() -> None:
    assert dict(addresses.rules_for("JP").regions)["北海道"] == "Hokkaido"
    assert dict(addresses.rules_for("ES").regions)["VI"] == "Araba / Álava"
    typed = {**ADDRESSES["US"][0], "region": "Bavaria"}
    assert wrong(form("US", **WHO, **typed)) == {"region"}


def test_every_country_has_a_form_with_a_street() -> None:
    assert len(addresses.countries_by_name("en")) >= 250
    for code, _ in addresses.countries_by_name("en"):
        lines = addresses.rules_for(code).lines
        assert ("street",) in lines, code
        assert len({name for line in lines for name in line}) == sum(map(len, lines)), code


def test_without_a_country_the_country_is_asked_for() -> None:
    assert "country" in wrong(form("", **WHO))
    sale = Sale(ask="address", hold_minutes=10)
    assert "country" in wrong(CheckoutForm(sale, "", {**WHO, "country": "XX"}))


@pytest.mark.parametrize(
    ("typed", "kept"),
    [
        ("", ""),
        ("0221 123456", "+49221123456"),
        ("+44 20 7946 0958", "+442079460958"),
        ("(0221) 12 34-56", "+49221123456"),
    ],
)
def test_a_telephone_number_is_kept_in_one_form(typed: str, kept: str) -> None:
    full = form("DE", **WHO, **ADDRESSES["DE"][0], phone=typed)
    assert full.is_valid(), full.errors
    assert full.details.phone == kept


@pytest.mark.parametrize("typed", ["1", "no number", "+49 1", "9" * 40])
def test_what_is_no_telephone_number_is_refused(typed: str) -> None:
    assert wrong(form("DE", **WHO, **ADDRESSES["DE"][0], phone=typed)) == {"phone"}


@pytest.mark.parametrize(
    ("typed", "kept"),
    [
        ("  Anna   Öz ", "Anna Öz"),
        ("Anna\u200b O\u0308z", "Anna Öz"),
        ("\u202eAnna\u202c Öz\x00", "Anna Öz"),
        ("عائشة", "عائشة"),
    ],
)
def test_a_name_loses_only_what_cannot_be_seen(typed: str, kept: str) -> None:
    full = form("DE", **{**WHO, "name": typed}, **ADDRESSES["DE"][0])
    assert full.is_valid(), full.errors
    assert full.details.name == kept


def test_a_street_may_have_several_lines() -> None:
    typed = {**WHO, "street": "Hauptstr. 1\r\n\r\n  Hinterhaus "}
    full = form("DE", **typed, **ADDRESSES["DE"][0])
    assert full.is_valid(), full.errors
    assert full.details.street == "Hauptstr. 1\nHinterhaus"


@pytest.mark.parametrize(
    "typed",
    [
        {"name": "x" * 121},
        {"street": "x" * 301},
        {"email": f"{'x' * 250}@example.com"},
        {"email": "anna@example"},
        {"email": ""},
        {"name": "a" + "\u0301" * 9},
        {"city": "   "},
    ],
)
def test_what_cannot_be_used_is_refused(typed: dict[str, Any]) -> None:
    assert wrong(form("DE", **{**WHO, **ADDRESSES["DE"][0], **typed})) == set(typed)


@pytest.mark.parametrize(
    ("ask", "terms", "asked"),
    [
        ("", "", set()),
        ("", "Terms", {"terms"}),
        ("email", "", {"email"}),
        ("email", "Terms", {"email", "terms"}),
    ],
)
def test_a_sale_asks_no_more_than_it_says(ask: str, terms: str, asked: set[str]) -> None:
    assert set(form("DE", ask, terms).fields) == asked


def test_the_first_country_is_that_of_the_sales_time_zone_then_of_the_language() -> None:
    assert addresses.likely_country("Europe/Vienna") == "AT"
    assert addresses.likely_country("UTC") == ""
    with translation.override("de"):
        assert addresses.likely_country("UTC") == "DE"


def test_an_address_is_read_in_the_order_of_its_country() -> None:
    typed, _, _ = ADDRESSES["JP"]
    full = form("JP", **{**WHO, "street": "Setagaya 1"}, company="ACME", **typed)
    assert full.is_valid(), full.errors
    assert addresses.lines_of(full.details) == [
        *("Anna Öz", "ACME", "Setagaya 1", "Tokyo", "154-0023", "Japan"),
    ]


def test_in_german_countries_are_german_and_sorted() -> None:
    with translation.override("de"):
        names = [name for _, name in addresses.countries_by_name("de")]
        assert "Österreich" in names
        assert names.index("Österreich") < names.index("Polen")
        assert str(form("DE")["postcode"].label) == "Postleitzahl"
