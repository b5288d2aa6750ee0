"""Settlement's final check of stock and limit: which entries of the line get units.

Who comes first is decided in `inventory/lua/admit.lua`.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID

from inventory.gate.entries import Entry
from inventory.models import Sale, Variant
from inventory.shown import digest_of
from orders.models import Order


@dataclass(frozen=True, slots=True)
class Decision:
    """The decision on one entry: the order that it becomes."""

    entry: Entry
    variant: Variant | None
    status: Order.Status
    reason: str = ""

    @property
    def owned(self) -> int:
        """Units that the order owns, as PostgreSQL computes `Order.owned`."""
        return self.entry.quantity if self.status.owns_units else 0


def allot(
    entries: Iterable[Entry],
    variants: Iterable[Variant],
    bought: dict[UUID, int],
    limit: int,
    given: Order.Status = Order.Status.CONFIRMED,
) -> list[Decision]:
    """Decide entries in line order, by stock and by the limit per shopper.

    An entry whose form showed something else than the variant is now gets nothing, nor does one of a
    shopper who lacks the proof that the sale asks for. `variants` and
    `bought` (units owned by shopper) must be read under the locks of settlement. `given` is the
    status of an order that gets its units. Clock and status
    of the sale do not matter: a purchase that was accepted before a pause or the close is sold.
    """
    by_sku = {variant.sku: variant for variant in variants}
    left = {variant.sku: variant.stock for variant in by_sku.values()}
    units = defaultdict(int, bought)
    now = {variant.sku: digest_of(variant).hex() for variant in by_sku.values()}
    decisions = []
    for entry in entries:
        variant = by_sku.get(entry.sku)
        if variant is None or entry.quantity < 1:
            decisions.append(Decision(entry, variant, Order.Status.REJECTED, Order.Reason.ERROR))
        elif entry.lacks:
            decisions.append(Decision(entry, variant, Order.Status.REJECTED, entry.lacks))
        elif entry.shown and entry.shown != now[entry.sku]:
            decisions.append(Decision(entry, variant, Order.Status.REJECTED, Order.Reason.CHANGED))
        elif units[entry.shopper] + entry.quantity > limit:
            decisions.append(Decision(entry, variant, Order.Status.REJECTED, Order.Reason.LIMIT))
        elif left[entry.sku] < entry.quantity:
            decisions.append(Decision(entry, variant, Order.Status.REJECTED, Order.Reason.SOLD_OUT))
        else:
            left[entry.sku] -= entry.quantity
            units[entry.shopper] += entry.quantity
            decisions.append(Decision(entry, variant, given))
    return decisions


def given_by(sale: Sale) -> Order.Status:
    """The status of an order that gets its units in this sale."""
    return Order.Status.HELD if sale.hold_minutes else Order.Status.CONFIRMED


def reject_as_poison(entry: Entry) -> Decision:
    """Reject an entry that PostgreSQL refuses to store. Its order names no variant and no units."""
    harmless = Entry(entry.id, entry.purchase, entry.shopper, entry.sku, 0, entry.accepted_at)
    return Decision(harmless, None, Order.Status.REJECTED, Order.Reason.ERROR)
