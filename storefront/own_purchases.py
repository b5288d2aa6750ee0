"""The shopper's own purchases in a sale: after a reload, in a second tab, from another page."""

import asyncio
from collections.abc import Sequence
from uuid import UUID

import redis
from django.db import DatabaseError

from flashsale.database import in_thread
from flashsale.http.request import Request
from inventory.gate import admission
from inventory.gate.entries import Answer
from orders.models import Order
from storefront.bought import Bought, recall
from storefront.fragments import Purchase
from storefront.given_back import mark_given_back
from storefront.live_sale import LiveSale
from storefront.queue_places import find_before

_PATIENCE = 1.0  # seconds; then the page is shown without the purchases, and asks again
_SHOWN = 5


async def find_purchases(request: Request, live: LiveSale) -> list[Purchase] | None:
    """Find the latest purchases, newest first. None if they cannot be read now, or in time."""
    if request.shopper is None or not request.trustworthy or live.phase == "upcoming":
        return []  # before the opening there are none: a waiting crowd costs Redis nothing
    try:
        async with asyncio.timeout(_PATIENCE):
            found = await _read_purchases(request.own_shoppers, live)
    except (redis.RedisError, DatabaseError, OSError):  # TimeoutError is an OSError
        return None
    return found and await _say_more(found)


async def _read_purchases(own_ids: Sequence[UUID], live: LiveSale) -> list[Purchase] | None:
    """Those of the present id before those of former ones."""
    own: list[tuple[UUID, Answer]] = []
    for shopper in own_ids:
        found = await admission.read_own_purchases(live.card.id, shopper)
        if found is None and live.phase == "ended":  # finished: its gate is purged
            return await in_thread(_read_orders, own_ids, live.card.id)
        if found is None:
            return None
        own += found
    own = own[:_SHOWN]
    named = {purchase: answer for purchase, answer in own if answer.status != "rejected"}
    bought = await recall(live.card, named)
    return [Purchase(purchase, answer, bought.get(purchase)) for purchase, answer in own]


async def _say_more(found: list[Purchase]) -> list[Purchase]:
    """Who cancelled, and how many wait before."""
    own = {mine.purchase: mine.answer for mine in found}
    answers, before = await mark_given_back(own), await find_before(own)
    return [
        mine._replace(answer=answers[mine.purchase], before=before.get(mine.purchase))
        for mine in found
    ]


def _read_orders(own_ids: Sequence[UUID], sale: int) -> list[Purchase]:
    own = Order.objects.filter(shopper__in=own_ids, sale=sale).order_by("-accepted_at")[:_SHOWN]
    return [
        Purchase(order.pk, answer_of(order), Bought.of(order) if order.sku else None)
        for order in own
    ]


def answer_of(order: Order) -> Answer:
    """The order in the form in which the gate stores answers."""
    hold_until = 0
    if order.status == Order.Status.HELD and order.hold_until:
        hold_until = round(order.hold_until.timestamp() * 1000)
    buyer = order.shopper.hex
    place = (order.place or 0) if order.status == Order.Status.WAITING else 0
    return Answer(order.status, order.reason, buyer, order.sku, order.quantity, hold_until, place)
