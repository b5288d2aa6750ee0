"""Environment variables, read with an error that names the variable.

django-environ parses the URLs; its own errors do not say which variable was wrong, so that a
malformed value is turned into `ImproperlyConfigured` here.
"""

import os
from collections.abc import Callable
from typing import Any, TypeVar

import environ
from django.core.exceptions import ImproperlyConfigured

T = TypeVar("T")


def _read(name: str, default: T, parse: Callable[[str], T], expected: str) -> T:
    raw = os.environ.get(name, "").strip()
    if not raw:
        return default
    try:
        return parse(raw)
    except (ValueError, KeyError, ImproperlyConfigured) as error:
        # The value stays out of the message: it may be a password.
        raise ImproperlyConfigured(f"{name} is malformed: expected {expected}.") from error


def text(name: str, default: str = "") -> str:
    return _read(name, default, str, "text")


def words(name: str, default: list[str]) -> list[str]:
    """A comma-separated list, without empty items."""
    return _read(name, default, lambda raw: [w.strip() for w in raw.split(",") if w.strip()], "a comma-separated list")


def flag(name: str, default: bool = False) -> bool:
    known = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}
    return _read(name, default, lambda raw: known[raw.lower()], "1 or 0")


def whole(name: str, default: int, least: int = 0, most: int = 2**31 - 1) -> int:
    """A whole number from `least` to `most`."""

    def parse(raw: str) -> int:
        number = int(raw)
        if not least <= number <= most:
            raise ValueError(number)
        return number

    return _read(name, default, parse, f"a whole number from {least} to {most}")


def database(name: str, default: str) -> dict[str, Any]:
    """Django's database settings from a `postgres://` URL."""

    def parse(raw: str) -> dict[str, Any]:
        parsed: dict[str, Any] = environ.Env.db_url_config(raw)
        if parsed.get("ENGINE") != "django.db.backends.postgresql" or not parsed.get("NAME"):
            raise ValueError(name)
        return parsed

    return _read(name, parse(default), parse, "postgres://user:password@host:port/name")


def redis(name: str, default: str) -> str:
    """A `redis://`, `rediss://` or `unix://` URL."""

    def parse(raw: str) -> str:
        if not raw.startswith(("redis://", "rediss://", "unix://")):
            raise ValueError(name)
        return raw

    return _read(name, default, parse, "redis://[:password@]host:port/number")
