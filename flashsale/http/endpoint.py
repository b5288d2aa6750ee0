"""The express lane: runs the few endpoints that a crowd requests, and sends their answers.

Endpoints are plain ASGI, in front of Django's handler: Django's usual middleware costs several times as
much as the whole answer (`docs/decisions/0004-express-lane.md`). The express lane does that middleware's
work itself: it checks the host, sets security headers, and reads the caller's language, cookie and address.
"""

import logging
from collections.abc import Awaitable, Callable
from functools import lru_cache

from flashsale.http import proofs, shoppers
from flashsale.http.request import HungUp, Receive, Request, Scope
from flashsale.http.response import JSON, PLAIN, PRIVATE, Header, Response, Send, shield_headers

log = logging.getLogger(__name__)

# The server's own extension of ASGI: a callable that sends an answer in one piece, if it can.
WHOLE = "flashsale.response.whole"

Endpoint = Callable[..., Awaitable[Response]]


async def answer(
    scope: Scope, receive: Receive, send: Send, endpoint: Endpoint, **of_path: str
) -> None:
    """Run an endpoint and send its answer: 400 for a wrong host, 500 if the endpoint fails."""
    request = Request(scope, receive)
    if not request.host_allowed:
        response = Response(400, b"Bad host\n", PLAIN)
    else:
        try:
            response = await endpoint(request, **of_path)
        except HungUp:
            return
        except Exception:
            log.exception("%s %s failed", request.method, request.path)
            response = Response(500, b'{"error": "internal"}', JSON)
        if request.method != "POST":
            response = _renew_cookies(request, response)
    await _send(request, send, response)


def _renew_cookies(request: Request, response: Response) -> Response:
    """Add the shopper's cookies to a page, if they are due (`shoppers.renew_cookie`). Not to a click's
    answer, which has no time for it: a page comes before each ticket. Nor to one for public caches."""
    if response.caching is not PRIVATE or not request.trustworthy:
        return response
    due = (
        shoppers.renew_cookie(request.cookies, request.secure),
        proofs.renew_verified(request.cookies, request.secure),
    )
    headers = [(b"set-cookie", cookie.encode()) for cookie in due if cookie]
    return response._replace(headers=(*response.headers, *headers)) if headers else response


async def _send(request: Request, send: Send, response: Response) -> None:
    body = b"" if request.method == "HEAD" else response.body
    length = (b"content-length", str(len(response.body)).encode())
    whole = request.scope.get("extensions", {}).get(WHOLE)
    if whole and not any(name == b"connection" for name, _ in response.headers):
        common = _common_head(response.content_type, response.caching, request.secure)
        head = common + _format_lines(length, *response.headers)
        if whole(response.status, head, body):
            return
    headers = (*_common_headers(response.content_type, response.caching, request.secure), length)
    start = {"status": response.status, "headers": [*headers, *response.headers]}
    await send({"type": "http.response.start", **start})
    await send({"type": "http.response.body", "body": body})


def _common_headers(content_type: bytes, caching: tuple[Header, ...], secure: bool) -> list[Header]:
    return [(b"content-type", content_type), *caching, *shield_headers(secure)]


@lru_cache(maxsize=32)
def _common_head(content_type: bytes, caching: tuple[Header, ...], secure: bool) -> bytes:
    return _format_lines(*_common_headers(content_type, caching, secure))


def _format_lines(*headers: Header) -> bytes:
    """Format headers for the wire. Raises ValueError where a header holds a line break."""
    lines = b"".join([b"%b: %b\r\n" % header for header in headers])
    if lines.count(b"\n") != len(headers) or lines.count(b"\r") != len(headers):
        raise ValueError("a header of several lines")
    return lines
