"""The shopper's own purchases in a sale: after a reload, in a second tab, from another page."""

import asyncio
from uuid import UUID

import redis
from django.db import DatabaseError

from flashsale.database import in_thread
from flashsale.http.request import Request
from inventory.gate import admission
from inventory.gate.entries import Answer
from orders.models import Order
from storefront.fragments import Purchase
from storefront.live_sale import LiveSale

_PATIENCE = 1.0  # seconds: the page is shown without them, and asks again
_SHOWN = 5


async def find_purchases(request: Request, live: LiveSale) -> list[Purchase] | None:
    """The latest, newest first; None where nobody can say now."""
    if request.shopper is None or not request.trustworthy or live.phase == "upcoming":
        return []  # nobody has bought: a crowd that waits costs Redis nothing
    try:
        async with asyncio.timeout(_PATIENCE):
            return await _purchases(request.shopper, live)
    except (redis.RedisError, DatabaseError, OSError):  # a time-out is an OSError, too
        return None


async def _purchases(shopper: UUID, live: LiveSale) -> list[Purchase] | None:
    own = await admission.read_own_purchases(live.card.id, shopper)
    if own is None and live.phase == "ended":
        return await in_thread(_orders, shopper, live.card.id)  # it is finished, and its gate gone
    return own


def _orders(shopper: UUID, sale: int) -> list[Purchase]:
    own = Order.objects.filter(shopper=shopper, sale=sale).select_related("product")
    return [(order.pk, answer_of(order)) for order in own.order_by("-accepted_at")[:_SHOWN]]


def answer_of(order: Order) -> Answer:
    """An order as the gate would say it."""
    sku = order.product.sku if order.product else ""
    return Answer(order.status, order.reason, order.shopper.hex, sku, order.quantity)
