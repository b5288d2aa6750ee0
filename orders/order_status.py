"""The statuses of an order: the arrows between them, and which of them own units.

A trigger enforces the same arrows under raw SQL (`orders/migrations/0014_waiting.py`), and PostgreSQL
computes `Order.owned` from the same set (`orders/migrations/0011_holds.py`).
`orders/tests/test_order_status.py` compares both with this file.
"""

from django.db.models import TextChoices


class Status(TextChoices):
    WAITING = "waiting"  # for a draw, or for units that come back
    HELD = "held"  # the shopper's until `Order.hold_until`
    CONFIRMED = "confirmed"
    REJECTED = "rejected"
    EXPIRED = "expired"
    CANCELLED = "cancelled"

    @property
    def owns_units(self) -> bool:
        """Whether an order with this status takes units from stock. For an order in the database
        use `Order.owned`."""
        return self in OWNING

    def may_become(self, other: "Status") -> bool:
        """Whether there is an arrow from this status to `other`."""
        return other in ARROWS[self]


OWNING = (Status.HELD, Status.CONFIRMED)

# SQL: the units of an order that count against its shopper's limit: owned, waiting, or set aside by staff,
# so that the shopper does not enter once more.
CLAIMED = "CASE WHEN status = 'waiting' OR reason = 'set_aside' THEN quantity ELSE owned END"
HAS_CLAIM = "(owned > 0 OR status = 'waiting' OR reason = 'set_aside')"

# The arrows: the only changes of an order. A status without arrows is final.
ARROWS: dict[Status, tuple[Status, ...]] = {
    Status.WAITING: (Status.HELD, Status.CONFIRMED, Status.REJECTED, Status.CANCELLED),
    Status.HELD: (Status.CONFIRMED, Status.EXPIRED, Status.CANCELLED),
    Status.CONFIRMED: (Status.CANCELLED,),
    Status.REJECTED: (),
    Status.EXPIRED: (Status.HELD,),  # paid too late, and the units are free
    Status.CANCELLED: (),
}
