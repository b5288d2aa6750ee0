"""How far a sale's draw is, in words for staff."""

from datetime import datetime, timedelta

from flashsale.moments import format_moment
from inventory.models import Sale
from orders.draws import beacon
from orders.models import Draw

_State = Sale.Draw


def describe_draw(sale: Sale, draw: Draw | None, now: datetime) -> str:
    """One phrase, with a countdown by `now`; "" for a sale by arrival. `draw` is None in a draft."""
    if sale.draw_at is None:
        return ""
    at = format_moment(sale.draw_at, sale.time_zone)
    if sale.draw == _State.OPEN:
        return f"in {_format_span(sale.draw_at - now)}, at {at}" if now < sale.draw_at else "due"
    if sale.draw == _State.CLOSED:
        return "entries are closed, the last ones are written down"
    if sale.draw == _State.FROZEN and draw:
        return _describe_frozen(draw, now)
    if sale.draw == _State.DONE and draw and draw.drawn_at:
        return f"done at {format_moment(draw.drawn_at, sale.time_zone)}"
    return "called off: the sale was ended before" if sale.draw == _State.OFF else sale.draw


def _describe_frozen(draw: Draw, now: datetime) -> str:
    if draw.seed:
        return f"{draw.allotted:,} of {draw.entries or 0:,} entries have their outcome"
    if draw.round and (due := beacon.time_of(draw.round)) > now:
        return f"frozen; the beacon's round is there in {_format_span(due - now)}"
    return "frozen; waits for the beacon" if draw.beacon else "frozen; ranks are computed"


def _format_span(span: timedelta) -> str:
    """`0:12:30`, `2 days, 3:00:00`."""
    return str(timedelta(seconds=round(span.total_seconds())))
