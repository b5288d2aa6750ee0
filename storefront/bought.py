"""What a purchase bought: from its order once it is decided, until then from the sale's card.

Staff may rename a product or change its price after it was sold. The gate does not store names.
"""

from collections.abc import Collection
from typing import NamedTuple
from uuid import UUID

from django.db import connection

from inventory.gate.entries import Answer
from orders.models import Order
from storefront.catalogue import SaleCard
from storefront.remembered import Remembered

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


async def recall(card: SaleCard, purchases: dict[UUID, Answer]) -> dict[UUID, Bought | None]:
    """What each purchase bought. As on the card while it is queued, or if PostgreSQL cannot be read
    now; None if the sale does not offer it either."""
    decided = (purchase for purchase, answer in purchases.items() if answer.status != "queued")
    known = await _orders.recall(decided)
    return {
        purchase: known.get(purchase) or Bought.on_card(card, answer.sku)
        for purchase, answer in purchases.items()
    }


def _read(purchases: Collection[UUID]) -> dict[UUID, Bought]:
    with connection.cursor() as cursor:
        cursor.execute(_READ, [list(purchases)])
        return {order: Bought(*words) for order, *words in cursor.fetchall()}


_orders = Remembered(_read, "purchases are named by the sale's card, not by their orders")
