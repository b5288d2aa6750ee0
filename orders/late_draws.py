"""Draws that do not move: their winners wait, and staff have to look."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import NamedTuple

from django.utils import timezone

from inventory.models import Sale
from orders.draws import beacon, steps
from orders.draws.steps import Hindrance
from orders.models import Draw

LATE = timedelta(minutes=1)  # a draw of a million entries takes less

_WORDS = {
    Hindrance.PAUSED: "it waits, because the sale is paused",
    Hindrance.LINE: "entries are closed, and the last of them are not in PostgreSQL yet",
    Hindrance.ROUND: "it waits for a round of the beacon that is still to come",
    Hindrance.BEACON: "no server of the beacon (DRAND_URLS) gives its round",
    Hindrance.KEY: "its seed is sealed under a SECRET_KEY that is not in SECRET_KEY_FALLBACKS",
}


class LateDraw(NamedTuple):
    """A draw that should be further: since when, and why it is not."""

    sale: Sale
    since: datetime
    words: str


def list_late_draws(now: datetime | None = None) -> list[LateDraw]:
    """The draws of all sales that have not moved for LATE. Raises django.db.DatabaseError."""
    now = now or timezone.now()
    due = Sale.objects.filter(pk__in=steps.find_due(), draw_at__lte=now - LATE).order_by(
        "draw_at", "pk"
    )
    draws = read_draws(due)
    since = {sale.pk: _since(sale, draws.get(sale.pk)) for sale in due}
    late = [sale for sale in due if since[sale.pk] <= now - LATE]
    return [LateDraw(sale, since[sale.pk], _describe(sale, draws.get(sale.pk))) for sale in late]


def read_draws(sales: Iterable[Sale]) -> dict[int, Draw]:
    """The draws of these sales, by sale: one query, or none if no sale has one."""
    keys = [sale.pk for sale in sales if sale.draw_at]
    return Draw.objects.in_bulk(keys) if keys else {}


def _since(sale: Sale, draw: Draw | None) -> datetime:
    """When the draw could last move."""
    moments = [sale.draw_at, draw and draw.frozen_at]
    if draw and draw.round and not draw.seed:
        moments.append(beacon.time_of(draw.round))
    return max(moment for moment in moments if moment)


def _describe(sale: Sale, draw: Draw | None) -> str:
    if draw and draw.seed:
        return f"{draw.allotted:,} of {draw.entries or 0:,} entries have their outcome"
    return _WORDS.get(steps.hindrance(sale), "it has not begun")
