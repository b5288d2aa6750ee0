"""A batch that settlement has recorded, as the delta that tells the gate of it."""

from typing import Any
from uuid import UUID

from inventory.gate.delta import Delta
from inventory.models import Sale
from orders.allotment import Decision
from orders.models import Order
from orders.settlement_statements import place_of

# Each decision, and the end of the hold if it is one: ms since 1970 by PostgreSQL's clock, 0 for none.
Recorded = list[tuple[Decision, int]]


def delta_of_batch(
    sale: Sale, recorded: Recorded, left: dict[str, int], bought: dict[UUID, int]
) -> Delta:
    """The changes of this batch, without another query: under the sale's lock no other process can
    have changed the sale. `left` (stock by sku) and `bought` (units claimed by shopper) are from before
    the batch, and are updated here."""
    answers = []
    for nth, (decision, until) in enumerate(recorded, start=1):
        entry, variant = decision.entry, decision.variant
        sku = variant.sku if variant else ""
        status, reason = decision.status.value, str(decision.reason)
        buyer, units = entry.shopper, entry.quantity
        answer: list[Any] = [entry.purchase.hex, status, reason, buyer.hex, sku, units]
        if decision.status == Order.Status.WAITING:
            place = place_of(sale, nth)
            answers.append([*answer, place] if place else answer)
            bought[buyer] = bought.get(buyer, 0) + units
            continue
        answers.append([*answer, until] if (owned := decision.owned) and until else answer)
        if owned:
            left[sku] -= owned
            bought[buyer] = bought.get(buyer, 0) + owned
    units_of = {buyer.hex: units for buyer, units in bought.items()}
    return Delta(sale.version - 1, sale.version, stock=left, answers=answers, bought=units_of)
