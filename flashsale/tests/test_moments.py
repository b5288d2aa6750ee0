"""Moments are written as the clocks of a time zone show them, and read back from it."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from flashsale import moments

# Offsets of quarters and halves of an hour, a day that was left out, clocks set by half an hour.
ZONES = (
    *("Asia/Kathmandu", "America/St_Johns", "Pacific/Apia", "Australia/Lord_Howe"),
    *("Europe/Berlin", "America/New_York", "Africa/Casablanca", "UTC"),
)
BERLIN = "Europe/Berlin"
FIRST = datetime(2026, 10, 25, 0, 30, tzinfo=UTC)  # 02:30 CEST in Berlin
SECOND = FIRST + timedelta(hours=1)  # 02:30 CET

zones = st.sampled_from(ZONES)
instants = st.datetimes(datetime(2000, 1, 2), datetime(2035, 1, 1), timezones=st.just(UTC))


def clock_of(moment: datetime, zone: str) -> tuple[datetime, bool]:
    """What the clocks show, and whether they show it for the second time."""
    local = moment.astimezone(ZoneInfo(zone))
    return local.replace(tzinfo=None, fold=0), bool(local.fold)


def around(clock: datetime) -> list[datetime]:
    """Every moment at which clocks with an offset of quarters of an hour can show it."""
    quarter = timedelta(minutes=15)
    return [clock.replace(tzinfo=UTC) + number * quarter for number in range(-60, 61)]


@pytest.mark.parametrize("name", ["Mars/Olympus", "America", "../UTC", "", "US/Pacific-New"])
def test_an_unknown_zone_is_shown_in_utc(name: str) -> None:
    assert moments.format_moment(FIRST, name) == moments.format_moment(FIRST, "UTC")
    assert moments.format_time(FIRST, name).endswith("UTC")
    assert moments.name_zone(FIRST, name) == f"{name}, UTC"


def test_zones_are_found_in_one_place() -> None:
    """`ZoneInfo` raises an error for a name that this machine does not know."""
    home = Path(moments.__file__).parent
    product = [
        home.parent / app for app in ["storefront", "dashboard", "ops", "orders", "inventory"]
    ]
    found = {
        path.name
        for folder in [home, *product]
        for path in folder.rglob("*.py")
        if "tests" not in path.relative_to(home.parent).parts
        and re.search(r"(?<!= )ZoneInfo\((?!\"UTC\")", path.read_text())
    }
    assert found == {"moments.py", "lifecycle_command.py"}  # the second refuses what is typed


@given(instants, zones)
@example(FIRST, BERLIN)
@example(SECOND, BERLIN)
@example(datetime(2011, 12, 30, 9, 59, tzinfo=UTC), "Pacific/Apia")
@example(datetime(2026, 4, 4, 14, 45, tzinfo=UTC), "Australia/Lord_Howe")
def test_each_moment_is_read_back_from_its_clock(moment: datetime, zone: str) -> None:
    clock, second = clock_of(moment, zone)
    assert moments.read_clock(clock, ZoneInfo(zone), second=second) == moment


@given(instants, zones)
def test_a_moment_says_its_offset(moment: datetime, zone: str) -> None:
    """What is written can be told from every other moment that the clocks show so."""
    local = moment.astimezone(ZoneInfo(zone))
    hours, _, minutes = moments.utc_offset(local).removeprefix("UTC").partition(":")
    offset = timedelta(hours=abs(int(hours or 0)), minutes=int(minutes or 0))
    assert (-offset if hours.startswith("-") else offset) == local.utcoffset()


@given(st.datetimes(datetime(2000, 1, 2), datetime(2035, 1, 1)), zones)
@example(datetime(2027, 3, 28, 2, 30), BERLIN)
@example(datetime(2011, 12, 30, 12), "Pacific/Apia")
@example(datetime(2026, 10, 4, 2, 15), "Australia/Lord_Howe")
def test_a_clock_means_one_moment_or_is_refused(clock: datetime, zone: str) -> None:
    own_zone = ZoneInfo(zone)
    meant = [at for at in around(clock) if clock_of(at, zone)[0] == clock]
    if len(meant) == 1:
        assert moments.read_clock(clock, own_zone) == meant[0]
    else:
        with pytest.raises(moments.ShownTwice if meant else moments.NeverShown, match=zone):
            moments.read_clock(clock, own_zone)


@pytest.mark.parametrize(
    ("moment", "zone", "text"),
    [
        (FIRST, "UTC", "25 Oct 2026, 00:30:00 UTC"),
        (FIRST, BERLIN, "25 Oct 2026, 02:30:00 CEST"),
        (SECOND, BERLIN, "25 Oct 2026, 02:30:00 CET"),
        (FIRST, "Asia/Kathmandu", "25 Oct 2026, 06:15:00 UTC+5:45"),
        (FIRST, "America/St_Johns", "24 Oct 2026, 22:00:00 NDT"),
        (FIRST, "Pacific/Apia", "25 Oct 2026, 13:30:00 UTC+13"),
    ],
)
def test_a_moment_is_written_with_its_zone(moment: datetime, zone: str, text: str) -> None:
    assert moments.format_moment(moment, zone) == text


@pytest.mark.parametrize(
    ("zone", "named"),
    [
        ("UTC", "UTC"),
        ("Europe/London", "Europe/London, UTC+1"),
        ("Asia/Kathmandu", "Asia/Kathmandu, UTC+5:45"),
        ("America/St_Johns", "America/St_Johns, UTC-2:30"),
    ],
)
def test_a_zone_is_named_with_its_offset(zone: str, named: str) -> None:
    assert moments.name_zone(FIRST, zone) == named


def test_the_hour_that_comes_twice_is_chosen() -> None:
    clock, berlin = datetime(2026, 10, 25, 2, 30), ZoneInfo(BERLIN)
    with pytest.raises(moments.ShownTwice, match="Europe/Berlin has 25 Oct 2026, 02:30:00 twice"):
        moments.read_clock(clock, berlin)
    read = [moments.read_clock(clock, berlin, second=second) for second in (False, True)]
    assert read == [FIRST, SECOND]
    assert moments.name_choices(clock, berlin) == ("first (CEST, UTC+2)", "second (CET, UTC+1)")


def test_the_hour_that_is_left_out_is_refused() -> None:
    for second in (None, False, True):
        with pytest.raises(moments.NeverShown, match="Europe/Berlin never has 28 Mar 2027, 02:30"):
            moments.read_clock(datetime(2027, 3, 28, 2, 30), ZoneInfo(BERLIN), second=second)
