"""A request of the express lane, read from its ASGI scope: host, scheme, address, cookie, language."""

import ipaddress
import re
from collections.abc import Awaitable, Callable
from functools import lru_cache
from typing import Any
from uuid import UUID

from django.conf import settings
from django.http.request import split_domain_port, validate_host
from django.utils.functional import cached_property
from django.utils.translation import get_supported_language_variant
from django.utils.translation.trans_real import (
    LANGUAGE_CODE_MAX_LENGTH,
    parse_accept_lang_header,
)

from flashsale.http import proofs, shoppers
from flashsale.http.headers import canonical_host, canonical_origin, is_trusted, prefers_json

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]

UNKNOWN_ADDRESS = "unknown"  # `Request.address` of a client that has none
_WITH_PORT = re.compile(r"\A(?:\[([^\]]+)\]|([\d.]+))(?::\d{1,5})?\Z")


class BodyTooLarge(Exception):
    """The body is longer than the endpoint accepts."""


class HungUp(Exception):
    """The browser disconnected before the whole body arrived. Half a form may mean something else."""


class Request:
    """One HTTP request, or the handshake of a WebSocket."""

    def __init__(self, scope: Scope, receive: Receive | None = None) -> None:
        self.scope = scope
        self.method: str = scope.get("method", "GET")
        self.path: str = scope["path"]
        self.headers = _headers_by_name(scope)
        self._receive = receive

    def header(self, name: bytes) -> str:
        return self.headers.get(name, b"").decode("latin-1")

    @cached_property
    def host(self) -> str:
        """The Host header, spelt as browsers do. A proxy behind one that ends TLS may add its port 80."""
        host = self.header(b"host")
        if len(host) > 255:  # only short hosts are cached
            return host
        return canonical_host(host, "80", "443") if self.secure else canonical_host(host, "80")

    @property
    def host_allowed(self) -> bool:
        return len(self.host) <= 255 and _host_allowed(self.host)  # only short hosts are cached

    @cached_property
    def secure(self) -> bool:
        """Whether the browser uses HTTPS, to this server or to the trusted proxy."""
        return is_secure(self.scope)

    @property
    def trustworthy(self) -> bool:
        """Whether others cannot read a cookie: it travels over HTTPS, or does not leave the machine."""
        return self.secure or _is_loopback(self.host)

    @cached_property
    def address(self) -> str:
        """The address for the rate limit: the peer, or the client that the outermost trusted proxy saw.

        Entries of `X-Forwarded-For` further left are forgeable.
        """
        seen = (self.scope.get("client") or ("",))[0]
        if settings.TRUSTED_PROXIES:
            forwarded = [part.strip() for part in self.header(b"x-forwarded-for").split(",")]
            seen = forwarded[max(0, len(forwarded) - settings.TRUSTED_PROXIES)] or seen
        return _rated_address(seen[:64])  # cached, so cut: no address is longer

    @cached_property
    def cookies(self) -> dict[str, str]:
        """The cookies, by name. Empty if the shopper's is not among them."""
        return shoppers.parse_cookies(self.header(b"cookie"), self.secure)

    @cached_property
    def shopper(self) -> UUID | None:
        """The shopper whose id a validly signed cookie carries."""
        return shoppers.shopper_of(self.cookies, self.secure)

    @cached_property
    def own_shoppers(self) -> tuple[UUID, ...]:
        """The shopper, and the former ids of a person who has signed in: whose orders may be opened."""
        return proofs.own_shoppers(self.cookies, self.secure)

    @property
    def sent_no_shopper(self) -> bool:
        """Whether the browser sent no cookie of a shopper, not even an invalid one."""
        return shoppers.cookie_name(self.secure) not in self.cookies

    @property
    def language(self) -> str:
        # Cached, so cut; Django's parser drops an item that is cut off.
        return _choose_language(self.header(b"accept-language")[: LANGUAGE_CODE_MAX_LENGTH + 1])

    @property
    def from_htmx(self) -> bool:
        return self.headers.get(b"hx-request") == b"true"

    @property
    def wants_json(self) -> bool:
        return prefers_json(self.headers.get(b"accept", b"")[:500])  # cached, so cut

    @property
    def foreign(self) -> bool:
        """Whether the browser reports that another site's page sent this, and the site is not trusted."""
        origin = self.header(b"origin")
        if origin:
            own = f"{'https' if self.secure else 'http'}://{self.host}"
            if origin != own and canonical_origin(origin) != own:
                return not is_trusted(origin)
        return self.header(b"sec-fetch-site") == "cross-site"

    @property
    def from_own_page(self) -> bool:
        """Whether a page of this host or of a trusted one opens this WebSocket. Browsers always send its
        Origin."""
        return self.host_allowed and bool(self.header(b"origin")) and not self.foreign

    async def body(self, most: int) -> bytes:
        """Read the body. Raises BodyTooLarge beyond `most` bytes, without reading the rest, and HungUp."""
        _check_declared_length(self.headers.get(b"content-length", b""), most)
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


