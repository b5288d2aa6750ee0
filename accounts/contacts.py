"""Contacts of orders: saved at the checkout, read by mail, found by e-mail."""

import json
from dataclasses import asdict, dataclass
from typing import NamedTuple
from uuid import UUID

from accounts import models
from flashsale.database import require_transaction


class Unreadable(Exception):
    """None of the keys opens a contact. The message names the order, and nothing of the person."""


@dataclass(frozen=True)
class Details:
    """What a shopper has typed. "" where nothing was asked or given."""

    email: str = ""
    name: str = ""
    company: str = ""
    street: str = ""
    district: str = ""
    city: str = ""
    region: str = ""
    postcode: str = ""
    sorting_code: str = ""
    country: str = ""
    phone: str = ""


class Contact(NamedTuple):
    """The contact of one order. `language` is that of the page on which it was given."""

    order: UUID
    details: Details
    language: str


def save(order: UUID, details: Details, *, language: str, accepted_terms: bool) -> bool:
    """Save the contact of an order in place of an earlier one. True if it is the first."""
    require_transaction()
    _, created = models.Contact.objects.update_or_create(
        pk=order,
        defaults={
            "sale": int.from_bytes(order.bytes[:4], "big"),
            "email_key": details.email.casefold(),
            "sealed": json.dumps(asdict(details)),
            "language": language,
        },
    )
    return created


def read(order: UUID) -> Contact | None:
    """The contact of an order; None if there is none, or if it is erased. Raises Unreadable."""
    row = models.Contact.objects.filter(pk=order, erased_at=None).first()
    if row is None:
        return None
    return Contact(row.order, Details(**json.loads(row.sealed)), row.language)


def find_orders(email: str) -> list[UUID]:
    """The orders with this e-mail address, newest first, however it is spelt."""
    rows = models.Contact.objects.filter(email_key=email.casefold()).order_by("-created_at")
    return [row.order for row in rows]
