"""Prices in the reader's language: `{{ variant.price|money:variant.currency }}`."""

from decimal import Decimal

from babel.numbers import format_currency, get_currency_precision
from django import template
from django.conf import settings
from django.utils.translation import get_language, to_locale

register = template.Library()


@register.filter
def money(minor_units: int, currency: str) -> str:
    """`minor_units` of an ISO 4217 currency: 12900 EUR is €129.00, 12900 JPY ¥12,900."""
    amount = major_units(minor_units, currency)
    locale = to_locale(get_language() or settings.LANGUAGE_CODE)
    return format_currency(amount, currency, locale=locale)


def major_units(minor_units: int, currency: str) -> Decimal:
    """12900 EUR is 129.00, 12900 JPY is 12900."""
    return Decimal(minor_units).scaleb(-get_currency_precision(currency))
