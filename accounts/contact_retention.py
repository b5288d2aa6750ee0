"""Which orders still have a contact: all that retention needs to know of it."""

from collections.abc import Collection
from uuid import UUID

from accounts.models import Contact


def orders_with_contact(sales: Collection[int]) -> list[UUID]:
    """The orders of these sales whose contact is not erased."""
    kept = Contact.objects.filter(sale__in=sales, erased_at=None)
    return list(kept.order_by("order").values_list("order", flat=True))


def is_erased(order: UUID) -> bool | None:
    """Whether the order's contact was erased; None if it never had one."""
    found = Contact.objects.filter(pk=order).values_list("erased_at", flat=True)
    return None if not found else found[0] is not None


def has_contacts() -> bool:
    return Contact.objects.filter(erased_at=None).exists()
