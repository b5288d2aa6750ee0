"""A sale as programs read it."""

from datetime import UTC, datetime
from uuid import UUID

from flashsale.http.response import format_utc
from orders import tickets
from storefront.catalogue import SaleCard, VariantCard
from storefront.live_sale import LiveSale


def describe_sale(live: LiveSale, shopper: UUID) -> dict[str, object]:
    """The sale, its phase and times, and its offer."""
    return {
        "sale": live.card.slug,
        "phase": live.phase,
        "opens_at": moment_of(live.opens_at),
        "closes_at": moment_of(live.closes_at),
        "server_time": moment_of(live.now),
        **({"entrants": live.card.entrants} if live.card.entrants else {}),
        **_describe_checkout(live.card),
        **describe_draw(live),
        **_describe_entries(live),
        **describe_offer(live, shopper),
    }


def _describe_checkout(card: SaleCard) -> dict[str, object]:
    """For how many minutes units are held, and what the checkout asks; nothing if they are sold at once."""
    if not card.hold_minutes:
        return {}
    rules = ("hold_minutes", "ask", "payment", "price_note")
    return {rule: getattr(card, rule) for rule in rules}


def describe_draw(live: LiveSale) -> dict[str, object]:
    """How far the draw is, and when it is or was; nothing of a sale by arrival."""
    if not live.draw.draw_at:
        return {}
    return {"draw": live.draw.draw, "draw_at": moment_of(live.draw.draw_at)}


def _describe_entries(live: LiveSale) -> dict[str, object]:
    """Who waits: `entries` of a draw, `queue` after it or without one."""
    told: dict[str, object] = {}
    if live.draw.is_ahead:
        told["entries"] = live.draw.entries
    elif live.card.lottery:
        told["entries"] = live.card.lottery.entries
    if live.draw.standby:
        told["standby"] = True
    return told


def describe_offer(live: LiveSale, shopper: UUID) -> dict[str, object]:
    """The products with what can be bought now, and a fresh ticket that is bound to all of them."""
    return {
        "ticket": tickets.issue(live.card.id, shopper, live.card.shown.sale),
        "products": [
            {
                "sku": variant.sku,
                "name": variant.name,
                "option": variant.option,
                "price": variant.price,
                "currency": variant.currency,
                "stock": live.left(variant),
                **_describe_waiting(live, variant),
            }
            for variant in live.card.variants
        ],
    }


def _describe_waiting(live: LiveSale, variant: VariantCard) -> dict[str, object]:
    waiting = live.draw.waiting.get(variant.sku, 0)
    if live.draw.is_ahead:
        return {"units": live.draw.stock.get(variant.sku, 0), "entries": waiting}
    return {"queue": waiting} if live.draw.standby else {}


def moment_of(milliseconds: int) -> str:
    """A time in ms since 1970, as programs read it."""
    return format_utc(datetime.fromtimestamp(milliseconds / 1000, UTC))
