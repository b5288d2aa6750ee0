"""Cancellation of an order, by staff or by its shopper."""

from collections.abc import Iterable
from uuid import UUID

from inventory import stock
from inventory.models import Sale, StockMovement
from orders.audit_trail import Action, auditing
from orders.changes import (
    DoneBefore,
    NotPossible,
    change_sales,
    find_selling,
    lock_variant,
    refuse_during_draw,
    take_arrow,
)
from orders.models import AuditEntry, Order

THE_SHOPPER = "the shopper"  # no name of staff, which has no space


def cancel_order(order: UUID, *, by: str, reason: str = "") -> bool:
    """Cancel a confirmed or held order: its units return to stock exactly once. Or a waiting one, which
    owns nothing. False if it is cancelled already.

    One transaction, with the order's sale, the sales that list the variant now, the variant and the
    order locked in this order. Raises Order.DoesNotExist, NotPossible if the order is at its end or
    takes part in a draw that is under way, and the errors of `orders/changes.py`. `by` has at most 150
    characters, `reason` 200.
    """
    return _cancel_once(order, by, reason, tuple(Order.Status))


def give_back(order: UUID) -> bool:
    """Cancel a hold or take back an entry, as the shopper asks: `cancel_order` for held and waiting
    orders only."""
    return _cancel_once(order, THE_SHOPPER, "given back", (Order.Status.HELD, Order.Status.WAITING))


def find_given_back(orders: Iterable[UUID]) -> set[UUID]:
    """Those of the cancelled orders that their shoppers gave or took back, by the audit. Raises
    django.db.DatabaseError."""
    numbers = list(orders)
    if not numbers:
        return set()
    taken = AuditEntry.objects.filter(order__in=numbers, action=Action.CANCELLED, actor=THE_SHOPPER)
    return {order for order in taken.values_list("order", flat=True) if order}


def _cancel_once(order: UUID, by: str, reason: str, allowed: tuple[Order.Status, ...]) -> bool:
    try:
        _cancel(order, by, reason, allowed)
    except DoneBefore:
        return False
    return True


def _cancel(order: UUID, by: str, reason: str, allowed: tuple[Order.Status, ...]) -> None:
    seen = Order.objects.get(pk=order)
    if seen.variant_id is None:
        raise NotPossible("A rejected order cannot be cancelled.")
    with change_sales([seen.sale_id, *find_selling(seen.variant_id)]) as sales:
        variant = lock_variant(seen.variant_id, sales)
        # The sale's lock would be enough. This one also keeps apart code that does not lock the
        # sale.
        locked = Order.objects.select_for_update(no_key=True).get(pk=order)
        if locked.status == Order.Status.CANCELLED:
            raise DoneBefore
        if locked.status not in allowed:
            is_now = locked.get_status_display().lower()
            raise NotPossible(f"The order is {is_now}, and neither held nor waiting.")
        if locked.capturing and by == THE_SHOPPER:
            raise NotPossible("The order is being paid just now, and cannot be given back.")
        sale = next(sale for sale in sales if sale.pk == locked.sale_id)
        if locked.status == Order.Status.WAITING:
            refuse_during_draw(sale)
            if sale.draw == Sale.Draw.OPEN and by != THE_SHOPPER:
                raise NotPossible("Set the entry aside: then it stays in the list of the draw.")
        with auditing(Action.CANCELLED, locked, by=by, reason=reason, sale=sale):
            take_arrow([locked], Order.Status.CANCELLED, sale)
            if units := locked.owned:  # as it was read
                returned = StockMovement.Reason.CANCELLED
                stock.move(variant, units, returned, sales=sales, actor=by, order=locked.pk)
