"""Events of providers: a genuine one is a row, and a reason to ask about its payment. Nothing that it
says is believed."""

import logging
from collections.abc import Mapping
from datetime import timedelta
from uuid import UUID

from django.db.models import F
from django.utils import timezone

from flashsale.database import BOUNDS, ask_together, bounded_transaction
from orders.models import Order
from payments.models import Attempt, ProviderEvent
from payments.providers import registry
from payments.transitions import pause

log = logging.getLogger(__name__)

_LONGEST_PAUSE = 600  # seconds
_GIVEN_UP = timedelta(days=1)  # an event about a payment that is not this shop's

# One statement, because nearly each event is about a payment that is known: it has that asked about, and
# is due itself only where more has to be found out.
_RECEIVE = """
WITH told AS (
    INSERT INTO payments_providerevent (provider, event_id, kind, reference, key, due)
    VALUES (%(provider)s, %(event_id)s, %(kind)s, %(reference)s, %(key)s,
        CASE WHEN %(reference)s = '' OR NOT EXISTS (
            SELECT FROM payments_attempt
            WHERE provider = %(provider)s AND reference = %(reference)s) THEN now() END)
    ON CONFLICT (provider, event_id) DO NOTHING
    RETURNING id, provider, reference, due
), asked AS (
    UPDATE payments_attempt AS a SET due = %(now)s FROM told
    WHERE a.provider = told.provider AND a.reference = told.reference AND told.due IS NULL
)
SELECT id, due IS NULL FROM told
"""


def receive(provider: str, body: bytes, headers: Mapping[str, str]) -> bool:
    """Write an event down; one that is there already stays. Returns whether it is new.

    Raises registry.UnknownProvider, Forged and django.db.DatabaseError: then the provider sends it
    again.
    """
    event = registry.provider(provider).read_event(body, headers)
    values = {
        "provider": provider,
        "event_id": event.event_id,
        # A longer text is of another shop of the account, and names no payment of this one.
        "kind": event.kind[:80],
        "reference": event.reference[:255],
        "key": event.key[:80],
        "now": timezone.now(),
    }
    _, told = ask_together(BOUNDS, (_RECEIVE, values))
    for row, is_taken in told:
        if not is_taken:
            take(row)
    return bool(told)


def take(event: int) -> None:
    """Have the event's payment asked about now; later again if it is not known here yet."""
    row = ProviderEvent.objects.get(pk=event)
    with bounded_transaction():
        found = _find_attempt(row) if row.reference else None
        events = ProviderEvent.objects.filter(pk=row.pk)
        if found:
            Attempt.objects.filter(pk=found).update(due=timezone.now())
            events.update(due=None)
        elif not row.reference or row.received_at < timezone.now() - _GIVEN_UP:
            events.update(due=None)
        else:
            again = timezone.now() + pause(row.tries, _LONGEST_PAUSE)
            events.update(due=again, tries=F("tries") + 1)


def _find_attempt(event: ProviderEvent) -> UUID | None:
    known = Attempt.objects.filter(provider=event.provider, reference=event.reference)
    return known.values_list("pk", flat=True).first() or _adopt(event)


def _adopt(event: ProviderEvent) -> UUID | None:
    """The attempt of a payment whose reference is not known here, by its key.

    Either the answer that had the reference was lost, or it is a second payment at the same provider:
    that gets an attempt of its own, and so is voided or refunded.
    """
    try:
        named = Attempt.objects.get(pk=UUID(event.key), provider=event.provider)
    except (ValueError, Attempt.DoesNotExist):
        return None
    Order.objects.select_for_update(no_key=True).get(pk=named.order_id)
    first = Attempt.objects.select_for_update(no_key=True).get(pk=named.pk)
    again = Attempt.objects.filter(provider=event.provider, reference=event.reference)
    if found := again.values_list("pk", flat=True).first():
        return found
    if not first.reference:
        first.reference, first.state = event.reference, Attempt.State.UNKNOWN
        first.changed_at = timezone.now()
        first.save(update_fields=["reference", "state", "changed_at"])
        return first.pk
    log.warning("order %s has another payment at %s", first.order_id, event.provider)
    second = Attempt.objects.create(
        order_id=first.order_id,
        provider=first.provider,
        reference=event.reference,
        amount=first.amount,
        currency=first.currency,
        state=Attempt.State.UNKNOWN,
    )
    return second.pk
