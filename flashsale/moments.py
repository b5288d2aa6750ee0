"""Moments as the clocks of a time zone show them: written for staff, on pages and in commands, and
read from them."""

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from django.utils.formats import date_format

_MINUTE = timedelta(minutes=1)
_UTC = ZoneInfo("UTC")


class ClockChange(ValueError):
    """A clock change makes a typed time mean two moments, or none. The message names the zone."""


class ShownTwice(ClockChange):
    """The clocks are set back, and show this time twice."""


class NeverShown(ClockChange):
    """The clocks are set forward, and skip this time."""


@lru_cache(maxsize=1024)
def find_zone(name: str) -> ZoneInfo:
    """The time zone of this name; UTC if this machine does not know it.

    A sale's zone may be missing from another machine's data, or from a later release of it. Its
    times are still right in UTC, and say so. `manage.py doctor` names such sales.
    """
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):  # OSError: "America" is a folder
        return _UTC


# --- Writing -------------------------------------------------------------------------------------


def format_moment(moment: datetime, zone: str = "UTC") -> str:
    """Format a moment in a time zone: `27 Nov 2026, 18:00:00 CET`."""
    local = moment.astimezone(find_zone(zone))
    return f"{_format_clock(local)} {_abbreviation(local)}"


def format_time(moment: datetime, zone: str) -> str:
    """Format the time of day in a time zone: `18:00:00 CET`."""
    local = moment.astimezone(find_zone(zone))
    return f"{local:%H:%M:%S} {_abbreviation(local)}"


def format_window(opens_at: datetime, closes_at: datetime, zone: str) -> str:
    """Format opening and close: `27 Nov 2026, 18:00:00 CET to … 20:00:00 CET (Europe/Berlin)`."""
    window = f"{format_moment(opens_at, zone)} to {format_moment(closes_at, zone)}"
    return window if zone == "UTC" else f"{window} ({zone})"


def name_zone(moment: datetime, zone: str) -> str:
    """A zone with its offset at that moment: `Europe/Berlin, UTC+1`; `UTC` alone."""
    offset = utc_offset(moment.astimezone(find_zone(zone)))
    return zone if zone == offset else f"{zone}, {offset}"


def utc_offset(local: datetime) -> str:
    """The offset of an aware datetime: `UTC+1`, `UTC-3:30`, `UTC`."""
    offset = local.utcoffset() or timedelta()
    hours, minutes = divmod(abs(offset) // _MINUTE, 60)
    if not offset:
        return "UTC"
    return f"UTC{'-' if offset < timedelta() else '+'}{hours}{f':{minutes:02}' if minutes else ''}"


def _format_clock(clock: datetime) -> str:
    return date_format(clock, "j M Y, H:i:s")


def _abbreviation(local: datetime) -> str:
    """`CET`; the offset where the zone has no letters for it, such as Asia/Kathmandu."""
    name = local.tzname() or ""
    return name if name.isalpha() else utc_offset(local)


# --- Reading -------------------------------------------------------------------------------------


def shown_twice(clock: datetime, zone: ZoneInfo) -> tuple[datetime, datetime] | None:
    """The two moments at which the clocks of a zone show a time; None if they show it once or
    never."""
    first, second = (clock.replace(tzinfo=zone, fold=fold) for fold in (0, 1))
    return (first, second) if _offset(first) > _offset(second) else None


def read_clock(clock: datetime, zone: ZoneInfo, *, second: bool | None = None) -> datetime:
    """The moment, in UTC, at which the clocks of a zone show a time. `second` chooses one of two.

    Raises NeverShown; ShownTwice if `second` is None.
    """
    if (both := shown_twice(clock, zone)) is None:
        moment = clock.replace(tzinfo=zone, fold=0)
        if _offset(moment) < _offset(moment.replace(fold=1)):
            why = "because its clocks are set forward past it. Choose another time."
            raise NeverShown(f"{zone.key} never has {_format_clock(clock)}, {why}")
        return moment.astimezone(UTC)
    if second is None:
        why = "because its clocks are set back. Choose the first or the second."
        raise ShownTwice(f"{zone.key} has {_format_clock(clock)} twice, {why}")
    return both[second].astimezone(UTC)


def name_choices(clock: datetime, zone: ZoneInfo) -> tuple[str, str] | None:
    """Names of the two moments at which the clocks show a time: `first (CEST, UTC+2)`, `second …`;
    None if it comes once or never."""
    both = shown_twice(clock, zone)
    if both is None:
        return None
    first, second = (f"{_abbreviation(local)}, {utc_offset(local)}" for local in both)
    return f"first ({first})", f"second ({second})"


def _offset(local: datetime) -> timedelta:
    return local.utcoffset() or timedelta()
