"""The statuses of an order: the arrows between them, and which of them own units.

PostgreSQL enforces the same arrows under raw SQL (`migrations/0002_rules.py`) and computes `Order.owned`
from the same set (`migrations/0005_owned.py`). `tests/test_status.py` compares both with this file.
"""

from django.db.models import TextChoices


class Status(TextChoices):
    CONFIRMED = "confirmed"
    REJECTED = "rejected"
    CANCELLED = "cancelled"

    @property
    def owns_units(self) -> bool:
        """Whether the units of such an order are taken. Of an order in the database ask `Order.owned`."""
        return self in OWNING

    def may_become(self, other: "Status") -> bool:
        return other in ARROWS[self]


OWNING = (Status.CONFIRMED,)

# The only changes of an order. A status without arrows is final.
ARROWS: dict[Status, tuple[Status, ...]] = {
    Status.CONFIRMED: (Status.CANCELLED,),
    Status.REJECTED: (),
    Status.CANCELLED: (),
}
