"""The seed of a draw: secret until the draw, and bound by the commitment that is published before.

The seed is 32 random bytes, and the commitment is its SHA-256. Until it is revealed the database has it
sealed: encrypted under a key that is derived from SECRET_KEY. A backup of the database does not show it.
"""

import base64
import secrets
from hashlib import sha256

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from flashsale.http import signing

LENGTH = 32  # bytes
_PURPOSE = "draw-seed"


class Unsealable(Exception):
    """Neither SECRET_KEY nor a fallback key opens the seed. The draw waits until the key is back."""


def make() -> bytes:
    """Make a new seed."""
    return secrets.token_bytes(LENGTH)


def commit(seed: bytes) -> str:
    """The commitment to a seed: its SHA-256, in hex."""
    return sha256(seed).hexdigest()


def seal(seed: bytes) -> str:
    """Encrypt a seed under SECRET_KEY."""
    return _fernet().encrypt(seed).decode()


def open_sealed(sealed: str, commitment: str) -> bytes:
    """Decrypt a seed under SECRET_KEY or one of SECRET_KEY_FALLBACKS.

    Raises Unsealable, also for a seed that is not the committed one: no other may be used.
    """
    try:
        seed = _fernet().decrypt(sealed.encode())
    except InvalidToken:
        raise Unsealable(
            "The seed of the draw was encrypted under another SECRET_KEY. "
            "Put that key into SECRET_KEY_FALLBACKS."
        ) from None
    if commit(seed) != commitment:
        raise Unsealable("The seed of the draw is not the one that was committed to.")
    return seed


def _fernet() -> MultiFernet:
    keys = signing.encryption_keys(_PURPOSE)
    return MultiFernet([Fernet(base64.urlsafe_b64encode(key)) for key in keys])
