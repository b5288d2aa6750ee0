"""Sends what the outbox has for shoppers. One thread of each worker does it: `flashsale/celery.py`.

A mail is sent outside any transaction, and its row finished afterwards. If the process dies in between, the
mail is sent again, with the same Message-ID.
"""

import logging
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta

from django.conf import settings
from django.core.mail import EmailMessage, get_connection
from django.core.mail.backends.base import BaseEmailBackend
from django.utils import timezone, translation

from accounts import contacts, people
from accounts.contacts import Contact, Details
from accounts.sign_in import Mail
from flashsale.compiled import Compiled, Given
from flashsale.observe import telemetry
from mail import finding, letters, sign_in
from mail.faults import ERRORS, Effect, find_fault
from mail.messages import compose
from orders import outbox
from orders.models import Order, OutboxRow
from orders.outbox import Consumer, Event, Outcome

log = logging.getLogger(__name__)

GIVEN_UP_AFTER = timedelta(days=3)
EXPIRING_AHEAD = timedelta(minutes=2)
_SHORT_HOLD = timedelta(minutes=5)  # not worth a warning: its first mail has hardly arrived
_LOOK_FOR_EXPIRING_EVERY = 5.0  # seconds
_ROUND = 20.0  # seconds for which one connection to the server is used
_FIRST_PAUSE, _LONGEST_PAUSE = 5.0, 60.0  # seconds without a try while the server is away

_BEFORE_CHECKOUT = (Event.DRAWN, Event.SERVED)

_ORDER = Compiled(Order, lambda: Order.objects.select_related("sale").filter(pk=Given("order")))


@dataclass
class _Pauses:
    """When this process looks next. Only its one thread that sends uses it."""

    failures: int = 0
    server_until: float = 0.0  # monotonic seconds
    expiring_until: float = 0.0

    def note_answer(self) -> None:
        self.failures = 0

    def note_failure(self) -> None:
        pause = min(_FIRST_PAUSE * 2 ** min(self.failures, 10), _LONGEST_PAUSE)
        self.failures += 1
        self.server_until = time.monotonic() + pause


_pauses = _Pauses()


def send_mail() -> None:
    """Send the mails that are due, for some seconds. Without a mail server they wait.

    Raises django.db.DatabaseError; the next round goes on.
    """
    now = time.monotonic()
    if not settings.MAIL_IS_SENT:
        return
    if now >= _pauses.expiring_until:
        _pauses.expiring_until = now + _LOOK_FOR_EXPIRING_EVERY
        outbox.tell_expiring(EXPIRING_AHEAD, _SHORT_HOLD)
        sign_in.forget_expired()
    finding.tell_found()
    if now >= _pauses.server_until:
        _send_due(until=now + _ROUND)


def _send_due(until: float) -> None:
    server = _Server()
    try:
        while time.monotonic() < until:
            if code := sign_in.take():  # first: a person waits for it
                goes_on = _send_code(code, server)
            else:
                row = outbox.take(Consumer.MAIL)
                goes_on = row is not None and _handle(row, server)
            if not goes_on:
                break
    finally:
        server.close()


class _Server:
    """The mail server, connected when the first mail is sent."""

    def __init__(self) -> None:
        self._connection: BaseEmailBackend | None = None

    def send(self, message: EmailMessage) -> None:
        """Raises the errors of `mail/faults.py`."""
        if self._connection is None:
            self._connection = get_connection()
            self._connection.open()
        self._connection.send_messages([message])

    def close(self) -> None:
        if self._connection is not None:
            with suppress(*ERRORS):  # nothing is lost with a connection that is broken already
                self._connection.close()


def _send_code(mail: Mail, server: _Server) -> bool:
    """Send a code that was taken. Whether the round goes on."""
    try:
        server.send(sign_in.compose(mail))
    except ERRORS as error:
        fault = find_fault(error)
        log.warning("a code is not sent: %s", fault.words)
        if fault.effect is Effect.REFUSED:
            sign_in.finish(mail)
        elif fault.effect is Effect.AWAY:
            _pauses.note_failure()
        return fault.effect is not Effect.AWAY
    _pauses.note_answer()
    sign_in.finish(mail)
    return True


def _handle(row: OutboxRow, server: _Server) -> bool:
    """Send the mail of a row that was taken, if it is needed. Whether the round goes on."""
    if timezone.now() - row.at > GIVEN_UP_AFTER:
        _finish(row, Outcome.FAILED, f"given up after {GIVEN_UP_AFTER.days} days; {row.problem}")
        return True
    try:
        contact = _find_contact(row)
    except contacts.Unreadable as error:
        outbox.postpone(row, str(error))
        return True
    message = _write(row, contact) if contact else None
    if message is None:
        _finish(row, Outcome.NOT_NEEDED)
        return True
    return _send(row, message, server)


def _find_contact(row: OutboxRow) -> Contact | None:
    """The order's contact; before its checkout, the address with which its shopper has signed in. None if
    no address is known, or the contact was erased."""
    contact = contacts.read(row.order_id)
    if contact and contact.details.email:
        return contact
    if row.event not in _BEFORE_CHECKOUT or contacts.is_erased(row.order_id):
        return None
    address = people.find_address(_ORDER.get(order=row.order_id).shopper)
    if address is None:
        return None
    return Contact(row.order_id, Details(email=address.email), address.language, None)


def _write(row: OutboxRow, contact: Contact) -> EmailMessage | None:
    order = _ORDER.get(order=row.order_id)
    language = _language_of(row, contact)
    with translation.override(language):
        letter = letters.write(row, order, contact)
        return compose(row, letter, contact.details.email, language) if letter else None


def _language_of(row: OutboxRow, contact: Contact) -> str:
    """Links are written in the language of the page on which they were asked for."""
    wanted = finding.language_of(row) if row.event == Event.FOUND else contact.language
    return wanted if wanted in dict(settings.LANGUAGES) else settings.LANGUAGE_CODE


def _send(row: OutboxRow, message: EmailMessage, server: _Server) -> bool:
    try:
        server.send(message)
    except ERRORS as error:
        return _note_fault(row, error)
    _pauses.note_answer()
    _finish(row, Outcome.DONE)
    return True


def _note_fault(row: OutboxRow, error: Exception) -> bool:
    fault = find_fault(error)
    log.warning("mail %d is not sent: %s", row.pk, fault.words)
    if fault.effect is Effect.REFUSED:
        _finish(row, Outcome.FAILED, fault.words)
        return True
    outbox.postpone(row, fault.words)
    telemetry.count_mail("postponed")
    if fault.effect is Effect.AWAY:
        _pauses.note_failure()
    return fault.effect is Effect.LATER


def _finish(row: OutboxRow, outcome: OutboxRow.Outcome, problem: str = "") -> None:
    outbox.finish(row, outcome, problem)
    telemetry.count_mail(outcome)
