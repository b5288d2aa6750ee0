"""Cancellation of an order by staff."""

from uuid import UUID

from inventory import stock
from inventory.models import StockMovement
from orders.audit_trail import Action, auditing
from orders.changes import DoneBefore, NotPossible, change_sales, find_selling, lock_variant
from orders.models import Order


def cancel_order(order: UUID, *, by: str, reason: str = "") -> bool:
    """Cancel a confirmed order: its units return to stock exactly once. False if it is cancelled
    already.

    One transaction, with the order's sale, the sales that list the variant now, the variant and the
    order locked in this order. Raises Order.DoesNotExist, NotPossible if the order is rejected, and
    the errors of `orders/changes.py`. `by` has at most 150 characters, `reason` 200.
    """
    try:
        _cancel(order, by, reason)
    except DoneBefore:
        return False
    return True


def _cancel(order: UUID, by: str, reason: str) -> None:
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
        if not locked.may_become(Order.Status.CANCELLED):
            raise NotPossible(f"A {locked.get_status_display().lower()} order cannot be cancelled.")
        sale = next(sale for sale in sales if sale.pk == locked.sale_id)
        with auditing(Action.CANCELLED, locked, by=by, reason=reason, sale=sale):
            locked.status = Order.Status.CANCELLED
            locked.version = sale.version
            locked.save(update_fields=["status", "version"])
            sale.confirmed -= 1
            returned = StockMovement.Reason.CANCELLED
            stock.move(variant, locked.owned, returned, sales=sales, actor=by, order=locked.pk)
