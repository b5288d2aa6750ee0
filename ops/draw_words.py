"""What `manage.py draw show` says: how far a draw is, and its published facts so far."""

from typing import Any

from django.utils import timezone

from dashboard.draw_words import describe_draw
from inventory.models import Sale
from orders.draws import steps
from orders.models import Draw

_PUBLISHED = (
    *("commitment", "beacon", "round", "root", "entries", "stock", "allotted"),
    *("seed", "signature", "scheduled_at", "frozen_at", "drawn_at"),
)


def draw_facts(sale: Sale, draw: Draw | None) -> dict[str, Any]:
    """For JSON. The seed is "" until it is revealed."""
    known: dict[str, Any] = {
        "sale": sale.slug,
        "draw": sale.draw,
        "draw_at": sale.draw_at,
        "waits_for": _hindrance(sale, draw),
        "waiting": sale.waiting,
    }
    if draw is None:
        return known
    return known | {name: getattr(draw, name) for name in _PUBLISHED}


def draw_lines(sale: Sale, draw: Draw | None) -> list[str]:
    """In lines for a terminal."""
    lines = [f"draw        {describe_draw(sale, draw, timezone.now())}"]
    if waits_for := _hindrance(sale, draw):
        lines.append(f"waits for   {waits_for}")
    lines.append(f"waiting     {_by_sku(sale.waiting)}")
    if draw is None:
        return [*lines, "commitment  none: the sale is a draft"]
    bound = f"{draw.beacon}, round {draw.round}" if draw.beacon else "none"
    lines += [f"commitment  {draw.commitment}", f"beacon      {bound}"]
    if draw.root:
        lines.append(f"root        {draw.root}")
        lines.append(f"entries     {draw.entries:,}, {draw.allotted:,} with their outcome")
        lines.append(f"stock       {_by_sku(draw.stock)}")
    if draw.seed:
        lines.append(f"seed        {draw.seed}")
    if draw.signature:
        lines.append(f"signature   {draw.signature}")
    return lines


def _hindrance(sale: Sale, draw: Draw | None) -> str:
    return steps.hindrance(sale).value if draw else ""


def _by_sku(units: dict[str, int]) -> str:
    return ", ".join(f"{sku} {number:,}" for sku, number in sorted(units.items())) or "none"
