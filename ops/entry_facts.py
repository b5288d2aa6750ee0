"""The rules of a sale about who gets units, for JSON."""

from typing import Any

from flashsale.moments import find_zone
from inventory.models import Sale


def entry_facts(sale: Sale) -> dict[str, Any]:
    """The rules, how far the draw is, and the waiting orders by sku."""
    draw_at = sale.draw_at and sale.draw_at.astimezone(find_zone(sale.time_zone))
    return {
        "draw_at": draw_at,
        "draw": sale.draw,
        "standby": sale.standby,
        "entrants": sale.entrants,
        "per_address": sale.per_address,
        "waiting": sale.waiting,
    }
