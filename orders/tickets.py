"""Tickets: a signed right to buy once in one sale.

A ticket contains the purchase id, which begins with the sale. Its signature also covers the
shopper. It is the idempotency key and the CSRF proof in one. It does not expire: a page that was
left open for a week still buys, or gets the answer to its purchase.
"""

import base64
import binascii
import re
import secrets
from uuid import UUID

from flashsale.http import signing

_ID = 16
_SALE = 4  # bytes of the sale's number in a purchase id
_LENGTH = 43  # characters of a ticket: an id and a signature in base64
_SHAPE = re.compile(rf"\A[A-Za-z0-9_-]{{{_LENGTH}}}\Z")
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


def issue(sale: int, shopper: UUID) -> str:
    """A fresh ticket."""
    return ticket_for(new_purchase(sale), shopper)


def ticket_for(purchase: UUID, shopper: UUID) -> str:
    """The ticket of a purchase id. Only for an id from `new_purchase`: one from outside must get no
    ticket."""
    return _encode(purchase.bytes + signing.sign("ticket", purchase.bytes + shopper.bytes))


def looks_like_one(ticket: str) -> bool:
    """Whether this could be a ticket, of whatever sale and shopper."""
    return _SHAPE.match(ticket) is not None


def purchase_on(ticket: str, sale: int, shopper: UUID) -> UUID | None:
    """The purchase id in `ticket`; None unless the ticket was issued for this sale and shopper."""
    if len(ticket) != _LENGTH:
        return None
    try:
        raw = base64.urlsafe_b64decode(ticket + "=")
    except (binascii.Error, ValueError):
        return None
    # Decoding ignores unknown characters and surplus bits. Only one spelling of a ticket is valid,
    # because pages compare tickets as text.
    if _encode(raw) != ticket:
        return None
    purchase, signature = raw[:_ID], raw[_ID:]
    if len(purchase) != _ID or not signing.is_signed("ticket", purchase + shopper.bytes, signature):
        return None
    found = UUID(bytes=purchase)
    return found if sale_of(found) == sale else None


def _encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
