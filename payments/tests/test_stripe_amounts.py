"""Amounts in Stripe's units. The figures are those of Stripe's page on currencies."""

import pytest

from flashsale.currencies import OFFERED
from payments.providers.base import Refused
from payments.providers.stripe_amounts import from_stripe, to_stripe


@pytest.mark.parametrize(
    ("amount", "currency", "stripes"),
    [
        (1000, "USD", 1000),  # 10.00
        (500, "JPY", 500),  # no decimals
        (5, "ISK", 500),  # none in ISO 4217, in hundredths at Stripe
        (5, "UGX", 500),
        (1000, "HUF", 1000),  # 10.00: without decimals in payouts only
        (1000, "TWD", 1000),
        (5120, "KWD", 5120),  # 5.120
        (12900, "MGA", 129),  # two decimals in ISO 4217, none at Stripe
        (129, "XAF", 129),
    ],
)
def test_amounts_are_converted_both_ways(amount: int, currency: str, stripes: int) -> None:
    assert to_stripe(amount, currency) == stripes
    assert from_stripe(stripes, currency) == amount


@pytest.mark.parametrize(
    ("amount", "currency"),
    [(5124, "KWD"), (12950, "MGA"), (1000, "IQD"), (1000, "LYD"), (10, "UYW")],
)
def test_amounts_that_stripe_cannot_take_are_refused(amount: int, currency: str) -> None:
    with pytest.raises(Refused, match=currency):
        to_stripe(amount, currency)


def test_an_amount_with_a_fraction_that_we_do_not_know_equals_no_orders() -> None:
    assert from_stripe(550, "ISK") == 0
    assert from_stripe(100, "IQD") == 0


def test_every_currency_is_converted_or_refused() -> None:
    for code, currency in OFFERED.items():
        try:
            stripes = to_stripe(1000 * 10**currency.decimals, code)
        except Refused:
            assert currency.decimals != 2, code
        else:
            assert from_stripe(stripes, code) == 1000 * 10**currency.decimals
