"""Formats moments for staff, on pages and in commands."""

from datetime import datetime
from zoneinfo import ZoneInfo

from django.utils.formats import date_format


def format_moment(moment: datetime, zone: str = "UTC") -> str:
    """Format a moment in a time zone: `27 Nov 2026, 18:00:00`."""
    return date_format(moment.astimezone(ZoneInfo(zone)), "j M Y, H:i:s")
