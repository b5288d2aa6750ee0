"""What templates ask of a watched sale."""

from datetime import datetime
from zoneinfo import ZoneInfo

from django import template

from inventory.catalogue import ProductCard
from inventory.feed import Watch

register = template.Library()


@register.filter
def left(watch: Watch, product: ProductCard) -> int:
    """Units that can be bought now."""
    return watch.left(product)


@register.filter
def moment(milliseconds: int, zone: str) -> datetime:
    """A gate's time as the wall clock of the sale's time zone shows it."""
    return datetime.fromtimestamp(milliseconds / 1000, ZoneInfo(zone))
