"""Amounts in Stripe's units, which are not always ISO 4217's minor units.

Source: Stripe's page "Supported currencies", of zero-decimal and three-decimal currencies and of
special cases. HUF and TWD are special in payouts only.
"""

from flashsale.currencies import decimals_of
from payments.providers.base import Refused

_USUAL = 2
_WITHOUT_DECIMALS = frozenset(
    [
        *("BIF", "CLP", "DJF", "GNF", "JPY", "KMF", "KRW", "MGA"),
        *("PYG", "RWF", "VND", "VUV", "XAF", "XOF", "XPF"),
    ]
)
# Without decimals by now, but counted in hundredths for the sake of old integrations.
_IN_HUNDREDTHS = frozenset(("ISK", "UGX"))
_THREE_DECIMALS = frozenset(("BHD", "JOD", "KWD", "OMR", "TND"))  # the last digit has to be 0


def to_stripe(amount: int, currency: str) -> int:
    """Convert minor units to Stripe's. Raises Refused if Stripe cannot take the amount or the currency."""
    numerator, denominator = _ratio(currency)
    converted, rest = divmod(amount * numerator, denominator)
    if rest or (currency in _THREE_DECIMALS and converted % 10):
        raise Refused(f"Stripe takes no such fraction of {currency}: {amount} minor units.")
    return converted


def from_stripe(amount: int, currency: str) -> int:
    """Convert Stripe's units to minor units; 0, which is no order's amount, if that is not possible."""
    try:
        numerator, denominator = _ratio(currency)
    except Refused:
        return 0
    converted, rest = divmod(amount * denominator, numerator)
    return 0 if rest else converted


def _ratio(currency: str) -> tuple[int, int]:
    """Stripe's units in a minor unit, as a fraction."""
    decimals = decimals_of(currency)
    if currency in _WITHOUT_DECIMALS:
        stripes = 0
    elif currency in _THREE_DECIMALS:
        stripes = 3
    elif currency in _IN_HUNDREDTHS or decimals == _USUAL:
        stripes = _USUAL
    else:
        raise Refused(f"Stripe takes no {currency}.")
    return 10 ** max(stripes - decimals, 0), 10 ** max(decimals - stripes, 0)
