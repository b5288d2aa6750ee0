"""What templates ask of a watched sale."""

from collections.abc import Iterable
from datetime import datetime
from zoneinfo import ZoneInfo

from django import template

from storefront.catalogue import ProductCard, stock_level
from storefront.live_sale import LiveSale

register = template.Library()


@register.filter
def left(live: LiveSale, product: ProductCard) -> int:
    """Units that can be bought now."""
    return live.left(product)


@register.filter
def gone(live: LiveSale, products: Iterable[ProductCard]) -> bool:
    """Whether none of them can be bought now."""
    return not any(live.left(product) for product in products)


@register.filter
def moment(milliseconds: int, zone: str) -> datetime:
    """A gate's time as the wall clock of the sale's time zone shows it."""
    return datetime.fromtimestamp(milliseconds / 1000, ZoneInfo(zone))


@register.filter
def level(product: ProductCard, left: int) -> str:
    """How the page says that so many are left: none, last, few or many."""
    return stock_level(left, product.offered)


@register.filter
def share(product: ProductCard, left: int) -> int:
    """What is left of what the sale has had, in per cent; never nothing of something."""
    return -(-100 * left // max(left, product.offered, 1))
