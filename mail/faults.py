"""What an error of a mail server or a mail service means: for this mail alone, or for all of them.

The words are written down beside the row and logged, so they are made here: a server's own answer may
contain the address.
"""

import re
from enum import Enum, auto
from smtplib import SMTPDataError, SMTPException, SMTPRecipientsRefused, SMTPResponseException
from typing import NamedTuple

from anymail.exceptions import (
    AnymailAPIError,
    AnymailError,
    AnymailInvalidAddress,
    AnymailRecipientsRefused,
    AnymailSerializationError,
    AnymailUnsupportedFeature,
)
from django.core.exceptions import ImproperlyConfigured

_CLOSING = 421  # "service not available, closing transmission channel" (RFC 5321)
_DETAILED = re.compile(r"\b[245]\.\d{1,3}\.\d{1,3}\b")  # RFC 3463


class Effect(Enum):
    REFUSED = auto()  # this mail is never accepted
    LATER = auto()  # this mail is not accepted now
    AWAY = auto()  # no mail is accepted now


class Fault(NamedTuple):
    effect: Effect
    words: str


# Causes in the mail itself: `ValueError` for a line break in a header, or a malformed address.
OF_MAIL = (ValueError, AnymailInvalidAddress, AnymailSerializationError, AnymailUnsupportedFeature)
ERRORS = (*OF_MAIL, SMTPException, AnymailError, ImproperlyConfigured, OSError)


def find_fault(error: Exception) -> Fault:
    """What one of ERRORS means."""
    if isinstance(error, SMTPRecipientsRefused):
        code, answer = next(iter(error.recipients.values()))
        return _of_answer(code, answer, "the address")
    if isinstance(error, SMTPDataError):
        return _of_answer(error.smtp_code, error.smtp_error, "the mail")
    if isinstance(error, SMTPResponseException):  # its greeting, the login, our own address
        words = f"the mail server answers {_digits(error.smtp_code, error.smtp_error)}"
        return Fault(Effect.AWAY, f"{words} ({type(error).__name__})")
    if isinstance(error, AnymailRecipientsRefused):
        return Fault(Effect.REFUSED, "the mail service refuses the address")
    if isinstance(error, AnymailAPIError):
        return _of_service(error.status_code)
    if isinstance(error, OF_MAIL):
        return Fault(Effect.REFUSED, f"the mail cannot be made: {type(error).__name__}")
    return Fault(Effect.AWAY, f"the mail server cannot be reached: {type(error).__name__}")


def _of_answer(code: int, answer: bytes | str, about: str) -> Fault:
    digits = _digits(code, answer)
    if code == _CLOSING:
        return Fault(Effect.AWAY, f"the mail server is closing: {digits}")
    if not 400 <= code < 600:
        return Fault(Effect.AWAY, f"the mail server answers nonsense: {code}")
    # 5.7: its policy, such as a relay that does not know us. That is about us, and can be put right.
    if code < 500 or " 5.7." in digits:
        return Fault(Effect.LATER, f"the mail server does not take {about} now: {digits}")
    return Fault(Effect.REFUSED, f"the mail server refuses {about}: {digits}")


def _of_service(status: int | None) -> Fault:
    if status in (400, 413, 422):
        return Fault(Effect.REFUSED, f"the mail service refuses the mail: {status}")
    return Fault(Effect.AWAY, f"the mail service answers {status or 'nothing'}")


def _digits(code: int, answer: bytes | str) -> str:
    """The codes of an answer, `550 5.1.1`, without its text."""
    text = answer.decode("ascii", "replace") if isinstance(answer, bytes) else answer
    detailed = _DETAILED.search(text)
    return f"{code} {detailed[0]}" if detailed else str(code)
