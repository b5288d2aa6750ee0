"""Draws that do not move: their winners wait, and staff have to look."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import NamedTuple

from django.utils import timezone

from inventory.models import Sale
from orders.models import Draw

LATE = timedelta(minutes=1)  # a draw of a million entries takes less

_UNDRAWN = (Sale.Draw.OPEN, Sale.Draw.CLOSED, Sale.Draw.FROZEN)


class LateDraw(NamedTuple):
    """A draw that should be further: since when, and what it waits for."""

    sale: Sale
    since: datetime
    words: str


def list_late_draws(now: datetime | None = None) -> list[LateDraw]:
    """The draws of all sales that have not moved for LATE. Raises django.db.DatabaseError."""
    now = now or timezone.now()
    due = Sale.objects.filter(draw__in=_UNDRAWN, draw_at__lte=now - LATE, finished=False)
    sales = list(due.exclude(status=Sale.Status.DRAFT).order_by("draw_at", "pk"))
    draws = read_draws(sales)
    found = [_look(sale, draws.get(sale.pk)) for sale in sales]
    return [late for late in found if late.since <= now - LATE]


def read_draws(sales: Iterable[Sale]) -> dict[int, Draw]:
    """The draws of these sales, by sale: one query, or none if no sale has one."""
    keys = [sale.pk for sale in sales if sale.draw_at]
    return Draw.objects.in_bulk(keys) if keys else {}


def _look(sale: Sale, draw: Draw | None) -> LateDraw:
    """The draw of a sale whose `draw_at` is over, with what it waits for now."""
    since = sale.draw_at or timezone.now()
    if sale.draw == Sale.Draw.FROZEN and draw and draw.frozen_at:
        return LateDraw(sale, draw.frozen_at, _describe_frozen(draw))
    if sale.draw == Sale.Draw.CLOSED:
        words = "Entries are closed, and not frozen: the line has to be empty, and the gate ready."
    elif sale.status == Sale.Status.PAUSED:
        words = "The draw is due, and waits: the sale is paused."
    else:
        words = "The draw is due, and has not begun."
    return LateDraw(sale, since, words)


def _describe_frozen(draw: Draw) -> str:
    if draw.beacon and not draw.signature:
        return f"The draw waits for round {draw.round} of the beacon {draw.beacon}."
    if not draw.seed:
        return "The entries are frozen, and have no ranks."
    return f"{draw.allotted:,} of {draw.entries or 0:,} entries have their outcome."
