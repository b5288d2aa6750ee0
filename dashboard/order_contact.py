"""What staff read of an order's contact, payments and parcel, beside the order."""

from typing import Any

from django.db import DatabaseError

from accounts import addresses, contacts
from accounts.contacts import Details
from dashboard.access import SEE_CONTACTS, SEE_PAYMENTS, may
from flashsale.database import bounded_transaction
from flashsale.templatetags.money import money
from orders.audit_trail import Action, facts, write_down
from orders.models import Order, Shipment
from payments.models import Attempt, Refund

_NONE = "none"


def contact_shown_to(user: Any, order: Order) -> str:
    """The contact as lines, for staff with the permission; each look is in the audit. Others read
    only whether there is one."""
    erased = contacts.is_erased(order.pk)
    if erased is None:
        return _NONE
    if erased:
        return "erased"
    if not may(user, SEE_CONTACTS):
        return "given; your account may not see it"
    try:
        write_look(order, by=user.get_username())
    except DatabaseError:
        return "given; it is shown only where the look can be written into the audit"
    try:
        contact = contacts.read(order.pk)
    except contacts.Unreadable as error:
        return str(error)
    return "\n".join(as_lines(contact.details)) if contact else "erased"


def write_look(order: Order, *, by: str) -> None:
    """Write into the audit that somebody looks at the contact, and not what it is. Raises
    DatabaseError."""
    with bounded_transaction():
        write_down(Action.LOOKED, order, facts(order), by=by, sale=order.sale)


def as_lines(details: Details) -> list[str]:
    """The contact as on an envelope, then e-mail and telephone."""
    reached_by = filter(None, (details.email, details.phone))
    return [*addresses.lines_of(details), *reached_by]


def payments_shown_to(user: Any, order: Order) -> str:
    """A line per attempt to pay, newest first."""
    attempts = Attempt.objects.filter(order=order.pk).select_related("refund")
    if not may(user, SEE_PAYMENTS):
        return "your account may not see it" if attempts.exists() else _NONE
    return "\n".join(map(_describe, attempts)) or _NONE


def _describe(attempt: Attempt) -> str:
    parts = [
        f"{attempt.get_state_display()}: {money(attempt.amount, attempt.currency)}",
        f"{attempt.provider} {attempt.reference}".strip(),
        attempt.problem,
    ]
    refund: Refund | None = getattr(attempt, "refund", None)
    if refund:
        parts.append(f"refund {refund.get_state_display().lower()} {refund.reference}".strip())
        parts.append(refund.problem)
    return ", ".join(filter(None, parts))


def parcel_of(order: Order) -> str:
    """`DHL 00340434, https://…`; "" if it is not shipped."""
    shipment = Shipment.objects.filter(pk=order.pk).first()
    if shipment is None:
        return ""
    named = f"{shipment.carrier} {shipment.tracking_number}".strip()
    return ", ".join(filter(None, (named, shipment.tracking_url))) or "without tracking"
