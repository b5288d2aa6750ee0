"""Mails the links of a person's orders to their address: they ask on `storefront/find_orders.py`."""

from accounts import contacts
from flashsale.database import bounded_transaction
from mail.models import FindRequest
from orders import outbox
from orders.models import OutboxRow

_AT_ONCE = 100


def ask_for_links(email: str, language: str) -> None:
    """Have the links of the address' orders mailed to it. The same work whether it has orders or not:
    one look-up and one row. Raises django.db.DatabaseError."""
    found = contacts.find_orders(email)
    FindRequest.objects.create(order=found[0] if found else None, language=language)


def tell_found() -> None:
    """Turn the requests into rows of the outbox. Raises django.db.DatabaseError."""
    with bounded_transaction():
        asked = list(FindRequest.objects.select_for_update(skip_locked=True)[:_AT_ONCE])
        for request in asked:
            if request.order:
                outbox.tell([request.order], outbox.Event.FOUND, f"{request.language} {request.pk}")
        if asked:
            FindRequest.objects.filter(pk__in=[request.pk for request in asked]).delete()


def language_of(row: OutboxRow) -> str:
    """The language of the page on which the links were asked for."""
    return row.detail.partition(" ")[0]
