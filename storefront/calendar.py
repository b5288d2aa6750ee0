"""`GET /sales/<slug>/calendar.ics`: a sale as an event for the shopper's calendar (RFC 5545)."""

import re
from datetime import UTC, datetime, timedelta

from icalendar import Alarm, Calendar, Event

from flashsale.characters import isolate
from flashsale.http.request import Request
from flashsale.http.response import Response
from inventory.click_answers import ClickAnswer
from storefront.live_sale import LiveSale
from storefront.responses import failure, find_live_sale

_VARIANT_ID = "-//Flash Sale Engine//EN"
_CALENDAR = b"text/calendar; charset=utf-8"
_REMINDER = timedelta(minutes=5)
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


async def calendar(request: Request, slug: str) -> Response:
    """Give the event, with a reminder before the opening; 404 once the sale has ended."""
    live = await find_live_sale(request, slug)
    if isinstance(live, Response):
        return live
    if live.phase == "ended":
        return failure(request, ClickAnswer.NOT_FOUND, text_code="closed")
    attached = (b"content-disposition", f'attachment; filename="{live.card.slug}.ics"'.encode())
    return Response(200, _calendar_file(live, request), _CALENDAR, (attached,))


def _calendar_file(live: LiveSale, request: Request) -> bytes:
    number = f"sale-{live.card.id}@{request.host}"  # stable: a second download replaces the event
    event = _event(live, request, number)
    file = Calendar.new(prodid=_VARIANT_ID, uid=number, subcomponents=[event])
    return bytes(file.to_ical())


def _event(live: LiveSale, request: Request, number: str) -> Event:
    name = _printable(live.card.name)
    scheme = "https" if request.secure else "http"
    return Event.new(
        uid=number,
        stamp=_moment(live.now),
        start=_moment(live.opens_at),
        end=_moment(live.closes_at),
        summary=name,
        url=f"{scheme}://{request.host}/sales/{live.card.slug}/",
        subcomponents=[_reminder(name)],
    )


def _reminder(text: str) -> Alarm:
    alarm = Alarm.new(description=text)
    alarm.add("action", "DISPLAY")
    alarm.add("trigger", -_REMINDER)
    return alarm


def _printable(text: str) -> str:
    """On one line, without control characters, which RFC 5545 does not allow, and isolated: a calendar
    puts it between times."""
    return isolate(" ".join(_CONTROL.sub(" ", text).split()))


def _moment(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds // 1000, UTC)
