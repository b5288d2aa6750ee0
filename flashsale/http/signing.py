"""Short signatures for the express lane: a keyed hash (HMAC-SHA-256), no database, no session."""

import hmac
from functools import cache
from hashlib import blake2s, sha256

from django.conf import settings

LENGTH = 16  # bytes: 128 bits cannot be forged by guessing online
PSEUDONYM = 8  # bytes: a collision among 100,000 has a chance of 1 in 3 billion


def _derive(secret: str, purpose: str) -> bytes:
    """The key of one purpose: a signature for one is invalid for another."""
    return hmac.digest(secret.encode(), b"flashsale." + purpose.encode(), sha256)


@cache
def _keys(purpose: str) -> tuple[hmac.HMAC, ...]:
    """The signing key, then the fallback keys that are still accepted. Prepared, and copied for each
    signature: OpenSSL takes longer to set a key than to sign with it."""
    secrets = (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)
    return tuple(hmac.new(_derive(secret, purpose), digestmod=sha256) for secret in secrets)


def _sign_with(key: hmac.HMAC, message: bytes) -> bytes:
    signature = key.copy()
    signature.update(message)
    return signature.digest()[:LENGTH]


def encryption_keys(purpose: str) -> list[bytes]:
    """The keys of one purpose to encrypt with, 32 bytes each: SECRET_KEY's, then each fallback key's."""
    secrets = (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)
    return [_derive(secret, f"encrypt.{purpose}") for secret in secrets]


def key_number() -> int:
    """A fingerprint of the signing key that does not reveal it. Less than 2**48: a float holds it."""
    return key_numbers()[0]


def key_numbers() -> list[int]:
    """Those of the signing key and of each fallback key, in the order of `sign_with_each`."""
    secrets = (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)
    return [int.from_bytes(_derive(secret, "name")[:6], "big") for secret in secrets]


def sign(purpose: str, message: bytes) -> bytes:
    """The signature of `message`, LENGTH bytes."""
    return _sign_with(_keys(purpose)[0], message)


def sign_with_each(purpose: str, message: bytes) -> list[bytes]:
    """The signatures of `message` by the signing key and by each fallback key: to look up a value stored
    under one of them."""
    return [_sign_with(key, message) for key in _keys(purpose)]


def is_signed(purpose: str, message: bytes, signature: bytes) -> bool:
    """Whether the signing key or a fallback key made `signature` for `message`."""
    return any(hmac.compare_digest(_sign_with(key, message), signature) for key in _keys(purpose))


@cache
def _pseudonyms(purpose: str) -> blake2s:
    return blake2s(key=_derive(settings.SECRET_KEY, purpose), digest_size=PSEUDONYM)


def pseudonym(purpose: str, message: bytes) -> str:
    """A keyed hash of `message`, PSEUDONYM bytes in hex, that proves nothing. BLAKE2 takes a third of the
    time of a signature."""
    hashed = _pseudonyms(purpose).copy()
    hashed.update(message)
    return hashed.hexdigest()
