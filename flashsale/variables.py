"""Reads environment variables. A malformed value raises `ImproperlyConfigured` with the variable's name.

django-environ parses the URLs; its own errors do not name the variable.
"""

import base64
import os
from collections.abc import Callable
from email.utils import formataddr, parseaddr
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import parse_qs, urlsplit

import environ
from django.core.exceptions import ImproperlyConfigured, ValidationError
from django.core.validators import validate_email
from redis.connection import parse_url
from sentry_sdk.utils import BadDsn, Dsn

from flashsale import mail_servers
from flashsale.currencies import OFFERED

T = TypeVar("T")


def _read(name: str, default: T, parse: Callable[[str], T], expected: str) -> T:
    raw = os.environ.get(name, "").strip()
    if not raw:
        return default
    try:
        return parse(raw)
    except (ValueError, KeyError, BadDsn, ImproperlyConfigured, ValidationError):
        # Without the value, and without the cause, which may contain it: it may be a password.
        raise ImproperlyConfigured(f"{name} is malformed: expected {expected}.") from None


def text(name: str, default: str = "") -> str:
    return _read(name, default, str, "text")


def words(name: str, default: list[str]) -> list[str]:
    """A comma-separated list, without empty items."""
    return _read(name, default, _split, "a comma-separated list")


def _split(raw: str) -> list[str]:
    return [word.strip() for word in raw.split(",") if word.strip()]


def lines(name: str) -> frozenset[str]:
    """The lines of the file that the variable names, in small letters, without empty ones and those that
    begin with #."""

    def parse(raw: str) -> frozenset[str]:
        try:
            found = Path(raw).read_text(encoding="utf-8").lower().splitlines()
        except OSError:
            raise ValueError(name) from None
        return frozenset(line for each in found if (line := each.strip()) and line[0] != "#")

    return _read(name, frozenset(), parse, "the path of a file that can be read, in UTF-8")


def fernet_keys(name: str) -> list[str]:
    """A comma-separated list of keys for Fernet: 32 bytes each, in URL-safe base64."""

    def parse(raw: str) -> list[str]:
        keys = _split(raw)
        for key in keys:
            if len(base64.b64decode(key, b"-_", validate=True)) != 32:
                raise ValueError(name)
        return keys

    return _read(name, [], parse, "keys of 32 bytes in URL-safe base64, comma-separated")


def origins(name: str, default: list[str] | None = None) -> list[str]:
    """A comma-separated list of origins, spelt as browsers do: in lower case, without a default port."""

    def parse(raw: str) -> list[str]:
        return [_parse_origin(word) for word in _split(raw)]

    return _read(name, default or [], parse, "https://host or https://*.host, comma-separated")


def _parse_origin(raw: str) -> str:
    parts = urlsplit(raw)
    only_origin = not (parts.username or parts.path.strip("/") or parts.query or parts.fragment)
    if parts.scheme not in ("http", "https") or not parts.hostname or not only_origin:
        raise ValueError(raw)
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname.removesuffix(".")
    default = {"http": 80, "https": 443}[parts.scheme]
    return f"{parts.scheme}://{host}" + (
        f":{parts.port}" if parts.port not in (None, default) else ""
    )


def choice(name: str, default: str, *known: str) -> str:
    """One of `known`, which are upper case. The value's case does not matter."""
    return _read(name, default, lambda raw: known[known.index(raw.upper())], " or ".join(known))


def currency(name: str, default: str) -> str:
    """The code of a currency in which prices can be set."""
    return _read(name, default, lambda raw: OFFERED[raw.upper()].code, "an ISO 4217 code, like EUR")


def flag(name: str, default: bool = False) -> bool:
    known = dict.fromkeys(("1", "true", "yes", "on"), True)
    known |= dict.fromkeys(("0", "false", "no", "off"), False)
    return _read(name, default, lambda raw: known[raw.lower()], "1 or 0")


def whole(name: str, default: int, least: int = 0, most: int = 2**31 - 1) -> int:
    """A whole number from `least` to `most`."""

    def parse(raw: str) -> int:
        number = int(raw)
        if not least <= number <= most:
            raise ValueError(number)
        return number

    return _read(name, default, parse, f"a whole number from {least} to {most}")


def share(name: str, default: float) -> float:
    """A number from 0 to 1."""

    def parse(raw: str) -> float:
        number = float(raw)
        if not 0 <= number <= 1:
            raise ValueError(number)
        return number

    return _read(name, default, parse, "a number from 0 to 1")


def database(name: str, default: str) -> dict[str, Any]:
    """Django's database settings from a `postgres://` URL."""

    def parse(raw: str) -> dict[str, Any]:
        # Checked first: environ prints the whole URL when it warns of another scheme.
        if not raw.startswith(("postgres://", "postgresql://")):
            raise ValueError(name)
        parsed: dict[str, Any] = environ.Env.db_url_config(raw)
        if not parsed.get("NAME"):
            raise ValueError(name)
        return parsed

    return _read(name, parse(default), parse, "postgres://user:password@host:port/name")


def mail_server(name: str, default: str, folder: str) -> dict[str, Any]:
    """Django's settings for the mail server of a URL: see `flashsale/mail_servers.py`."""

    def parse(raw: str) -> dict[str, Any]:
        return mail_servers.parse(raw, folder)

    return _read(name, parse(default) if default else {}, parse, mail_servers.EXPECTED)


def mail_address(name: str, default: str = "") -> str:
    """An e-mail address, with or without a name, or ""."""

    def parse(raw: str) -> str:
        if not raw.isprintable():  # a line break would end the header
            raise ValueError(name)
        shown, address = parseaddr(raw)
        validate_email(address)
        return formataddr((shown, address))

    return _read(name, default, parse, "Name <address@host>")


def sentry(name: str) -> str:
    """A Sentry DSN, or ""."""

    def parse(raw: str) -> str:
        Dsn(raw)
        return raw

    return _read(name, "", parse, "https://key@host/project")


def http(name: str) -> str:
    """An http(s) URL of a server, or ""."""

    def parse(raw: str) -> str:
        parts = urlsplit(raw)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.port == 0:
            raise ValueError(name)
        return raw

    return _read(name, "", parse, "http://host:port")


# The URL options that are allowed. The code sets all others, and a URL would override it.
_REDIS_OPTIONS = {
    "redis": set(),
    "rediss": {
        "ssl_ca_certs",
        "ssl_certfile",
        "ssl_keyfile",
        "ssl_cert_reqs",
        "ssl_check_hostname",
    },
    "unix": {"db"},
}


def redis(name: str, default: str) -> str:
    """A `redis://`, `rediss://` or `unix://` URL, without other options than certificates or a database."""

    def parse(raw: str) -> str:
        parse_url(raw)  # type: ignore[no-untyped-call]  # untyped in redis-py
        parts = urlsplit(raw)
        if not parse_qs(parts.query, keep_blank_values=True).keys() <= _REDIS_OPTIONS[parts.scheme]:
            raise ValueError(name)
        return raw

    return _read(name, default, parse, "redis://[:password@]host:port/number")
