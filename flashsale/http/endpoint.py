"""The express lane: requests and responses for the few endpoints that a crowd asks for.

They are plain ASGI, before Django's handler: its usual middleware costs several times as much as the
whole answer (`docs/decisions/`). What that middleware would do for them is done here: the host is
checked, security headers are set, and the caller's language, cookie and address are read.
"""

import ipaddress
import json
import logging
import re
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, NamedTuple
from uuid import UUID

from csp.utils import build_policy
from django.conf import settings
from django.http.cookie import parse_cookie
from django.http.request import split_domain_port, validate_host
from django.utils.functional import cached_property
from django.utils.translation import get_supported_language_variant
from django.utils.translation.trans_real import parse_accept_lang_header

from flashsale.http.shoppers import cookie_name, shopper_in

log = logging.getLogger(__name__)

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
Header = tuple[bytes, bytes]

_WITH_PORT = re.compile(r"\A(?:\[([^\]]+)\]|([\d.]+))(?::\d{1,5})?\Z")

# An extension of ASGI, of our server: a callable that sends an answer in one piece, if it can.
WHOLE = "flashsale.response.whole"
# Another, of a socket: a callable that sends a text as it goes over the wire, if the socket takes it now.
TEXT_FRAME = "flashsale.websocket.frame"

HTML, JSON, PLAIN = b"text/html; charset=utf-8", b"application/json", b"text/plain; charset=utf-8"

# Who may keep an answer: nobody, for it is made for one shopper; or everybody, where the address
# never means anything else.
PRIVATE: tuple[Header, ...] = (
    (b"cache-control", b"private, no-store"),
    (b"vary", b"Accept, Accept-Language, Cookie, HX-Request"),
)
FOR_EVER: tuple[Header, ...] = ((b"cache-control", b"public, max-age=31536000, immutable"),)


class Response(NamedTuple):
    """What an endpoint answers. Its headers are added to those that every answer carries."""

    status: int
    body: bytes = b""
    content_type: bytes = HTML
    headers: tuple[Header, ...] = ()
    kept_by: tuple[Header, ...] = PRIVATE


class BodyTooLarge(Exception):
    """The body is longer than was asked for."""


class HungUp(Exception):
    """The browser has gone before it had sent everything: half a form may say something else."""


class Request:
    """One HTTP request, or the handshake of a socket, as the express lane reads it."""

    def __init__(self, scope: Scope, receive: Receive | None = None) -> None:
        self.scope = scope
        self.method: str = scope.get("method", "GET")
        self.path: str = scope["path"]
        self.headers = _headers_in(scope)
        self._receive = receive

    def header(self, name: bytes) -> str:
        return self.headers.get(name, b"").decode("latin-1")

    @cached_property
    def host(self) -> str:
        return self.header(b"host")

    @property
    def host_allowed(self) -> bool:
        return len(self.host) <= 255 and _host_allowed(self.host)  # kept: what is, is short

    @cached_property
    def secure(self) -> bool:
        """Whether the browser speaks HTTPS, to us or to the proxy that we trust."""
        return _secure(self.scope)

    @property
    def trustworthy(self) -> bool:
        """Whether a cookie can be kept to itself: over HTTPS, or without leaving the machine."""
        return self.secure or _is_loopback(self.host)

    @cached_property
    def address(self) -> str:
        """Whom the rate per address counts: the peer, or what the last trusted proxy says that it
        saw. What stands further left in `X-Forwarded-For` anybody can have written."""
        seen = (self.scope.get("client") or ("",))[0]
        if settings.TRUSTED_PROXIES:
            forwarded = [part.strip() for part in self.header(b"x-forwarded-for").split(",")]
            seen = forwarded[max(0, len(forwarded) - settings.TRUSTED_PROXIES)] or seen
        return _counted_address(seen[:64])  # kept: a longer one is none

    @cached_property
    def shopper(self) -> UUID | None:
        """The shopper whom a valid cookie names."""
        raw = self.header(b"cookie")
        name = cookie_name(self.secure)
        # Not `http.cookies`: it stops at the first odd cookie, which may be another program's.
        return shopper_in(parse_cookie(raw).get(name)) if name in raw else None

    @property
    def language(self) -> str:
        return _language(self.header(b"accept-language")[:200])

    @property
    def from_htmx(self) -> bool:
        return self.headers.get(b"hx-request") == b"true"

    @property
    def wants_json(self) -> bool:
        accepted = self.header(b"accept")
        return "application/json" in accepted and "text/html" not in accepted

    @property
    def foreign(self) -> bool:
        """Whether a browser says that another site's page sent this."""
        if self.header(b"sec-fetch-site") == "cross-site":
            return True
        origin = self.header(b"origin")
        return bool(origin) and origin != f"{'https' if self.secure else 'http'}://{self.host}"

    @property
    def from_own_page(self) -> bool:
        """Whether a page of this host opens this socket: browsers always say whose page does."""
        return self.host_allowed and bool(self.header(b"origin")) and not self.foreign

    async def body(self, most: int) -> bytes:
        """The body. Raises BodyTooLarge beyond `most` bytes, without reading the rest, and HungUp."""
        declared = self.header(b"content-length")
        if declared.isdigit() and int(declared) > most:
            raise BodyTooLarge
        assert self._receive is not None
        received, more = b"", True
        while more:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise HungUp
            received += message.get("body", b"")
            if len(received) > most:
                raise BodyTooLarge
            more = message.get("more_body", False)
        return received


