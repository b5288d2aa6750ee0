"""Signing in by a code of six digits, which is mailed to an e-mail address.

A code is good for one browser, a few tries and some minutes. It is computed from the id of the request by
the secret key, when it is mailed and when it is typed: PostgreSQL does not have it. A key that was replaced
makes no codes any more, though links and cookies are still accepted under it.
"""

import hmac
from datetime import timedelta
from typing import NamedTuple
from uuid import UUID, uuid4

from django.db import connection
from django.db.models.functions import Now

from accounts import contacts
from accounts.models import SignInCode
from flashsale.database import bounded_transaction
from flashsale.http import signing

VALID_FOR = timedelta(minutes=10)
MOST_TRIES = 3
_PURPOSE = "sign-in-code"
_DIGITS = 6
_MAILED_AGAIN_AFTER = 20  # seconds, after a fault

# Counted before the code is looked at: guesses that come at the same time are counted, too.
_TRY = """
UPDATE accounts_signincode SET tries = tries + 1
WHERE id = %s AND tries < %s AND expires_at > now()
RETURNING sealed, key
"""
_TAKE = """
UPDATE accounts_signincode SET due = now() + %s * interval '1 second', key = %s WHERE id = (
    SELECT id FROM accounts_signincode WHERE due <= now() AND expires_at > now()
    ORDER BY due LIMIT 1 FOR UPDATE SKIP LOCKED
) RETURNING id, sealed, language
"""


class Mail(NamedTuple):
    """A code that is to be mailed."""

    request: UUID
    address: str
    language: str

    @property
    def code(self) -> str:
        return _codes_of(self.request)[signing.key_number()]


def ask(email: str, language: str) -> UUID:
    """Have a code mailed, to any address. Returns the id of the request, for the browser that
    asked. Raises django.db.DatabaseError."""
    asked = SignInCode.objects.create(
        id=uuid4(),
        sealed=contacts.seal(contacts.Details(email=email)),
        language=language,
        key=signing.key_number(),
        expires_at=Now() + VALID_FOR,
        due=Now(),
    )
    return asked.pk


def redeem(request: UUID, code: str) -> str | None:
    """The address that a code verifies, once; None for a wrong one, and after MOST_TRIES or VALID_FOR.
    Raises contacts.Unreadable and django.db.DatabaseError."""
    with bounded_transaction(), connection.cursor() as cursor:
        cursor.execute(_TRY, [request, MOST_TRIES])
        found = cursor.fetchone()
        typed = "".join(code.split()).encode()
        right = _codes_of(request).get(found[1], "") if found else ""
        if not (right and hmac.compare_digest(right.encode(), typed)):
            return None
        SignInCode.objects.filter(pk=request).delete()
    return contacts.unseal(found[0]).email


def is_open(request: UUID) -> bool:
    """Whether a code of this request may still be typed. Raises django.db.DatabaseError."""
    rows = SignInCode.objects.filter(pk=request, tries__lt=MOST_TRIES, expires_at__gt=Now())
    return rows.exists()


# --- Mailing ------------------------------------------------------------------------------------


def take_mail() -> Mail | None:
    """A code to be mailed now; None if there is none. It is taken again unless `finish_mail` follows.
    Raises contacts.Unreadable and django.db.DatabaseError."""
    with bounded_transaction(), connection.cursor() as cursor:
        cursor.execute(_TAKE, [_MAILED_AGAIN_AFTER, signing.key_number()])
        found = cursor.fetchone()
    if found is None:
        return None
    request, sealed, language = found
    return Mail(request, contacts.unseal(sealed).email, language)


def finish_mail(mail: Mail) -> None:
    """Note that the code was mailed, or never can be."""
    SignInCode.objects.filter(pk=mail.request).update(due=None)


def forget_expired() -> None:
    SignInCode.objects.filter(expires_at__lt=Now()).delete()


def _codes_of(request: UUID) -> dict[int, str]:
    """The code under each key that is accepted, by the key's number."""
    signatures = signing.sign_with_each(_PURPOSE, request.bytes)
    codes = [f"{int.from_bytes(each, 'big') % 10**_DIGITS:0{_DIGITS}}" for each in signatures]
    return dict(zip(signing.key_numbers(), codes, strict=True))
