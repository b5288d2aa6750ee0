"""What header values mean, however they are spelt: hosts, origins, and the types that a client accepts."""

import re
from functools import lru_cache
from urllib.request import parse_http_list

from django.conf import settings
from django.http.request import split_domain_port
from django.utils.http import is_same_domain

_DEFAULT_PORT = {"http": "80", "https": "443"}
_QUALITY = re.compile(r";\s*q\s*=\s*(0?\.\d+|[01](?:\.\d*)?)\s*(?:;|\Z)", re.IGNORECASE)


@lru_cache(maxsize=256)
def canonical_host(host: str, *default_ports: str) -> str:
    """Write a host as browsers write it in `Origin` (RFC 6454, section 4): in lower case, without a final
    dot and without a default or an empty port. Returns a malformed host unchanged."""
    domain, port = split_domain_port(host.removesuffix(":"))
    if not domain:
        return host
    return f"{domain}:{port}" if port and port not in default_ports else domain


def canonical_origin(origin: str) -> str:
    """Write an origin as browsers do. Returns a value that is no origin, such as `null`, unchanged."""
    scheme, _, host = origin.partition("://")
    scheme = scheme.lower()
    if scheme not in _DEFAULT_PORT:
        return origin
    return f"{scheme}://{canonical_host(host[:255], _DEFAULT_PORT[scheme])}"


def is_trusted(origin: str) -> bool:
    """Whether CSRF_TRUSTED_ORIGINS has the origin, by name or by a pattern such as `https://*.example.com`."""
    scheme, _, host = canonical_origin(origin).partition("://")
    patterns = (trusted.partition("://") for trusted in settings.CSRF_TRUSTED_ORIGINS)
    return any(
        scheme == expected and is_same_domain(host, pattern.removeprefix("*"))
        for expected, _, pattern in patterns
    )


@lru_cache(maxsize=256)
def prefers_json(accept: bytes) -> bool:
    """Whether a client prefers JSON to HTML, by RFC 9110, section 12.5.1.

    Between types of equal quality the one that is named more precisely wins, then HTML. Django's
    `get_preferred_type` is not used: it ignores `text/html;q=0` beside `*/*`, and parameters of JSON
    exclude it.
    """
    ranges = [_parse_range(each) for each in parse_http_list(accept.decode("latin-1"))]
    return _weigh("application/json", ranges) > _weigh("text/html", ranges)


def _parse_range(text: str) -> tuple[str, float]:
    """A media range and its quality: 1 if that is missing or malformed."""
    name, _, _ = text.partition(";")
    quality = _QUALITY.search(text)
    return name.strip().lower(), min(float(quality[1]), 1.0) if quality else 1.0


def _weigh(media_type: str, ranges: list[tuple[str, float]]) -> tuple[float, int]:
    """The quality of a type, and how precisely it is named; zeros if it is not accepted."""
    main = media_type.partition("/")[0]
    precision = {media_type: 2, f"{main}/*": 1, "*/*": 0, "*": 0}  # "*": Java's own client
    covering = [(precision[name], quality) for name, quality in ranges if name in precision]
    precisely, quality = max(covering, default=(0, 0.0))
    return (quality, precisely) if quality else (0.0, 0)
