"""Check the mail server, and the mails that wait for it."""

from collections.abc import Iterator

from django.conf import settings
from django.core.mail import get_connection
from django.utils import timezone

from dashboard.alarms import MAIL_WAITS_LONG
from flashsale import mail_servers
from inventory.models import Sale
from mail.faults import ERRORS, find_fault
from ops.doctor.findings import Finding, failed, ok, warning
from orders import outbox

_TIMEOUT = 3  # seconds
_KINDS = {mail_servers.FOLDER: "files", mail_servers.CONSOLE: "the console"}


def check_mail_server() -> Iterator[Finding]:
    """Connect to it, and log in. A mail service is not asked: it has no harmless question."""
    if not settings.MAIL_IS_SENT:
        asked = Sale.objects.filter(finished=False).exclude(ask=Sale.Ask.NOTHING).exists()
        seen = "No EMAIL_URL is set: mails to shoppers wait."
        advice = "Set EMAIL_URL, MAIL_FROM and SITE_URL: see docs/operations.md."
        yield warning("mail", seen, advice) if asked else ok("mail", seen)
        return
    if kind := _KINDS.get(settings.EMAIL_BACKEND):
        seen = f"Mails go to {kind}, and to no shopper."
        advice = "Set EMAIL_URL to a mail server or service."
        yield warning("mail", seen, advice) if settings.PRODUCTION else ok("mail", seen)
        return
    yield _connect()


def check_outbox() -> Iterator[Finding]:
    """Look at mails that wait, and at those that were given up."""
    mails = outbox.look(outbox.Consumer.MAIL)
    seen = f"{mails.waiting} mails wait; {mails.failed} of the last day were given up."
    late = mails.oldest and timezone.now() - mails.oldest > MAIL_WAITS_LONG
    if late or mails.failed:
        advice = "The log of the workers says why: look for `is not sent`."
        yield warning("outbox", seen, advice)
    else:
        yield ok("outbox", seen)


def _connect() -> Finding:
    server = get_connection()
    server.timeout = _TIMEOUT  # type: ignore[attr-defined]  # only SMTP has one, and only SMTP uses it
    try:
        server.open()
        server.close()
    except ERRORS as error:
        seen = f"{find_fault(error).words}. Mails to shoppers wait."
        return failed(
            "mail", seen[0].upper() + seen[1:], "See EMAIL_URL, and the server's own log."
        )
    return ok("mail", f"It is reached; mails come from {settings.MAIL_FROM}.")


CHECKS = (check_mail_server, check_outbox)
