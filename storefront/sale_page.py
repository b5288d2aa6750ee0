"""`GET /sales/<slug>/`: the page of a sale, its live parts, and the sale as JSON."""

from datetime import UTC, datetime
from urllib.parse import parse_qs

from flashsale.http.request import Request
from flashsale.http.response import Response, format_utc, json_response
from inventory.click_answers import ClickAnswer
from orders import tickets
from storefront import fragments, own_purchases
from storefront.live_sale import LiveSale
from storefront.responses import failure, find_live_sale, shopper_and_cookie


async def sale(request: Request, slug: str) -> Response:
    """Show one sale to one shopper, with fresh tickets."""
    live = await find_live_sale(request, slug)
    if isinstance(live, Response):
        return live
    if request.from_htmx:
        return await _live_parts(request, live)
    if not request.trustworthy:
        return failure(request, ClickAnswer.INSECURE)
    shopper, cookie = shopper_and_cookie(request)
    if request.wants_json:
        return json_response(200, _as_json(live, tickets.issue(live.card.id, shopper)), *cookie)
    notice = _notice_in_address(request)
    bought = await own_purchases.find_purchases(request, live)
    page = fragments.render_sale_page(live, request.language, shopper, notice, bought)
    return Response(200, page, headers=cookie)


def _notice_in_address(request: Request) -> str:
    """The code of the notice for which a plain form was sent back here; "" if none."""
    code: str = parse_qs(request.scope["query_string"].decode("latin-1")).get("message", [""])[0]
    if code == ClickAnswer.COOKIES.code and request.shopper is not None:
        return ClickAnswer.TICKET.code  # a cookie has come since: only the form was refused
    return code


async def _live_parts(request: Request, live: LiveSale) -> Response:
    """What a page polls without its socket, or asks for when it wakes up. `X-Now` sets its clock."""
    bought = await own_purchases.find_purchases(request, live)
    frame = live.live_frame(request.language).text.encode()
    oldest_first = (bought or [])[::-1]  # the page puts each before the others
    boxes = fragments.render_own_purchases(live, request.language, oldest_first, swap=True)
    known = b"no" if bought is None else b"yes"
    headers = ((b"x-now", str(live.now).encode()), (b"x-own", known))
    return Response(200, frame + boxes, headers=headers)


def _as_json(live: LiveSale, ticket: str) -> dict[str, object]:
    return {
        "sale": live.card.slug,
        "phase": live.phase,
        "opens_at": _moment(live.opens_at),
        "closes_at": _moment(live.closes_at),
        "server_time": _moment(live.now),
        "ticket": ticket,
        "products": [
            {
                "sku": variant.sku,
                "name": variant.name,
                "option": variant.option,
                "price": variant.price,
                "currency": variant.currency,
                "stock": live.left(variant),
            }
            for variant in live.card.variants
        ],
    }


def _moment(milliseconds: int) -> str:
    return format_utc(datetime.fromtimestamp(milliseconds / 1000, UTC))
