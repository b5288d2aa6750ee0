"""Prices in the reader's language: `{{ variant.price|money:variant.currency }}`."""

from django import template

from flashsale.money import format_money

register = template.Library()


@register.filter
def money(minor_units: int, currency: str) -> str:
    """`minor_units` of an ISO 4217 currency: 12900 EUR is €129.00, 12900 JPY ¥12,900.

    Nothing without a currency: so is an order whose product could not be found.
    """
    return format_money(minor_units, currency) if currency else ""
