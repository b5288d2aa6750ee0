"""The shopper's identity: a signed cookie with a random id. No session and no look-up.

Two pages that a browser opens at once, before it has a cookie, are answered with two ids, and the cookie
that arrives last replaces the other. So each first page also sets a cookie under a name of its own. It
proves for the rest of the browser's session that the form of that page belongs to this browser
(`docs/decisions/0020-several-first-pages-one-shopper.md`).
"""

import base64
import re
import secrets
import time
from collections.abc import Mapping
from functools import lru_cache
from uuid import UUID

from django.http.cookie import parse_cookie

from flashsale.http import signing

KEPT_FOR = 400 * 24 * 3600  # seconds; browsers keep no cookie longer
_RENEWED_AFTER = 7 * 24 * 3600  # seconds, at most
_ID = 16
_SIGNED = 44  # characters of the signed id, 32 bytes in base64; `_stamp` follows
_COOKIE = re.compile(r"\A[A-Za-z0-9_-]{43}=(?:[0-9]{1,6}\.[0-9a-f]{6})?\Z")
_NAMED = 8  # characters of the id in the name of a first page's cookie
_FIRST_PAGES = 8  # so many are considered: each costs a signature


def new_shopper() -> UUID:
    return UUID(bytes=secrets.token_bytes(_ID), version=4)


def cookie_name(secure: bool) -> str:
    """The cookie's name. `__Host-` pins it to this host; browsers accept that prefix over HTTPS only."""
    return "__Host-shopper" if secure else "shopper"


def cookie_value(shopper: UUID) -> str:
    signed = base64.urlsafe_b64encode(shopper.bytes + signing.sign("shopper", shopper.bytes))
    return signed.decode() + stamp_now()


def shopper_in(value: str | None) -> UUID | None:
    """The shopper's id in a cookie. None if the cookie is missing, malformed or not signed by this shop."""
    if not value or not _COOKIE.match(value):
        return None
    raw = base64.urlsafe_b64decode(value[:_SIGNED])
    if not signing.is_signed("shopper", raw[:_ID], raw[_ID:]):
        return None
    return UUID(bytes=raw[:_ID])


def parse_cookies(header: str, secure: bool) -> dict[str, str]:
    """The cookies of a Cookie header, by name. Empty if the shopper's is not among them.

    Another program of the host may have set one of the same name, for a path or a domain: a valid one
    counts, wherever it stands.
    """
    name = cookie_name(secure)
    if name not in header:
        return {}
    # Not `http.cookies`: it stops at the first malformed cookie, which another program may have set.
    cookies = parse_cookie(header)
    if header.count(f"{name}=") > 1 and shopper_in(cookies.get(name)) is None:
        values = (parse_cookie(cookie).get(name, "") for cookie in header.split(";"))
        cookies[name] = next((value for value in values if shopper_in(value)), "")
    return cookies


def shopper_of(cookies: Mapping[str, str], secure: bool) -> UUID | None:
    """The shopper whom a browser's cookies name. Of first pages that were opened at once it is the one
    whose cookie arrived first: browsers send older cookies before newer ones (RFC 6265, section 5.4)."""
    shopper = shopper_in(cookies.get(cookie_name(secure)))
    if shopper is None or len(cookies) < 3:
        return shopper
    first_pages = shoppers_of_first_pages(cookies, secure)
    return first_pages[0] if shopper in first_pages else shopper


def shoppers_of_first_pages(cookies: Mapping[str, str], secure: bool) -> list[UUID]:
    """The shoppers for whom this browser's first pages were made, in the order of its cookies."""
    prefix = f"{cookie_name(secure)}-"
    values = [value for name, value in cookies.items() if name.startswith(prefix)]
    found = (shopper_in(value) for value in values[:_FIRST_PAGES])
    return [shopper for shopper in found if shopper is not None]


def set_cookies(shopper: UUID, secure: bool) -> tuple[str, str]:
    """The values of the two `Set-Cookie` headers of a first page: the shopper's cookie, and the one
    that lasts as long as the browser's session and is replaced by no other page's."""
    name, value, attributes = cookie_name(secure), cookie_value(shopper), cookie_attributes(secure)
    first_page = f"{name}-{value[:_NAMED]}={value}{attributes}"
    return f"{name}={value}; Max-Age={KEPT_FOR}{attributes}", first_page


def renew_cookie(cookies: Mapping[str, str], secure: bool) -> str | None:
    """The value of the `Set-Cookie` header that gives a shopper's cookie its whole life back, and the
    present key's signature. None if it is not due, or if the cookie names no shopper."""
    value = cookies.get(cookie_name(secure))
    if value is None or (value.endswith(stamp_now()) and len(cookies) < 3):
        return None
    shopper = shopper_of(cookies, secure)
    if shopper is None or value == cookie_value(shopper):
        return None
    return set_cookies(shopper, secure)[0]


def cookie_attributes(secure: bool) -> str:
    """Of a cookie of a shopper's."""
    return "; Path=/; HttpOnly; SameSite=Lax" + ("; Secure" if secure else "")


def stamp_now() -> str:
    """The end of a cookie that is signed now."""
    return _stamp(int(time.time()) // _RENEWED_AFTER)


@lru_cache(maxsize=2)
def _stamp(week: int) -> str:
    """Ends a cookie: when it was signed, and a fingerprint of the key. Not signed itself, since it decides
    only when the cookie is set again. Decoders of base64 stop at the padding in front of it, so the
    version before this one reads the cookie, too."""
    return f"{week}.{signing.key_number() % 16**6:06x}"
