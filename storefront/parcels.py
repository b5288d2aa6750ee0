"""The parcel of an order, on its page. No click waits for it."""

import asyncio
import logging
import time
from datetime import UTC, datetime, timedelta
from typing import NamedTuple, Self
from uuid import UUID

from django.db import DatabaseError

from flashsale.compiled import Compiled, Given
from flashsale.database import in_thread
from flashsale.http.response import format_utc
from orders.models import Order, Shipment
from storefront.rendered import render

log = logging.getLogger(__name__)

# No parcel leaves so soon: a crowd that reads its answers asks PostgreSQL nothing.
_SOONEST = timedelta(minutes=1)
_PATIENCE = 0.5  # seconds: the page is right without it, if PostgreSQL hangs
_PAUSE = 1.0  # seconds without a question after one that failed
_ask_again_at = 0.0

_SHIPMENT = Compiled(Shipment, lambda: Shipment.objects.filter(pk=Given("order")))


class Shipped(NamedTuple):
    """When a parcel left, and what finds it; "" for a part that is not known."""

    at: datetime
    carrier: str
    number: str
    url: str

    @classmethod
    def of(cls, shipment: Shipment) -> Self:
        return cls(
            shipment.shipped_at,
            shipment.carrier,
            shipment.tracking_number,
            shipment.tracking_url,
        )


async def find_parcel(purchase: UUID, status: str, accepted_at: datetime | None) -> Shipped | None:
    """The parcel of a confirmed order. None if there is none, or if it cannot be read now."""
    global _ask_again_at
    if status != Order.Status.CONFIRMED or time.monotonic() < _ask_again_at:
        return None
    if accepted_at and datetime.now(UTC) - accepted_at < _SOONEST:
        return None
    try:
        async with asyncio.timeout(_PATIENCE):
            return await in_thread(_read, purchase)
    except (DatabaseError, TimeoutError) as error:
        log.warning("orders are shown without their parcels (%r)", error)
        _ask_again_at = time.monotonic() + _PAUSE
        return None


def _read(purchase: UUID) -> Shipped | None:
    shipment = _SHIPMENT.first(order=purchase)
    return Shipped.of(shipment) if shipment else None


def render_parcel(parcel: Shipped | None, time_zone: str, language: str) -> str:
    """The rows of the order's list that tell of it; "" without one."""
    if parcel is None:
        return ""
    context = {"parcel": parcel, "time_zone": time_zone}
    return render("storefront/_parcel.html", language, context).fill({}).decode()


def as_json(parcel: Shipped | None) -> dict[str, object]:
    """For programs: `shipped`, for an order that is."""
    if parcel is None:
        return {}
    return {"shipped": {**parcel._asdict(), "at": format_utc(parcel.at)}}
