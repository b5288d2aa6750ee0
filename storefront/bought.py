"""What a purchase bought: from its order once it is decided, until then from the sale's card.

Staff may rename a product or change its price after it was sold. The gate does not store names.
"""

import asyncio
import logging
import time
from collections.abc import Collection
from typing import NamedTuple
from uuid import UUID

from django.db import DatabaseError, connection

from flashsale.database import in_thread
from inventory.gate.entries import Answer
from orders.models import Order
from storefront.catalogue import SaleCard

log = logging.getLogger(__name__)

_PATIENCE = 0.5  # seconds: pages have answers of the gate, and show them even if PostgreSQL hangs
_PAUSE = 1.0  # seconds without a question after one that failed: a crowd must not wait each time
_MOST_KEPT = 20_000

_READ = """
SELECT id, product_name, option, unit_price, currency FROM orders_order
WHERE id = ANY(%s) AND sku <> ''
"""


class Bought(NamedTuple):
    """A product by its names and its price, in minor units of the currency."""

    name: str
    option: str
    unit_price: int
    currency: str

    @classmethod
    def of(cls, order: Order) -> "Bought":
        return cls(order.product_name, order.option, order.unit_price, order.currency)

    @classmethod
    def on_card(cls, card: SaleCard, sku: str) -> "Bought | None":
        """As the sale offers it now. None if it does not."""
        variant = card.variant(sku)
        if variant is None:
            return None
        return cls(variant.name, variant.option, variant.price, variant.currency)


# An order never changes what it says here, so it is read once.
_kept: dict[UUID, Bought] = {}
_ask_again_at = 0.0


async def recall(card: SaleCard, purchases: dict[UUID, Answer]) -> dict[UUID, Bought | None]:
    """What each purchase bought. As on the card while it is queued, or if PostgreSQL cannot be read
    now; None if the sale does not offer it either."""
    await _read_missing(
        [
            purchase
            for purchase, answer in purchases.items()
            if answer.status != "queued" and purchase not in _kept
        ]
    )
    return {
        purchase: _kept.get(purchase) or Bought.on_card(card, answer.sku)
        for purchase, answer in purchases.items()
    }


async def _read_missing(purchases: Collection[UUID]) -> None:
    global _ask_again_at
    if not purchases or time.monotonic() < _ask_again_at:
        return
    try:
        async with asyncio.timeout(_PATIENCE):
            found = await in_thread(_read, purchases)
    except (DatabaseError, TimeoutError) as error:
        log.warning("purchases are named by the sale's card, not by their orders (%r)", error)
        _ask_again_at = time.monotonic() + _PAUSE
        return
    if len(_kept) >= _MOST_KEPT:
        _kept.clear()
    _kept.update(found)


def _read(purchases: Collection[UUID]) -> dict[UUID, Bought]:
    with connection.cursor() as cursor:
        cursor.execute(_READ, [list(purchases)])
        return {order: Bought(*words) for order, *words in cursor.fetchall()}
