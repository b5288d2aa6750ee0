"""The statuses of an order: the arrows between them, and which of them own units.

A trigger enforces the same arrows under raw SQL (`orders/migrations/0002_rules.py`), and PostgreSQL
computes `Order.owned` from the same set (`orders/migrations/0005_owned.py`).
`orders/tests/test_order_status.py` compares both with this file.
"""

from django.db.models import TextChoices


class Status(TextChoices):
    CONFIRMED = "confirmed"
    REJECTED = "rejected"
    CANCELLED = "cancelled"

    @property
    def owns_units(self) -> bool:
        """Whether an order with this status takes units from stock. For an order in the database
        use `Order.owned`."""
        return self in OWNING

    def may_become(self, other: "Status") -> bool:
        """Whether there is an arrow from this status to `other`."""
        return other in ARROWS[self]


OWNING = (Status.CONFIRMED,)

# The arrows: the only changes of an order. A status without arrows is final.
ARROWS: dict[Status, tuple[Status, ...]] = {
    Status.CONFIRMED: (Status.CANCELLED,),
    Status.REJECTED: (),
    Status.CANCELLED: (),
}
