"""Settlement's final check of stock and limit: which entries of the line get units.

Who comes first is decided in `inventory/lua/admit.lua`.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID

from inventory.gate.entries import Entry
from inventory.models import Product
from orders.models import Order


@dataclass(frozen=True, slots=True)
class Decision:
    """The decision on one entry: the order that it becomes."""

    entry: Entry
    product: Product | None
    status: Order.Status
    reason: str = ""

    @property
    def owned(self) -> int:
        """Units that the order owns, as PostgreSQL computes `Order.owned`."""
        return self.entry.quantity if self.status.owns_units else 0


def allot(
    entries: Iterable[Entry], products: Iterable[Product], bought: dict[UUID, int], limit: int
) -> list[Decision]:
    """Decide entries in line order, by stock and by the limit per shopper.

    `products` and `bought` (units owned by shopper) must be read under the locks of settlement.
    Clock and status of the sale do not matter: a purchase that was accepted before a pause or the
    close is sold.
    """
    by_sku = {product.sku: product for product in products}
    left = {product.sku: product.stock for product in by_sku.values()}
    units = defaultdict(int, bought)
    decisions = []
    for entry in entries:
        product = by_sku.get(entry.sku)
        if product is None or entry.quantity < 1:
            decisions.append(Decision(entry, product, Order.Status.REJECTED, Order.Reason.ERROR))
        elif units[entry.shopper] + entry.quantity > limit:
            decisions.append(Decision(entry, product, Order.Status.REJECTED, Order.Reason.LIMIT))
        elif left[entry.sku] < entry.quantity:
            decisions.append(Decision(entry, product, Order.Status.REJECTED, Order.Reason.SOLD_OUT))
        else:
            left[entry.sku] -= entry.quantity
            units[entry.shopper] += entry.quantity
            decisions.append(Decision(entry, product, Order.Status.CONFIRMED))
    return decisions


def reject_as_poison(entry: Entry) -> Decision:
    """Reject an entry that PostgreSQL refuses to store. Its order names no product and no units."""
    harmless = Entry(entry.id, entry.purchase, entry.shopper, entry.sku, 0, entry.accepted_at)
    return Decision(harmless, None, Order.Status.REJECTED, Order.Reason.ERROR)
