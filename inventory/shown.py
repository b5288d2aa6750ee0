"""What a form shows of a variant, as a digest: an order must be for what the shopper saw.

The web process signs the digest into the form's ticket and compares it at the click
(`storefront/catalogue.py`, `orders/tickets.py`); settlement compares the variant's digest again, under
the lock of its row (`orders/allotment.py`).
"""

from collections.abc import Iterable
from functools import lru_cache
from hashlib import blake2b
from typing import Protocol

LENGTH = 8  # bytes: the ticket's signature protects them, so they need only tell changes apart

# The fields of a variant that each form shows, and that an order is made of.
FIELDS = ("sku", "name", "option", "price", "currency")


class Shown(Protocol):
    """A variant, or its card."""

    @property
    def sku(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def option(self) -> str: ...
    @property
    def price(self) -> int: ...
    @property
    def currency(self) -> str: ...


def digest_of(variant: Shown) -> bytes:
    """The digest of what forms show of a variant."""
    return _digest(variant.sku, variant.name, variant.option, variant.price, variant.currency)


def digest_together(parts: Iterable[bytes]) -> bytes:
    """The digest of what one form shows of several variants, by their digests, in the form's order."""
    return _hash(b"".join(parts))


@lru_cache(maxsize=4096)  # a batch of settlement asks for the same few variants
def _digest(sku: str, name: str, option: str, price: int, currency: str) -> bytes:
    fields = (field.encode() for field in (sku, name, option, str(price), currency))
    return _hash(b"".join(len(field).to_bytes(4, "big") + field for field in fields))


def _hash(content: bytes) -> bytes:
    return blake2b(content, digest_size=LENGTH).digest()
