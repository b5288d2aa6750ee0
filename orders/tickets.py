"""Tickets: a signed right to buy once in one sale.

A ticket carries the purchase id and is bound to its sale and shopper, who are signed but not
carried. It is the idempotency key and the CSRF proof in one, and does not expire: a page left open
for a week still buys, or is told what became of it.
"""

import base64
import binascii
import secrets
from uuid import UUID

from flashsale.http import signing

_ID = 16
_SALE = 4  # bytes of the sale's number in a purchase id
_LENGTH = 43  # characters of a ticket: an id and a signature in base64
_VERSION, _VARIANT = 0x80, 0x80  # UUID version 8: the layout is ours (RFC 9562, section 5.8)


def new_purchase(sale: int) -> UUID:
    """A purchase id: the sale's number, so that its gate is found by id alone, then 90 random bits."""
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
    """The ticket of a purchase id that we have just made: an id that comes from outside gets none."""
    return _written(purchase.bytes + signing.sign("ticket", purchase.bytes + shopper.bytes))


def purchase_on(ticket: str, sale: int, shopper: UUID) -> UUID | None:
    """The purchase id that `ticket` carries; None unless we made it for this sale and shopper."""
    if len(ticket) != _LENGTH:
        return None
    try:
        raw = base64.urlsafe_b64decode(ticket + "=")
    except (binascii.Error, ValueError):
        return None
    # Decoding overlooks signs that it does not know and bits that it does not need, and pages hold a
    # ticket as it came: there is one way to write it.
    if _written(raw) != ticket:
        return None
    purchase, signature = raw[:_ID], raw[_ID:]
    if len(purchase) != _ID or not signing.is_signed("ticket", purchase + shopper.bytes, signature):
        return None
    found = UUID(bytes=purchase)
    return found if sale_of(found) == sale else None


def _written(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
