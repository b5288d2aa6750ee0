"""Amounts are kept in minor units, and typed and read as people write them."""

from collections.abc import Callable
from itertools import product

import pytest
from django.core.exceptions import ValidationError
from django.utils import translation
from hypothesis import given
from hypothesis import strategies as some

from flashsale.currencies import KNOWN
from flashsale.money import MOST, format_digits, format_money, parse_amount
from flashsale.templatetags.money import money

LANGUAGES = ("en", "de")


def refusal(text: str, currency: str) -> str:
    with pytest.raises(ValidationError) as refused:
        parse_amount(text, currency)
    [sentence] = refused.value.messages
    return sentence


# --- Reading --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("minor_units", "currency", "language", "text"),
    [
        (12900, "EUR", "en", "€129.00"),
        (12900, "EUR", "de", "129,00\xa0€"),
        (5, "USD", "en", "$0.05"),
        (0, "USD", "en", "$0.00"),
        (12900, "JPY", "en", "¥12,900"),
        (12900, "KWD", "en", "KWD\xa012.900"),
        (12900, "RSD", "en", "RSD\xa0129.00"),
        (12900, "RSD", "de", "129,00\xa0RSD"),
        (12900, "IQD", "de", "12,900\xa0IQD"),
        (12900, "CLF", "en", "CLF\xa01.2900"),
        (12900, "HRK", "en", "HRK\xa0129.00"),
        (123456789, "EUR", "en", "€1,234,567.89"),
    ],
)
def test_a_price_is_written_as_the_reader_writes_it(
    minor_units: int, currency: str, language: str, text: str
) -> None:
    with translation.override(language):
        assert money(minor_units, currency) == text


def test_a_price_can_be_written_where_no_language_is_active() -> None:
    with translation.override(None):
        assert money(12900, "EUR") == "€129.00"


# --- Typing ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize(
    ("text", "currency", "minor_units"),
    [
        ("129", "EUR", 12900),
        ("129.00", "EUR", 12900),
        ("129,00", "EUR", 12900),
        ("129.5", "EUR", 12950),
        (".50", "EUR", 50),
        ("0", "EUR", 0),
        ("1299.00", "EUR", 129900),
        ("1,299.00", "EUR", 129900),
        ("1.299,00", "EUR", 129900),
        ("1 299,00", "EUR", 129900),
        ("1\u202f299,00", "EUR", 129900),
        ("1\u2019299.00", "CHF", 129900),
        ("1.299.000", "EUR", 129900000),
        ("1,29,900.00", "INR", 12990000),
        ("0.129", "KWD", 129),
        ("1234.567", "KWD", 1234567),
        ("1.299,000", "KWD", 1299000),
        ("12900", "JPY", 12900),
        (" € 129,00 ", "EUR", 12900),
        ("129.00eur", "EUR", 12900),
        ("EUR 129.00", "EUR", 12900),
        ("$129", "CAD", 12900),
        ("CA$129", "CAD", 12900),
        ("\uff11\uff12\uff19\uff0e\uff10\uff10", "EUR", 12900),
        ("\u200e129.00\u200e", "EUR", 12900),
    ],
)
def test_a_price_is_read_as_people_type_it(
    language: str, text: str, currency: str, minor_units: int
) -> None:
    with translation.override(language):
        assert parse_amount(text, currency) == minor_units


@pytest.mark.parametrize(
    ("text", "currency", "language", "minor_units"),
    [
        ("1,299", "JPY", "en", 1299),
        ("1.299", "JPY", "de", 1299),
        ("1.299", "KWD", "en", 1299),
        ("1,299", "KWD", "de", 1299),
    ],
)
def test_one_mark_before_three_digits_is_read_as_the_language_writes_it(
    text: str, currency: str, language: str, minor_units: int
) -> None:
    with translation.override(language):
        assert parse_amount(text, currency) == minor_units


@pytest.mark.parametrize(
    ("text", "currency", "languages"),
    [
        ("1.299", "EUR", LANGUAGES),
        ("1,299", "EUR", LANGUAGES),
        ("129.000", "EUR", LANGUAGES),
        ("1.299", "JPY", ["en"]),
        ("1,299", "JPY", ["de"]),
        ("1,299", "KWD", ["en"]),
        ("1.299", "KWD", ["de"]),
    ],
)
def test_a_price_that_can_be_read_in_two_ways_is_not_guessed(
    text: str, currency: str, languages: list[str]
) -> None:
    for language in languages:
        with translation.override(language):
            assert "can be read in two ways" in refusal(text, currency)


def test_the_refusal_offers_what_can_be_typed_instead() -> None:
    with translation.override("en"):
        assert "write 1299.00. EUR has 2 decimals." in refusal("1.299", "EUR")
        assert "write 1299.000. If not, write 1.299." in refusal("1,299", "KWD")
    with translation.override("de"):
        assert "write 1299,00." in refusal("1.299", "EUR")


@pytest.mark.parametrize(
    ("text", "currency", "sentence"),
    [
        ("129.001", "EUR", "can be read"),
        ("0.001", "EUR", "EUR has 2 decimals."),
        ("1299.001", "EUR", "EUR has 2 decimals."),
        ("129.00", "JPY", "JPY has no decimals."),
        ("1.29999", "KWD", "KWD has 3 decimals."),
    ],
)
def test_too_many_decimals_are_refused_with_the_currencys_number(
    text: str, currency: str, sentence: str
) -> None:
    assert sentence in refusal(text, currency)


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", "-1", "+1", "NaN", "1e3", "129²", "½", "12 34", "1,2,3", "1.2.3", "129."),
        *("$129", "129 USD", "€", "EUR", ".", "1,299.00,00", "1.299,000.0", "1_299", "0x10"),
        *("9" * 61, "129.00 or so"),
    ],
)
def test_what_is_no_amount_of_the_currency_is_refused_with_an_example(text: str) -> None:
    assert refusal(text, "EUR") == "Write an amount of EUR as a number, such as 129.00."


def test_the_largest_price_is_what_the_column_holds() -> None:
    assert parse_amount("21474836.47", "EUR") == MOST
    assert refusal("21474836.48", "EUR") == "The largest price is €21,474,836.47."
    assert refusal("9" * 60, "JPY") == "The largest price is ¥2,147,483,647."


# --- There and back -------------------------------------------------------------------------------

AMOUNTS = some.integers(0, MOST)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("write", [format_money, format_digits])
def test_every_currency_is_typed_as_it_is_shown(
    write: Callable[[int, str], str], language: str
) -> None:
    with translation.override(language):
        for currency, minor_units in product(KNOWN, (0, 1, 999, 1299, 12900, 1234000, MOST)):
            shown = write(minor_units, currency)
            assert parse_amount(shown, currency) == minor_units, shown


@given(AMOUNTS, some.sampled_from(sorted(KNOWN)), some.sampled_from(LANGUAGES))
def test_every_amount_is_typed_as_it_is_shown(
    minor_units: int, currency: str, language: str
) -> None:
    with translation.override(language):
        for write in (format_money, format_digits):
            shown = write(minor_units, currency)
            assert parse_amount(shown, currency) == minor_units, shown


@given(some.text("0123456789.,' €EUR-", max_size=14), some.sampled_from(["EUR", "JPY", "KWD"]))
def test_a_text_is_refused_or_has_the_digits_that_were_typed(text: str, currency: str) -> None:
    try:
        read = parse_amount(text, currency)
    except ValidationError:
        return
    typed = "".join(character for character in text if character.isdigit())
    assert typed.strip("0") == str(read).strip("0")
