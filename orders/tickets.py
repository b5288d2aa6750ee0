"""Tickets: a signed right to buy once in one sale.

A ticket contains the purchase id, which begins with the sale, and a digest of what its form shows
(`inventory/shown.py`). Its signature also covers the shopper. It is the idempotency key and the CSRF
proof in one. It does not expire: a page that was left open for a week still buys what it shows, or
gets the answer to its purchase.
"""

import base64
import re
import secrets
from typing import NamedTuple
from uuid import UUID

from flashsale.http import signing

_ID = 16
_SALE = 4  # bytes of the sale's number in a purchase id
# In base64: an id, a digest and a signature; without a digest, as version 0.1.0 issued them. The last
# character holds surplus bits. They are zero, since pages compare tickets as text.
_SHAPE = re.compile(r"\A(?:[A-Za-z0-9_-]{53}[AQgw]|[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048])\Z")
_VERSION, _VARIANT = 0x80, 0x80  # UUID version 8: a custom layout (RFC 9562, section 5.8)


def new_purchase(sale: int) -> UUID:
    """A purchase id: the sale's number, which leads to its gate, then 90 random bits."""
    raw = bytearray(sale.to_bytes(_SALE, "big") + secrets.token_bytes(_ID - _SALE))
    raw[6] = _VERSION | raw[6] & 0x0F
    raw[8] = _VARIANT | raw[8] & 0x3F
    return UUID(bytes=bytes(raw))


def sale_of(purchase: UUID) -> int:
    """The number of the sale in which `purchase` was or will be made."""
    return int.from_bytes(purchase.bytes[:_SALE], "big")


class Ticket(NamedTuple):
    """A genuine ticket: its purchase, and the digest of what its form shows; b"" on a ticket of
    version 0.1.0, which does not say."""

    purchase: UUID
    shown: bytes


def issue(sale: int, shopper: UUID, shown: bytes) -> str:
    """A fresh ticket for a form that shows what `shown` is the digest of."""
    return ticket_for(new_purchase(sale), shopper, shown)


def ticket_for(purchase: UUID, shopper: UUID, shown: bytes) -> str:
    """The ticket of a purchase id. Only for an id from `new_purchase`: one from outside must get no
    ticket."""
    return _encode(
        purchase.bytes + shown + signing.sign("ticket", purchase.bytes + shopper.bytes + shown)
    )


def looks_like_one(ticket: str) -> bool:
    """Whether this could be a ticket, of whatever sale and shopper."""
    return _SHAPE.match(ticket) is not None


def read_ticket(ticket: str, sale: int, shopper: UUID) -> Ticket | None:
    """Read a ticket; None unless it was issued for this sale and shopper."""
    if not looks_like_one(ticket):
        return None
    raw = base64.urlsafe_b64decode(ticket + "==")
    purchase, shown, signature = raw[:_ID], raw[_ID : -signing.LENGTH], raw[-signing.LENGTH :]
    if not signing.is_signed("ticket", purchase + shopper.bytes + shown, signature):
        return None
    found = UUID(bytes=purchase)
    return Ticket(found, shown) if sale_of(found) == sale else None


def _encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
