"""The shop's knowledge of a shopper: handed out on request, erased on request, and erased in time.

Erasing touches contacts, tracking numbers and networks (`orders/networks.py`) only. Orders, ledger and
payments stay: they balance, and name no person. The file lies here because contact, order and payment
meet in no room below.
"""

import logging
from collections.abc import Callable, Collection, Iterable
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db.models import Q
from django.utils import timezone

from accounts import contacts
from flashsale.database import bounded_transaction
from flashsale.moments import find_zone
from inventory.models import Sale
from orders import networks
from orders.audit_trail import Action, facts, write_down
from orders.changes import NotPossible
from orders.models import AuditEntry, Order, OutboxRow, Shipment
from payments.models import Attempt, Refund

log = logging.getLogger(__name__)

Facts = dict[str, Any]
Moment = Callable[[datetime | None], datetime | None]

RETENTION = "retention"  # the actor of such erasures in the audit
BATCH = 500  # contacts in a transaction


# --- Handing out ---------------------------------------------------------------------------------


def hand_out(orders: Collection[UUID], *, by: str, reason: str = "") -> list[Facts]:
    """All that the shop knows of these orders and their shoppers, for JSON, oldest first; each is in
    the audit as exported. Raises contacts.Unreadable and django.db.DatabaseError."""
    found = Order.objects.filter(pk__in=orders).select_related("sale").order_by("accepted_at", "id")
    told = [_describe(order) for order in found]
    with bounded_transaction():
        for order in found:
            write_down(Action.EXPORTED, order, facts(order), by=by, reason=reason, sale=order.sale)
    return told


def _describe(order: Order) -> Facts:
    zone = find_zone(order.sale.time_zone)

    def local(moment: datetime | None) -> datetime | None:
        return moment.astimezone(zone) if moment else None

    return {
        "order": order.pk,
        "reference": order.reference,
        "sale": order.sale.name,
        "product": order.product_name,
        "option": order.option,
        "sku": order.sku,
        "quantity": order.quantity,
        "unit_price_minor": order.unit_price,
        "total_minor": order.total,
        "currency": order.currency,
        "status": order.status,
        "accepted_at": local(order.accepted_at),
        "settled_at": local(order.settled_at),
        "hold_until": local(order.hold_until),
        "cookie": order.shopper,
        "network_hash": order.network or None,
        "contact": _contact(order.pk, local),
        "payments": [_payment(attempt, local) for attempt in order.attempts.all()],
        "parcel": _parcel(order.pk, local),
        "messages": [
            {"event": row.event, "outcome": row.outcome, "at": local(row.at)}
            for row in OutboxRow.objects.filter(order=order, consumer=OutboxRow.Consumer.MAIL)
        ],
        # Without the names of staff, who are persons as well.
        "done_by_staff": [
            {"action": entry.action, "at": local(entry.at)}
            for entry in AuditEntry.objects.filter(order=order.pk).order_by("id")
        ],
    }


def _contact(order: UUID, local: Moment) -> Facts | None:
    contact = contacts.read(order)
    if contact is None:
        return None
    return {
        **{name: text for name, text in asdict(contact.details).items() if text},
        "language": contact.language,
        "terms_accepted_at": local(contact.terms_accepted_at),
    }


def _payment(attempt: Attempt, local: Moment) -> Facts:
    refund: Refund | None = getattr(attempt, "refund", None)
    return {
        "provider": attempt.provider,
        "reference": attempt.reference,
        "state": attempt.state,
        "amount_minor": attempt.amount,
        "currency": attempt.currency,
        "created_at": local(attempt.created_at),
        "refund": {"state": refund.state, "amount_minor": refund.amount} if refund else None,
    }


def _parcel(order: UUID, local: Moment) -> Facts | None:
    shipment = Shipment.objects.filter(pk=order).first()
    if shipment is None:
        return None
    return {
        "carrier": shipment.carrier,
        "tracking_number": shipment.tracking_number,
        "tracking_url": shipment.tracking_url,
        "shipped_at": local(shipment.shipped_at),
    }


# --- Erasing -------------------------------------------------------------------------------------


def erase(order: UUID, *, by: str, reason: str = "") -> bool:
    """Erase an order's contact, its network and what finds its parcel. False if there is none, or none
    any more.

    One transaction. Raises Order.DoesNotExist, NotPossible while the order is held or its payment is
    open, and django.db.DatabaseError.
    """
    with bounded_transaction():
        orders = Order.objects.select_for_update(no_key=True, of=("self",))
        locked = orders.select_related("sale").get(pk=order)
        if locked.status == Order.Status.HELD:
            raise NotPossible("It is held: its contact is needed until it is confirmed or expires.")
        if _with_open_payment([order]):
            raise NotPossible("Its payment or refund is not through yet: try again later.")
        erased = networks.erase([order])
        if not _erase_all([order]) + erased:
            return False
        write_down(Action.ERASED, locked, facts(locked), by=by, reason=reason, sale=locked.sale)
    return True


def list_overdue_sales(now: datetime) -> list[Sale]:
    """The finished sales whose `contact_days` are over at that time."""
    finished = Sale.objects.filter(finished=True, contact_days__gt=0).order_by("pk")
    return [s for s in finished if s.closes_at + timedelta(days=s.contact_days) <= now]


def find_overdue(now: datetime | None = None) -> dict[Sale, list[UUID]]:
    """The orders whose contact has to go: the sale has finished, its `contact_days` are over, and
    nothing of the order is open: no hold, payment, refund or news.

    An order that was never marked as shipped is among them: a shop that ships with a program of its
    own marks none, and would keep all of them for ever.
    """
    found = {}
    for sale in list_overdue_sales(now or timezone.now()):
        kept = contacts.orders_with_contact(sale.pk)
        is_open = _open_ones(kept)
        if overdue := [order for order in kept if order not in is_open]:
            found[sale] = overdue
    return found


def count_overdue(now: datetime | None = None) -> int:
    return sum(map(len, find_overdue(now).values()))


def erase_overdue() -> int:
    """Erase them, in batches. Returns how many contacts that were. Raises django.db.DatabaseError."""
    total = 0
    for sale, orders in find_overdue().items():
        for first in range(0, len(orders), BATCH):
            with bounded_transaction():
                if erased := _erase_all(orders[first : first + BATCH]):
                    why = f"{erased:,} contacts, {sale.contact_days:,} days after the end"
                    write_down(Action.ERASED, sale, facts(sale), by=RETENTION, reason=why)
            total += erased
    if total:
        log.info("the contacts of %d orders are erased: their time is over", total)
    return total


def _erase_all(orders: Collection[UUID]) -> int:
    """Returns how many contacts there were. A tracking link may have a postcode in it."""
    Shipment.objects.filter(pk__in=orders).update(tracking_number="", tracking_url="")
    return contacts.erase(orders)


def _open_ones(orders: Collection[UUID]) -> set[UUID]:
    held = Order.objects.filter(pk__in=orders, status=Order.Status.HELD)
    told = OutboxRow.objects.filter(order__in=orders, due__isnull=False)
    return {
        *held.values_list("pk", flat=True),
        *told.values_list("order", flat=True),
        *_with_open_payment(orders),
    }


def _with_open_payment(orders: Iterable[UUID]) -> set[UUID]:
    is_open = Q(due__isnull=False) | Q(refund__due__isnull=False)
    attempts = Attempt.objects.filter(is_open, order__in=list(orders))
    return set(attempts.values_list("order", flat=True))