Endpoint = Callable[..., Awaitable[Response]]


async def answer(
    scope: Scope, receive: Receive, send: Send, endpoint: Endpoint, **of_path: str
) -> None:
    """Runs an endpoint and sends what it answers."""
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
    await _send(request, send, response)


async def _send(request: Request, send: Send, response: Response) -> None:
    body = b"" if request.method == "HEAD" else response.body
    length = (b"content-length", str(len(response.body)).encode())
    whole = request.scope.get("extensions", {}).get(WHOLE)
    if whole and not any(name == b"connection" for name, _ in response.headers):
        common = _common_head(response.content_type, response.kept_by, request.secure)
        head = common + _lines(length, *response.headers)
        if whole(response.status, head, body):
            return
    headers = (*_common(response.content_type, response.kept_by, request.secure), length)
    start = {"status": response.status, "headers": [*headers, *response.headers]}
    await send({"type": "http.response.start", **start})
    await send({"type": "http.response.body", "body": body})


def _common(content_type: bytes, kept_by: tuple[Header, ...], secure: bool) -> list[Header]:
    return [(b"content-type", content_type), *kept_by, *shield_headers(secure)]


@lru_cache(maxsize=32)
def _common_head(content_type: bytes, kept_by: tuple[Header, ...], secure: bool) -> bytes:
    return _lines(*_common(content_type, kept_by, secure))


def _lines(*headers: Header) -> bytes:
    """Headers as they are sent. Raises ValueError where one would make two of itself."""
    lines = b"".join([b"%b: %b\r\n" % header for header in headers])
    if lines.count(b"\n") != len(headers) or lines.count(b"\r") != len(headers):
        raise ValueError("a header of several lines")
    return lines


def json_response(status: int, content: dict[str, Any], *headers: Header) -> Response:
    return Response(status, json.dumps(content).encode(), JSON, headers)


def format_utc(moment: datetime) -> str:
    """A moment in JSON: UTC with milliseconds."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def redirect(to: str, *headers: Header) -> Response:
    """See other: the browser asks for `to` with GET."""
    return Response(303, b"", PLAIN, ((b"location", to.encode("ascii")), *headers))


def shield_send(scope: Scope, send: Send, *, files: bool = False) -> Send:
    """Sends the answers of others, Django's pages or static files, with what every answer carries."""

    async def send_shielded(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            carried = shield_headers(_secure(scope), page=not files or message["status"] >= 400)
            names = {name.lower() for name, _ in message["headers"]}
            missing = [header for header in carried if header[0] not in names]
            message = {**message, "headers": [*message["headers"], *missing]}
        await send(message)

    return send_shielded


@lru_cache(maxsize=4)
def shield_headers(secure: bool, *, page: bool = True) -> list[Header]:
    """What every answer carries, and tells the browser to keep others out. A file that pages load needs
    no policy of a page."""
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


def _secure(scope: Scope) -> bool:
    if not settings.TRUSTED_PROXIES:
        return scope.get("scheme") in ("https", "wss")
    said = next((value for name, value in scope["headers"] if name == b"x-forwarded-proto"), b"")
    return said.partition(b",")[0].strip() == b"https"


def _headers_in(scope: Scope) -> dict[bytes, bytes]:
    """Headers by name. One that comes more than once is a list (RFC 9110, section 5.2): proxies may
    add a line instead of a word, and two hosts or origins are none of ours."""
    headers: dict[bytes, bytes] = {}
    for name, value in scope["headers"]:
        headers[name] = headers[name] + b", " + value if name in headers else value
    return headers


@lru_cache(maxsize=256)
def _host_allowed(host: str) -> bool:
    domain, _ = split_domain_port(host)
    return bool(domain) and validate_host(domain, settings.ALLOWED_HOSTS)


@lru_cache(maxsize=256)
def _is_loopback(host: str) -> bool:
    domain, _ = split_domain_port(host)
    if domain == "localhost" or domain.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(domain.strip("[]")).is_loopback
    except ValueError:
        return False


@lru_cache(maxsize=65_536)
def _counted_address(seen: str) -> str:
    """One customer of a provider: an IPv4 address, or an IPv6 network of 64 bits. Some proxies write the
    port, too."""
    with_port = _WITH_PORT.match(seen)
    try:
        address = ipaddress.ip_address((with_port[1] or with_port[2]) if with_port else seen)
    except ValueError:
        return "unknown"
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    if address.ipv4_mapped:
        return str(address.ipv4_mapped)
    network = ipaddress.IPv6Network((int(address), 64), strict=False)
    return str(network.network_address)


@lru_cache(maxsize=1024)
def _language(accepted: str) -> str:
    for wanted, _ in parse_accept_lang_header(accepted):
        if wanted == "*":
            break
        try:
            return get_supported_language_variant(wanted)
        except LookupError:
            continue
    return settings.LANGUAGE_CODE
