"""Mails the codes with which shoppers sign in. They are no news of an order, and lie in no outbox: after
ten minutes they are worth nothing."""

import logging

from django.conf import settings
from django.core.mail import EmailMessage
from django.utils import translation
from django.utils.translation import gettext as _

from accounts import contacts, sign_in
from accounts.sign_in import VALID_FOR, Mail
from flashsale.http import signing
from mail.letters import Letter
from mail.messages import compose_letter, name_message

log = logging.getLogger(__name__)


def take() -> Mail | None:
    """A code to be mailed now; None if there is none that can be read. Raises django.db.DatabaseError."""
    try:
        return sign_in.take_mail()
    except contacts.Unreadable as error:
        log.error("a code is not sent: %s", error)
        return None


def compose(mail: Mail) -> EmailMessage:
    """The mail of a code, in the language of the page on which it was asked for."""
    known = mail.language in dict(settings.LANGUAGES)
    language = mail.language if known else settings.LANGUAGE_CODE
    with translation.override(language):
        return compose_letter(_write(mail.code), mail.address, language, _message_id(mail))


def _write(code: str) -> Letter:
    spaced = f"{code[:3]}\u00a0{code[3:]}"
    return Letter(
        _("Your code: %(code)s") % {"code": spaced},
        [
            _("With this code you sign in on our page:"),
            spaced,
            _("It is valid for %(minutes)s minutes, once, in the browser that asked for it.")
            % {"minutes": int(VALID_FOR.total_seconds() // 60)},
        ],
        notes=[
            _("Please tell it to nobody: we never ask for it."),
            _("If it was not you who asked for it, you need not do anything."),
        ],
    )


def _message_id(mail: Mail) -> str:
    """The same however often it is sent. It does not say the id of the request: only the browser has it."""
    return name_message("sign-in", signing.sign("sign-in-mail", mail.request.bytes).hex())


finish, forget_expired = sign_in.finish_mail, sign_in.forget_expired
