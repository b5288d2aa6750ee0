"""The list of currencies is ISO 4217's own."""

import hashlib

import pytest

from flashsale.currencies import KNOWN, LIST, OFFERED, decimals_of


def test_the_list_has_the_checksum_that_is_written_down() -> None:
    checksum, name = (LIST.parent / "SHA256SUMS").read_text().split()
    assert name == LIST.name
    assert hashlib.sha256(LIST.read_bytes()).hexdigest() == checksum


@pytest.mark.parametrize(
    ("currency", "decimals"),
    [("EUR", 2), ("RSD", 2), ("JPY", 0), ("KWD", 3), ("IQD", 3), ("CLF", 4), ("UGX", 0)],
)
def test_decimals_are_those_of_iso_4217(currency: str, decimals: int) -> None:
    """CLDR has none for RSD and IQD."""
    assert KNOWN[currency].decimals == decimals_of(currency) == decimals


@pytest.mark.parametrize(("currency", "decimals"), [("HRK", 2), ("BYR", 0)])
def test_a_withdrawn_currency_keeps_its_decimals(currency: str, decimals: int) -> None:
    assert currency not in KNOWN
    assert decimals_of(currency) == decimals


@pytest.mark.parametrize("code", ["CLF", "MXV", "XAU", "XTS", "XXX", "BTC"])
def test_funds_metals_and_codes_that_are_no_currency_are_not_offered(code: str) -> None:
    assert code not in OFFERED


def test_currencies_are_offered_by_code_with_a_name() -> None:
    assert list(OFFERED) == sorted(OFFERED)
    assert OFFERED["EUR"].name == "Euro"
    assert len(OFFERED) > 150
    assert all(currency.name.strip() for currency in OFFERED.values())
