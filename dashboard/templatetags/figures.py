"""Format the dashboard's figures."""

from collections import Counter
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from django import template

from dashboard.charts import SAID
from dashboard.controls import ChangeWindow
from dashboard.snapshot import Snapshot
from flashsale.moments import format_moment, format_window
from flashsale.observe.telemetry import ANSWERS
from inventory.models import Sale
from orders.audit_trail import describe_change
from orders.models import AuditEntry

register = template.Library()


@register.filter
def answers(clicks: Counter[str]) -> list[tuple[str, str, int]]:
    """List each answer: its code, its name, and how many clicks got it."""
    return [(answer, SAID[answer], clicks[answer]) for answer in ANSWERS]


@register.simple_tag
def answers_said() -> list[str]:
    return [SAID[answer] for answer in ANSWERS]


@register.filter
def of(counted: Counter[str], answer: str) -> int:
    return counted[answer]


@register.filter
def alive(snapshot: Snapshot, role: str) -> int:
    """Count the live processes of a role."""
    return snapshot.alive(role)


@register.filter
def ms(milliseconds: float | None) -> str:
    """`4.2 ms`, `1.3 s`; a dash for None."""
    if milliseconds is None:
        return "–"  # noqa: RUF001  # a dash is meant
    if milliseconds < 1000:
        return f"{milliseconds:.1f} ms" if milliseconds < 100 else f"{milliseconds:.0f} ms"
    seconds = milliseconds / 1000
    return f"{seconds:.1f} s" if seconds < 120 else str(timedelta(seconds=round(seconds)))


@register.filter
def units(number: int | None) -> str:
    """`12,345`; a question mark for None, which is an unknown figure."""
    return "?" if number is None else f"{number:,}"


@register.filter
def window_form(sale: Sale) -> ChangeWindow:
    """The form that moves the sale's window."""
    return ChangeWindow.of(sale)


@register.filter
def sale_window(sale: Sale) -> str:
    """Opening and close, in the sale's time zone."""
    return format_window(sale.opens_at, sale.closes_at, sale.time_zone)


@register.filter
def in_zone_of(moment: datetime, sale: Sale | None) -> str:
    """A moment in the time zone of its sale; in UTC if it belongs to none."""
    return format_moment(moment, sale.time_zone if sale else "UTC")


@register.filter
def clock(seconds: int) -> datetime:
    """Convert Unix time, of Redis' clock, to UTC."""
    return datetime.fromtimestamp(seconds, ZoneInfo("UTC"))


@register.filter
def change(entry: AuditEntry) -> str:
    """Describe an audit entry's change: `stock 3 → 7`."""
    return describe_change(entry)
