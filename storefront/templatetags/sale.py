"""Template filters for a live sale."""

from collections.abc import Iterable
from datetime import datetime, tzinfo

from django import template

from flashsale.moments import find_zone, name_zone
from storefront.catalogue import VariantCard, stock_level
from storefront.draw_state import chance
from storefront.live_sale import LiveSale

register = template.Library()


@register.filter
def left(live: LiveSale, variant: VariantCard) -> int:
    """Units of the variant that can be bought now."""
    return live.left(variant)


@register.filter
def gone(live: LiveSale, variants: Iterable[VariantCard]) -> bool:
    """Whether none of the variants can be bought now."""
    return not any(live.left(variant) for variant in variants)


@register.filter
def entries(live: LiveSale, variant: VariantCard) -> int:
    """Orders that wait for the variant: in the draw, or in the queue after it."""
    return live.draw.waiting.get(variant.sku, 0)


@register.filter
def units(live: LiveSale, variant: VariantCard) -> int:
    """Units of the variant that the draw decides about."""
    return live.draw.stock.get(variant.sku, 0)


@register.filter
def chance_of(entries: int, units: int) -> int:
    """How many of 100 entries get one."""
    return chance(entries, units)


@register.filter
def moment(milliseconds: int, zone: str) -> datetime:
    """A time in ms since 1970, as a datetime in the sale's time zone."""
    return datetime.fromtimestamp(milliseconds / 1000, find_zone(zone))


@register.filter
def known_zone(name: str) -> tzinfo:
    """The time zone of this name, for Django's `timezone` tag; UTC if it is unknown here."""
    return find_zone(name)


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
def level(variant: VariantCard, left: int) -> str:
    """The variant's stock level with `left` units: none, last, few or many."""
    return stock_level(left, variant.offered)


@register.filter
def share(variant: VariantCard, left: int) -> int:
    """The units left in per cent of the units offered, rounded up: 0 only if none is left."""
    return -(-100 * left // max(left, variant.offered, 1))
