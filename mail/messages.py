"""Mails as they are sent: a letter with its addresses and headers, as text and as HTML."""

import re
from dataclasses import replace
from urllib.parse import urlsplit

from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.template.loader import render_to_string

from mail.letters import Letter
from orders.models import OutboxRow

_EMAIL = re.compile(r"\b(e)-(mail)", re.IGNORECASE)


def compose(row: OutboxRow, letter: Letter, address: str, language: str) -> EmailMultiAlternatives:
    """The mail of a row, in the active language, which `language` names."""
    return compose_letter(letter, address, language, message_id(row))


def compose_letter(
    letter: Letter, address: str, language: str, message_id: str
) -> EmailMultiAlternatives:
    """The mail of a letter, in the active language, which `language` names."""
    context = {"letter": letter, "language": language, "site": settings.SITE_URL}
    message = EmailMultiAlternatives(
        # Raw SQL can put a line break into a name, and Django refuses one in a header.
        " ".join(letter.subject.split()),
        render_to_string("mail/letter.txt", context),
        settings.MAIL_FROM,
        [address],
        reply_to=[settings.MAIL_REPLY_TO] if settings.MAIL_REPLY_TO else None,
        headers={
            "Message-ID": message_id,
            "Auto-Submitted": "auto-generated",  # RFC 3834: no holiday notices as answers
            "Content-Language": language,
        },
    )
    page = render_to_string("mail/letter.html", context | {"letter": _keep_words_whole(letter)})
    message.attach_alternative(page, "text/html")
    return message


def _keep_words_whole(letter: Letter) -> Letter:
    """With a hyphen at which no line breaks, in "e-mail"."""
    sentences = [_EMAIL.sub("\\1\u2011\\2", sentence) for sentence in letter.sentences]
    return replace(letter, sentences=sentences)


def message_id(row: OutboxRow) -> str:
    """The same however often the row is sent, so that mailboxes can drop a copy."""
    return name_message("order-news", row.pk)


def name_message(kind: str, number: object) -> str:
    """A Message-ID of this shop."""
    return f"<{kind}.{number}@{urlsplit(settings.SITE_URL).hostname}>"
