"""Template filters for a live sale."""

from collections.abc import Iterable
from datetime import datetime
from zoneinfo import ZoneInfo

from django import template

from flashsale.moments import name_zone
from storefront.catalogue import ProductCard, stock_level
from storefront.live_sale import LiveSale

register = template.Library()


@register.filter
def left(live: LiveSale, product: ProductCard) -> int:
    """Units of the product that can be bought now."""
    return live.left(product)


@register.filter
def gone(live: LiveSale, products: Iterable[ProductCard]) -> bool:
    """Whether none of the products can be bought now."""
    return not any(live.left(product) for product in products)


@register.filter
def moment(milliseconds: int, zone: str) -> datetime:
    """A time in ms since 1970, as a datetime in the sale's time zone."""
    return datetime.fromtimestamp(milliseconds / 1000, ZoneInfo(zone))


@register.filter
def zone_at(moment: datetime, zone: str) -> str:
    """A time zone with its offset at a moment, for readers who do not know the zone:
    `Europe/Kyiv, UTC+2`."""
    return name_zone(moment, zone)


@register.filter
def offset_minutes(moment: datetime) -> int:
    """Minutes from UTC to the clocks of the moment's time zone."""
    offset = moment.utcoffset()
    return int(offset.total_seconds() // 60) if offset else 0


@register.filter
def level(product: ProductCard, left: int) -> str:
    """The product's stock level with `left` units: none, last, few or many."""
    return stock_level(left, product.offered)


@register.filter
def share(product: ProductCard, left: int) -> int:
    """The units left in per cent of the units offered, rounded up: 0 only if none is left."""
    return -(-100 * left // max(left, product.offered, 1))
