"""The shopper's identity: a signed cookie with a random id. No session and no look-up."""

import base64
import binascii
import secrets
from uuid import UUID

from flashsale.http import signing

KEPT_FOR = 400 * 24 * 3600  # seconds; browsers keep no cookie longer
_ID = 16


def new_shopper() -> UUID:
    return UUID(bytes=secrets.token_bytes(_ID), version=4)


def cookie_name(secure: bool) -> str:
    """The cookie's name. `__Host-` pins it to this host; browsers accept that prefix over HTTPS only."""
    return "__Host-shopper" if secure else "shopper"


def cookie_value(shopper: UUID) -> str:
    return base64.urlsafe_b64encode(shopper.bytes + signing.sign("shopper", shopper.bytes)).decode()


def shopper_in(value: str | None) -> UUID | None:
    """The shopper's id in a cookie. None if the cookie is missing, malformed or not signed by this shop."""
    if not value or len(value) > 64:
        return None
    try:
        raw = base64.urlsafe_b64decode(value)
    except (binascii.Error, ValueError):
        return None
    if len(raw) != _ID + signing.LENGTH or not signing.is_signed("shopper", raw[:_ID], raw[_ID:]):
        return None
    return UUID(bytes=raw[:_ID])


def set_cookie(shopper: UUID, secure: bool) -> str:
    """The value of a `Set-Cookie` header."""
    attributes = f"Path=/; Max-Age={KEPT_FOR}; HttpOnly; SameSite=Lax"
    return f"{cookie_name(secure)}={cookie_value(shopper)}; {attributes}" + (
        "; Secure" if secure else ""
    )
