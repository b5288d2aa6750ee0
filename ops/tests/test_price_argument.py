"""Commands take prices as people type them."""

from argparse import ArgumentTypeError

import pytest

from ops.base_command import UsageError
from ops.lifecycle_command import currency_code, read_price


@pytest.mark.parametrize(
    ("text", "currency", "minor_units"),
    [("129.00", "EUR", 12900), ("129,00", "EUR", 12900), ("12900", "JPY", 12900)],
)
def test_a_price_is_read_in_minor_units(text: str, currency: str, minor_units: int) -> None:
    assert read_price(text, currency) == minor_units


@pytest.mark.parametrize(
    ("text", "sentence"),
    [("1.299", "can be read in two ways"), ("129.001", "EUR has 2"), ("-1", "such as 129.00")],
)
def test_a_price_that_cannot_be_read_is_an_error_of_the_call(text: str, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence) as refused:
        read_price(text, "EUR")
    assert refused.value.returncode == 2


def test_a_currency_is_one_in_which_prices_can_be_set() -> None:
    assert currency_code("rsd") == "RSD"
    for unknown in ("XAU", "ABC", "euro", ""):
        with pytest.raises(ArgumentTypeError, match="no currency"):
            currency_code(unknown)
