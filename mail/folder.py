"""Mails in files, for a trial: nothing is sent, and the dashboard shows what would have been."""

import email
import email.policy
import re
from collections.abc import Iterator, Sequence
from datetime import datetime
from email.message import EmailMessage as ParsedMessage
from pathlib import Path
from typing import Any, NamedTuple

from django.conf import settings
from django.core.mail import EmailMessage
from django.core.mail.backends.base import BaseEmailBackend

from flashsale.local import private_files

_NAME = re.compile(r"\A[A-Za-z0-9._-]{1,80}\.eml\Z")
_KEPT = 500  # the newest mails, and less than _AT_A_TIME more
_AT_A_TIME = 50  # mails of a connection, after which old ones are removed: that looks at all files


class EmailBackend(BaseEmailBackend):
    """Writes each mail to a file that only the shop's user can read. A mail that is sent again replaces
    its first copy, as a mailbox that compares Message-IDs does."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._folder = Path(str(settings.EMAIL_FILE_PATH))
        self._written = 0

    def send_messages(self, messages: Sequence[EmailMessage]) -> int:
        """Raises OSError."""
        for message in messages:
            raw = message.message()
            private_files.write(self._folder / _name_of(str(raw["Message-ID"])), raw.as_string())
            if self._written % _AT_A_TIME == 0:
                self._remove_old()
            self._written += 1
        return len(messages)

    def _remove_old(self) -> None:
        for old in _newest_first(self._folder)[_KEPT:]:
            old.unlink(missing_ok=True)  # another process may have been first


class Kept(NamedTuple):
    """A mail in the folder; `name` identifies it."""

    name: str
    to: str
    subject: str
    date: datetime | None


def is_used() -> bool:
    """Whether mails go to files."""
    return f"{__name__}.{EmailBackend.__name__}" == str(settings.EMAIL_BACKEND)


def list_mails(most: int) -> list[Kept]:
    """The newest mails. Raises OSError."""
    return list(_read_heads(_newest_first(Path(str(settings.EMAIL_FILE_PATH)))[:most]))


def read_part(name: str, subtype: str) -> str | None:
    """The text or HTML of a mail; None if there is none. Raises OSError."""
    if not _NAME.match(name):
        return None
    message = _parse(Path(str(settings.EMAIL_FILE_PATH)) / name)
    part = message.get_body((subtype,)) if message else None
    return str(part.get_content()) if part else None


def _read_heads(paths: list[Path]) -> Iterator[Kept]:
    for path in paths:
        if message := _parse(path):
            to, subject = str(message["To"] or ""), str(message["Subject"] or "")
            yield Kept(path.name, to, subject, getattr(message["Date"], "datetime", None))


def _parse(path: Path) -> ParsedMessage | None:
    """None for a mail that was removed meanwhile."""
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        return None
    return email.message_from_bytes(raw, policy=email.policy.default)


def _newest_first(folder: Path) -> list[Path]:
    found = [path for path in folder.glob("*.eml") if _NAME.match(path.name)]
    return sorted(found, key=lambda path: (path.stat().st_mtime, path.name), reverse=True)


def _name_of(message_id: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", message_id.strip("<>"))[:76] + ".eml"
