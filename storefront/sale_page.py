"""`GET /sales/<slug>/`: the page of a sale, its live parts, and the same as JSON."""

from datetime import UTC, datetime
from urllib.parse import parse_qs

from django.db import DatabaseError

from flashsale.http import shoppers
from flashsale.http.endpoint import Header, Request, Response, json_response, utc
from orders import tickets
from storefront import feed, fragments, own_purchases
from storefront.live_sale import Watch
from storefront.responses import RETRY, cookie_for, failure


async def sale(request: Request, slug: str) -> Response:
    """One sale, for one shopper, with fresh tickets."""
    watch = await watched(request, slug)
    if isinstance(watch, Response):
        return watch
    if request.from_htmx:
        return await _live(request, watch)
    if not request.trustworthy:
        return failure(request, 403, "insecure")
    shopper = request.shopper
    cookie: tuple[Header, ...] = ()
    if shopper is None:
        shopper = shoppers.new_shopper()
        cookie = (cookie_for(request, shopper),)
    if request.wants_json:
        return json_response(200, _as_json(watch, tickets.issue(watch.card.id, shopper)), *cookie)
    notice = parse_qs(request.scope["query_string"].decode("latin-1")).get("message", [""])[0]
    bought = await own_purchases.purchases(request, watch)
    page = fragments.sale_page(watch, request.language, shopper, notice, bought)
    return Response(200, page, headers=cookie)


async def watched(request: Request, slug: str) -> Watch | Response:
    """The sale about which a page is asked for, or the answer where it cannot be shown."""
    if request.method not in ("GET", "HEAD"):
        return failure(request, 405, "method", (b"allow", b"GET, HEAD"))
    try:
        watch = await feed.current().watch(slug)
    except (DatabaseError, TimeoutError):
        return failure(request, 503, "busy", RETRY)
    return watch or failure(request, 404, "not_found", said="no_sale")


async def _live(request: Request, watch: Watch) -> Response:
    """What a page without its socket asks for, and one that was asleep; and the time, to set its clock."""
    bought = await own_purchases.purchases(request, watch)
    frame = watch.live_frame(request.language).text.encode()
    oldest_first = (bought or [])[::-1]  # each is put before the others
    boxes = fragments.own_purchases(watch, request.language, oldest_first, swap=True)
    known = b"no" if bought is None else b"yes"
    headers = ((b"x-now", str(watch.now).encode()), (b"x-own", known))
    return Response(200, frame + boxes, headers=headers)


def _as_json(watch: Watch, ticket: str) -> dict[str, object]:
    return {
        "sale": watch.card.slug,
        "phase": watch.phase,
        "opens_at": _moment(watch.opens_at),
        "closes_at": _moment(watch.closes_at),
        "server_time": _moment(watch.now),
        "ticket": ticket,
        "products": [
            {
                "sku": product.sku,
                "name": product.name,
                "option": product.option,
                "price": product.price,
                "currency": product.currency,
                "stock": watch.left(product),
            }
            for product in watch.card.products
        ],
    }


def _moment(milliseconds: int) -> str:
    return utc(datetime.fromtimestamp(milliseconds / 1000, UTC))
