"""Parcels of confirmed orders: an order is marked as shipped, with what finds its parcel.

Nothing of a parcel reaches the gate, so the sale's version stays, and the order's row is the only lock.
"""

from hashlib import sha256
from typing import NamedTuple
from uuid import UUID

from django.core.exceptions import ValidationError
from django.core.validators import URLValidator
from django.utils import timezone

from flashsale.characters import clean_line
from flashsale.database import bounded_transaction
from orders import outbox
from orders.audit_trail import Action, auditing, is_written_down
from orders.changes import NotPossible
from orders.models import Order, Shipment

MOST_NAME, MOST_LINK = 60, 500  # characters, as the columns of Shipment

_is_link = URLValidator(
    schemes=["http", "https"], message="The link must begin with https:// or http://."
)


class Parcel(NamedTuple):
    """What finds a parcel; "" for a part that is not known."""

    carrier: str = ""
    number: str = ""
    url: str = ""

    @classmethod
    def read(cls, carrier: str = "", number: str = "", url: str = "") -> "Parcel":
        """As it is stored. Raises NotPossible with a sentence."""
        return cls(
            _clean("carrier", carrier, MOST_NAME),
            _clean("tracking number", number, MOST_NAME),
            _clean_link(url),
        )

    @property
    def digest(self) -> str:
        """Tells one parcel from another in the outbox, where no tracking link may be: carriers put
        postcodes into these."""
        return sha256("\n".join(self).encode()).hexdigest()[:16]


def mark_shipped(
    order: UUID,
    *,
    carrier: str = "",
    number: str = "",
    url: str = "",
    by: str,
    reason: str = "",
    key: UUID | None = None,
) -> bool:
    """Mark a confirmed order as shipped, or correct what finds its parcel. One transaction.

    False if that was done before: with the same key, with the same values, or with none for an order
    that is shipped. Raises Order.DoesNotExist, NotPossible with a sentence, and
    django.db.DatabaseError. `by` has at most 150 characters, `reason` 200.
    """
    parcel = Parcel.read(carrier, number, url)
    with bounded_transaction():
        orders = Order.objects.select_for_update(no_key=True, of=("self",))
        locked = orders.select_related("sale").get(pk=order)
        if is_written_down(key):
            return False
        if locked.status != Order.Status.CONFIRMED:
            was = locked.get_status_display().lower()
            raise NotPossible(f"Only a confirmed order can be shipped; this one is {was}.")
        shipped = Shipment.objects.filter(pk=order).first()
        if shipped and parcel in (Parcel(), parcel_of(shipped)):
            return False
        with auditing(Action.SHIPPED, locked, by=by, reason=reason, sale=locked.sale, key=key):
            _write(locked, parcel, by)
        if locked.sale.has_checkout:
            outbox.tell([order], outbox.Event.SHIPPED, detail=parcel.digest)
    return True


def parcel_of(shipment: Shipment) -> Parcel:
    return Parcel(shipment.carrier, shipment.tracking_number, shipment.tracking_url)


def _write(order: Order, parcel: Parcel, by: str) -> None:
    """A correction keeps the time at which the parcel left."""
    values = {
        "carrier": parcel.carrier,
        "tracking_number": parcel.number,
        "tracking_url": parcel.url,
        "by": by,
    }
    Shipment.objects.update_or_create(
        pk=order.pk, defaults=values, create_defaults={**values, "shipped_at": timezone.now()}
    )


def _clean(what: str, text: str, most: int) -> str:
    """One line without hidden characters."""
    if not text.strip():
        return ""
    try:
        line = clean_line(text)
    except ValidationError as error:
        raise NotPossible(f"The {what}: {' '.join(error.messages)}") from error
    if len(line) > most:
        raise NotPossible(f"The {what} has more than {most} characters.")
    return line


def _clean_link(url: str) -> str:
    line = _clean("link", url, MOST_LINK)
    if line:
        try:
            _is_link(line)
        except ValidationError as error:
            raise NotPossible(" ".join(error.messages)) from error
    return line
