"""Set entries of a draw aside: staff take them out before it, and say why. Their shoppers read the reason.

The published file has them, marked as set aside: an entry cannot be left out unseen.
"""

from collections.abc import Collection
from uuid import UUID

from inventory.models import Sale
from orders.audit_trail import Action, facts, write_down_orders
from orders.changes import (
    NotPossible,
    change_sales,
    check_arrow,
    count_orders,
    refuse_during_draw,
)
from orders.models import AuditEntry, Order

MOST = 250  # entries in one transaction: it takes some 0.3 s on two busy cores

_ASIDE = {"status": Order.Status.CANCELLED, "reason": Order.Reason.SET_ASIDE}


def set_aside(sale: int, orders: Collection[UUID], *, by: str, reason: str) -> int:
    """Cancel waiting entries of a draw that has not begun. Returns how many.

    One transaction under the sale's lock. Entries that wait no longer are left out: their shoppers have
    taken them back, or others have set them aside. Raises NotPossible, also if none is left, and the errors
    of `orders/changes.py`. `by` has at most 150 characters, `reason` 200.
    """
    if not reason:
        raise NotPossible("Say why: the shoppers read it.")
    if len(orders) > MOST:
        raise NotPossible(f"At most {MOST:,} entries are set aside at once.")
    with change_sales([sale]) as (locked,):
        if locked.draw != Sale.Draw.OPEN:
            raise NotPossible("Entries are set aside only before the draw begins.")
        refuse_during_draw(locked)
        found = _lock_waiting(sale, orders)
        if not found:
            raise NotPossible("None of the chosen entries waits any more.")
        before = [(order, facts(order)) for order in found]
        _cancel(found, locked)
        write_down_orders(Action.ASIDE, before, by=by, reason=reason, sale=locked)
    return len(found)


def reason_of(order: Order) -> str:
    """Why staff have set this entry aside, in their words; "" if they have not.

    Raises django.db.DatabaseError.
    """
    if order.reason != Order.Reason.SET_ASIDE:
        return ""
    rows = AuditEntry.objects.filter(order=order.pk, action=Action.ASIDE)
    return rows.values_list("reason", flat=True).first() or ""


def _lock_waiting(sale: int, orders: Collection[UUID]) -> list[Order]:
    waiting = Order.objects.filter(sale=sale, pk__in=orders, status=Order.Status.WAITING)
    return list(waiting.select_for_update(no_key=True).order_by("pk"))


def _cancel(orders: Collection[Order], sale: Sale) -> None:
    """Not by `take_arrow`: nothing of these orders is paid, and no contact is known to mail to."""
    for order in orders:
        check_arrow(order, Order.Status.CANCELLED)
        count_orders(sale, order.status, -1, order.sku)
        order.status, order.reason = Order.Status.CANCELLED, Order.Reason.SET_ASIDE
        order.version = sale.version
    numbers = [order.pk for order in orders]
    Order.objects.filter(pk__in=numbers).update(**_ASIDE, version=sale.version)
