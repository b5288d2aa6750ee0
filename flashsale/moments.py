"""Words for staff that several pages and commands share."""

from datetime import datetime
from zoneinfo import ZoneInfo

from django.utils.formats import date_format


def format_moment(moment: datetime, zone: str = "UTC") -> str:
    """`27 Nov 2026, 18:00:00`, by the clocks of `zone`."""
    return date_format(moment.astimezone(ZoneInfo(zone)), "j M Y, H:i:s")
