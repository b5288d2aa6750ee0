"""Prices are kept in minor units and read in the reader's language."""

import pytest
from django.utils import translation

from flashsale.templatetags.money import money


@pytest.mark.parametrize(
    ("minor_units", "currency", "language", "text"),
    [
        (12900, "EUR", "en", "€129.00"),
        (12900, "EUR", "de", "129,00\xa0€"),
        (5, "USD", "en", "$0.05"),
        (0, "USD", "en", "$0.00"),
        (12900, "JPY", "en", "¥12,900"),
        (12900, "KWD", "en", "KWD12.900"),
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
