"""Settlement's final check of stock and limit: which entries of the line get units.

Who comes first is decided in `inventory/lua/admit.lua`.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
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

    @property
    def claimed(self) -> int:
        """Units that count against the shopper's limit."""
        return self.entry.quantity if self.status == Order.Status.WAITING else self.owned


def allot(
    entries: Iterable[Entry],
    variants: Iterable[Variant],
    claimed: dict[UUID, int],
    sale: Sale,
) -> list[Decision]:
    """Decide entries in line order, by stock and by the rules of the sale.

    An entry whose form showed something else than the variant is now gets nothing, nor does one of a
    shopper who lacks the proof that the sale asks for. `variants`, `claimed` (units by buyer) and `sale`
    must be read under the locks of settlement. Its clock and status do not matter: a purchase that was
    accepted before a pause or the close is decided as one before it.
    """
    by_sku = {variant.sku: variant for variant in variants}
    left = {variant.sku: variant.stock for variant in by_sku.values()}
    units = defaultdict(int, claimed)
    now = {variant.sku: digest_of(variant).hex() for variant in by_sku.values()}
    given, too_late, limit = given_by(sale), _too_late(sale), sale.limit
    lots = sale.takes_lots
    queued = set(sale.waiting)  # who comes now waits behind them, whatever is in stock
    decisions = []
    for entry in entries:
        variant = by_sku.get(entry.sku)
        if variant is None or entry.quantity < 1:
            decisions.append(Decision(entry, variant, Order.Status.REJECTED, Order.Reason.ERROR))
        elif entry.lacks:
            decisions.append(Decision(entry, variant, Order.Status.REJECTED, entry.lacks))
        elif entry.shown and entry.shown != now[entry.sku]:
            decisions.append(Decision(entry, variant, Order.Status.REJECTED, Order.Reason.CHANGED))
        elif units[entry.buyer] + entry.quantity > limit or (lots and units[entry.buyer]):
            decisions.append(Decision(entry, variant, Order.Status.REJECTED, Order.Reason.LIMIT))
        elif lots:
            units[entry.buyer] += entry.quantity
            decisions.append(Decision(entry, variant, Order.Status.WAITING))
        elif too_late or entry.sku in queued or left[entry.sku] < entry.quantity:
            if sale.standby and sale.draw != Sale.Draw.OFF:
                units[entry.buyer] += entry.quantity
                queued.add(entry.sku)
                decisions.append(Decision(entry, variant, Order.Status.WAITING))
            else:
                reason = too_late or Order.Reason.SOLD_OUT
                decisions.append(Decision(entry, variant, Order.Status.REJECTED, reason))
        else:
            left[entry.sku] -= entry.quantity
            units[entry.buyer] += entry.quantity
            decisions.append(Decision(entry, variant, given))
    return decisions


def _too_late(sale: Sale) -> str:
    """Why an entry that comes only now gets no unit; "" if it can get one. The gate refuses clicks before
    the freeze, so such an entry is of a gate that was restored."""
    late = sale.draw in (Sale.Draw.FROZEN, Sale.Draw.OFF)
    return Order.Reason.NOT_DRAWN if late else ""


def add_waiting(waiting: Mapping[str, int], more: Mapping[str, int]) -> dict[str, int]:
    """The counts of waiting orders by sku with `more` of them, or fewer; those that are 0 are left out."""
    counted = Counter(waiting)
    counted.update(more)
    return {sku: orders for sku, orders in counted.items() if orders}


def given_by(sale: Sale) -> Order.Status:
    """The status of an order that gets its units in this sale."""
    return Order.Status.HELD if sale.hold_minutes else Order.Status.CONFIRMED


def reject_as_poison(entry: Entry) -> Decision:
    """Reject an entry that PostgreSQL refuses to store. Its order names no variant and no units."""
    harmless = Entry(entry.id, entry.purchase, entry.shopper, entry.sku, 0, entry.accepted_at)
    return Decision(harmless, None, Order.Status.REJECTED, Order.Reason.ERROR)
