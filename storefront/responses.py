"""What several endpoints share: finding the sale and the shopper, and failing."""

from uuid import UUID

from django.db import DatabaseError

from flashsale.http import shoppers
from flashsale.http.request import Request
from flashsale.http.response import Header, Response, json_response
from inventory.click_answers import ClickAnswer
from storefront import feed, fragments
from storefront.live_sale import LiveSale

RETRY = (b"retry-after", b"1")


async def find_live_sale(request: Request, slug: str) -> LiveSale | Response:
    """The sale whose page a GET or HEAD asks for, or the response if it cannot be shown."""
    if request.method not in ("GET", "HEAD"):
        return failure(request, ClickAnswer.METHOD, (b"allow", b"GET, HEAD"))
    try:
        live = await feed.current().live_sale(slug)
    except (DatabaseError, TimeoutError):
        return failure(request, ClickAnswer.BUSY, RETRY)
    return live or failure(request, ClickAnswer.NOT_FOUND, text_code="no_sale")


def shopper_and_cookie(request: Request) -> tuple[UUID, tuple[Header, ...]]:
    """The request's shopper and no header, or a new shopper and the headers that set their cookies."""
    if request.shopper is not None:
        return request.shopper, ()
    shopper = shoppers.new_shopper()
    cookies = shoppers.set_cookies(shopper, request.secure)
    return shopper, tuple([(b"set-cookie", cookie.encode()) for cookie in cookies])


def failure(
    request: Request, answer: ClickAnswer, *headers: Header, text_code: str = ""
) -> Response:
    """The answer as JSON, fragment or page. `text_code` names another text for people than
    the answer's code does; JSON always has the code."""
    status = answer.status
    if request.wants_json:
        return json_response(status, {"error": answer.code}, *headers)
    code = text_code or answer.code
    if request.from_htmx:
        notice = fragments.render_notice(code, request.language)
        return Response(status, notice.encode(), headers=headers)
    page = fragments.render_message_page(code, request.language, status)
    return Response(status, page, headers=headers)