def bound_body(scope: Scope, receive: Receive, most: int) -> Receive:
    """Wrap `receive` to raise BodyTooLarge beyond `most` bytes; before reading, if a length is declared."""
    declared = dict(scope["headers"]).get(b"content-length", b"")
    received = 0

    async def receive_bounded() -> dict[str, Any]:
        nonlocal received
        _check_declared_length(declared, most)
        message = await receive()
        received += len(message.get("body", b""))
        if received > most:
            raise BodyTooLarge
        return message

    return receive_bounded


def _check_declared_length(declared: bytes, most: int) -> None:
    if declared.isdigit() and int(declared) > most:
        raise BodyTooLarge


def spell_for_django(scope: Scope) -> Scope:
    """Rewrite headers that Django compares literally, so that its pages decide as the express lane does."""
    request = Request(scope)
    headers = dict(request.headers)
    plain = {
        b"host": request.host,
        b"origin": canonical_origin(request.header(b"origin")),
        b"accept-language": request.language,
    }
    headers |= {name: value.encode("latin-1") for name, value in plain.items() if name in headers}
    if settings.TRUSTED_PROXIES:
        headers[b"x-forwarded-proto"] = b"https" if request.secure else b"http"
    return {**scope, "headers": list(headers.items())}


def is_secure(scope: Scope) -> bool:
    """Whether the browser uses HTTPS: by the connection, or by the trusted proxy's X-Forwarded-Proto, in
    which some proxies call a socket `wss`."""
    if not settings.TRUSTED_PROXIES:
        return scope.get("scheme") in ("https", "wss")
    proto = next((value for name, value in scope["headers"] if name == b"x-forwarded-proto"), b"")
    return proto.partition(b",")[0].strip().lower() in (b"https", b"wss")


def _headers_by_name(scope: Scope) -> dict[bytes, bytes]:
    """Join repeated headers: with commas (RFC 9110, section 5.2), cookies with semicolons, since HTTP/2 may
    send each in a line of its own (RFC 9113, section 8.2.3).

    Proxies may add a line instead of an item; two hosts or origins joined never equal the shop's own.
    """
    headers: dict[bytes, bytes] = dict(scope["headers"])
    if len(headers) == len(scope["headers"]):
        return headers
    joined: dict[bytes, bytes] = {}
    for name, value in scope["headers"]:
        if name in joined:
            value = joined[name] + (b"; " if name == b"cookie" else b", ") + value
        joined[name] = value
    return joined


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
def _rated_address(seen: str) -> str:
    """Reduce an address to one customer of a provider: an IPv4 address, or an IPv6 network of 64 bits.

    Some proxies append the port. UNKNOWN_ADDRESS if it is no address.
    """
    with_port = _WITH_PORT.match(seen)
    try:
        address = ipaddress.ip_address((with_port[1] or with_port[2]) if with_port else seen)
    except ValueError:
        return UNKNOWN_ADDRESS
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    if address.ipv4_mapped:
        return str(address.ipv4_mapped)
    network = ipaddress.IPv6Network((int(address), 64), strict=False)
    return str(network.network_address)


@lru_cache(maxsize=1024)
def _choose_language(accepted: str) -> str:
    """The shop's language that is wanted most, never one with the quality 0 unless all have it."""
    wanted = parse_accept_lang_header(accepted)
    refused = {language for language, quality in wanted if not quality}
    offered = [settings.LANGUAGE_CODE, *(code for code, _ in settings.LANGUAGES)]
    for language, quality in wanted:
        if not quality or language == "*":
            break
        try:
            return get_supported_language_variant(language)
        except LookupError:
            continue
    return next((code for code in offered if code not in refused), settings.LANGUAGE_CODE)
