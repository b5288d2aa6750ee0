"""Short keyed signatures for the express lane: a keyed hash, no database, no session."""

import hmac
from functools import cache
from hashlib import sha256

from django.conf import settings

LENGTH = 16  # bytes: 128 bits, more than anybody forges online


@cache
def _keys(purpose: str) -> tuple[bytes, ...]:
    """The key that signs, then the older ones that are still honoured; one set per purpose, so that a
    signature made for one thing says nothing about another."""
    secrets = [settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS]
    return tuple(hmac.digest(s.encode(), b"flashsale." + purpose.encode(), sha256) for s in secrets)


def key_number() -> int:
    """A number for the key that signs, which tells it from others and says nothing else about it. Less than
    2**48, so that a float holds it."""
    return int.from_bytes(_keys("name")[0][:6], "big")


def sign(purpose: str, message: bytes) -> bytes:
    """The signature of `message`, LENGTH bytes."""
    return hmac.digest(_keys(purpose)[0], message, "sha256")[:LENGTH]


def is_signed(purpose: str, message: bytes, signature: bytes) -> bool:
    """Whether one of our keys made `signature` for `message`."""
    for key in _keys(purpose):
        made = hmac.digest(key, message, "sha256")[:LENGTH]
        if hmac.compare_digest(made, signature):
            return True
    return False
