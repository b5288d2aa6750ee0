"""Shoppers' contacts: erased in time, not before their parcels have left, and encrypted."""

from collections.abc import Iterator
from datetime import timedelta

from django.conf import settings
from django.utils import timezone

from accounts import contacts
from dashboard.to_ship import orders_to_ship
from inventory.models import Sale
from ops.doctor.findings import Finding, ok, warning
from payments import personal_data

_LATE = timedelta(days=2)  # beat erases once a day
_SOON = timedelta(days=14)


def check_retention() -> Iterator[Finding]:
    """Find contacts that should be gone."""
    late = personal_data.count_overdue(timezone.now() - _LATE)
    if late:
        advice = "`manage.py purge` erases them. Beat and a worker do it daily: are they alive?"
        yield warning("retention", f"{late:,} contacts should have been erased.", advice)
    else:
        yield ok("retention", "No contact is kept for longer than its sale says.")


def check_unshipped() -> Iterator[Finding]:
    """Find orders whose address goes soon, and which are not marked as shipped."""
    over_soon = personal_data.list_overdue_sales(timezone.now() + _SOON)
    soon = [sale.slug for sale in over_soon if _has_unshipped(sale)]
    if soon:
        seen = f"Their contacts are erased within two weeks, and not all is shipped: {', '.join(soon)}."
        yield warning("shipping", seen, "Ship them, or mark them as shipped.")
    else:
        yield ok("shipping", "No address is erased soon that a parcel still needs.")


def check_encryption() -> Iterator[Finding]:
    """Find contacts that are stored as plain text in production."""
    if settings.PRODUCTION and not settings.CONTACT_KEYS and contacts.has_any():
        seen = "Names and addresses are stored as plain text in PostgreSQL and its backups."
        yield warning("contacts", seen, "Set CONTACT_KEYS: see docs/operations.md.")
    else:
        yield ok("contacts", "None is stored in a way that should be changed.")


def _has_unshipped(sale: Sale) -> bool:
    kept = contacts.orders_with_contact(sale.pk)
    return orders_to_ship(sale).filter(pk__in=kept).exists()


CHECKS = (check_retention, check_unshipped, check_encryption)
