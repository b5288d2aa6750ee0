"""`GET /sales/<slug>/`: the page of a sale, its live parts, and the same as JSON."""

from datetime import UTC, datetime
from urllib.parse import parse_qs

from django.db import DatabaseError

from flashsale.http import shoppers
from flashsale.http.request import Request
from flashsale.http.response import Header, Response, format_utc, json_response
from inventory.click_answers import ClickAnswer
from orders import tickets
from storefront import feed, fragments, own_purchases
from storefront.live_sale import LiveSale
from storefront.responses import RETRY, cookie_for, failure


async def sale(request: Request, slug: str) -> Response:
    """One sale, for one shopper, with fresh tickets."""
    live = await find_live_sale(request, slug)
    if isinstance(live, Response):
        return live
    if request.from_htmx:
        return await _live_parts(request, live)
    if not request.trustworthy:
        return failure(request, ClickAnswer.INSECURE)
    shopper = request.shopper
    cookie: tuple[Header, ...] = ()
    if shopper is None:
        shopper = shoppers.new_shopper()
        cookie = (cookie_for(request, shopper),)
    if request.wants_json:
        return json_response(200, _as_json(live, tickets.issue(live.card.id, shopper)), *cookie)
    notice = parse_qs(request.scope["query_string"].decode("latin-1")).get("message", [""])[0]
    bought = await own_purchases.find_purchases(request, live)
    page = fragments.sale_page(live, request.language, shopper, notice, bought)
    return Response(200, page, headers=cookie)


async def find_live_sale(request: Request, slug: str) -> LiveSale | Response:
    """The sale about which a page is asked for, or the answer where it cannot be shown."""
    if request.method not in ("GET", "HEAD"):
        return failure(request, ClickAnswer.METHOD, (b"allow", b"GET, HEAD"))
    try:
        live = await feed.current().live_sale(slug)
    except (DatabaseError, TimeoutError):
        return failure(request, ClickAnswer.BUSY, RETRY)
    return live or failure(request, ClickAnswer.NOT_FOUND, said="no_sale")


async def _live_parts(request: Request, live: LiveSale) -> Response:
    """What a page without its socket asks for, and one that was asleep; and the time, to set its clock."""
    bought = await own_purchases.find_purchases(request, live)
    frame = live.live_frame(request.language).text.encode()
    oldest_first = (bought or [])[::-1]  # each is put before the others
    boxes = fragments.own_purchases(live, request.language, oldest_first, swap=True)
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
                "sku": product.sku,
                "name": product.name,
                "option": product.option,
                "price": product.price,
                "currency": product.currency,
                "stock": live.left(product),
            }
            for product in live.card.products
        ],
    }


def _moment(milliseconds: int) -> str:
    return format_utc(datetime.fromtimestamp(milliseconds / 1000, UTC))
