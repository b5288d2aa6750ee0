"""Responses, and the security headers that every answer of the server carries."""

import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, NamedTuple

from csp.utils import build_policy
from django.conf import settings
from django.http import HttpResponseRedirect

from flashsale.http.request import Scope, is_secure

Send = Callable[[dict[str, Any]], Awaitable[None]]
Header = tuple[bytes, bytes]

HTML, JSON, PLAIN = b"text/html; charset=utf-8", b"application/json", b"text/plain; charset=utf-8"

# Who may cache an answer: no cache, since it is made for one shopper; or every cache, where the address
# never changes its meaning.
PRIVATE: tuple[Header, ...] = (
    (b"cache-control", b"private, no-store"),
    (b"vary", b"Accept, Accept-Language, Cookie, HX-Request"),
)
FOR_EVER: tuple[Header, ...] = ((b"cache-control", b"public, max-age=31536000, immutable"),)


class Response(NamedTuple):
    """An endpoint's answer. `headers` are added to those that every answer carries."""

    status: int
    body: bytes = b""
    content_type: bytes = HTML
    headers: tuple[Header, ...] = ()
    caching: tuple[Header, ...] = PRIVATE


def json_response(status: int, content: dict[str, Any], *headers: Header) -> Response:
    return Response(status, json.dumps(content).encode(), JSON, headers)


def redirect(to: str, *headers: Header) -> Response:
    """See other (303): the browser requests `to` with GET."""
    return Response(303, b"", PLAIN, ((b"location", to.encode("ascii")), *headers))


class SeeOther(HttpResponseRedirect):
    """The same for views of Django."""

    status_code = 303


def format_utc(moment: datetime) -> str:
    """Format a moment for JSON: UTC with milliseconds."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def shield_send(scope: Scope, send: Send, *, files: bool = False) -> Send:
    """Wrap `send` to add the common headers to answers of Django, or of static files (`files`)."""

    async def send_shielded(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            common = shield_headers(is_secure(scope), page=not files or message["status"] >= 400)
            names = {name.lower() for name, _ in message["headers"]}
            missing = [header for header in common if header[0] not in names]
            message = {**message, "headers": [*message["headers"], *missing]}
        await send(message)

    return send_shielded


@lru_cache(maxsize=4)
def shield_headers(secure: bool, *, page: bool = True) -> list[Header]:
    """The security headers of every answer. Without `page`: those of a file, which needs no page policy."""
    headers = [
        (b"x-content-type-options", b"nosniff"),
        (b"cross-origin-resource-policy", b"same-origin"),
    ]
    if page:
        opener = str(settings.SECURE_CROSS_ORIGIN_OPENER_POLICY)
        headers += [
            (b"content-security-policy", build_policy().encode()),
            (b"x-frame-options", settings.X_FRAME_OPTIONS.encode()),
            (b"referrer-policy", str(settings.SECURE_REFERRER_POLICY).encode()),
            (b"cross-origin-opener-policy", opener.encode()),
            (b"permissions-policy", settings.PERMISSIONS_POLICY.encode()),
        ]
    if secure and settings.SECURE_HSTS_SECONDS:
        value = f"max-age={settings.SECURE_HSTS_SECONDS}".encode()
        headers.append((b"strict-transport-security", value))
    return headers
