"""Refunds: the whole amount of a captured payment goes back, once.

A refund begins where an order is cancelled, by its outbox row, or where a payment comes for which there
are no units (`payments/transitions.py`). It is a row before the provider is called; the reconciler calls
until its end is known.
"""

import logging
from datetime import timedelta
from uuid import UUID

from django.db.models import F
from django.utils import timezone

from flashsale.database import bounded_transaction
from orders import outbox
from orders.audit_trail import Action, auditing
from orders.models import Order, OutboxRow
from payments.models import Attempt, Refund
from payments.providers import registry
from payments.providers.base import (
    Busy,
    NoAnswer,
    NotKnown,
    Provider,
    ProviderError,
    RefundSeen,
    Refused,
    Stage,
)
from payments.transitions import LONGEST_RETRY, TRIES_PER_KEY, pause

log = logging.getLogger(__name__)

State = Attempt.State
_LONGEST_LOOK = 3600  # seconds between two questions about a refund that a bank takes its time for
_PROBLEM = 200  # characters


def begin_refund(row: int) -> None:
    """Begin the refund of a cancelled order, by its outbox row. One transaction; a second call finds
    nothing to do.

    A payment that is still on its way is asked about: its end is a void or a refund of its own.
    """
    order_id = OutboxRow.objects.values_list("order_id", flat=True).get(pk=row)
    with bounded_transaction():
        order = Order.objects.select_for_update(no_key=True).get(pk=order_id)
        told = OutboxRow.objects.select_for_update(no_key=True).get(pk=row)
        if told.outcome:
            return
        attempts = list(Attempt.objects.select_for_update(no_key=True).filter(order=order))
        for attempt in attempts:
            if attempt.state == State.CAPTURED and order.status == Order.Status.CANCELLED:
                _plan(attempt, "the order is cancelled")
            elif attempt.state in (State.CREATED, State.AUTHORISED, State.UNKNOWN):
                Attempt.objects.filter(pk=attempt.pk).update(due=timezone.now())
        outcome = OutboxRow.Outcome
        outbox.finish(told, outcome.DONE if attempts else outcome.NOT_NEEDED)


def push(refund: UUID) -> None:
    """Have the provider refund it, or ask how far it is. A fault of the provider postpones it.

    Raises Refund.DoesNotExist and django.db.DatabaseError.
    """
    row = Refund.objects.select_related("attempt").get(pk=refund)
    if row.state != Refund.State.PENDING:
        return
    try:
        seen = _ask(registry.provider(row.attempt.provider), row)
    except (registry.UnknownProvider, NotKnown) as error:
        # The account or the key may be the wrong one; put right, the refund goes on by itself.
        log.warning("refund %s: %s", refund, error)
        later = timezone.now() + pause(row.tries, _LONGEST_LOOK)
        waits = Refund.objects.filter(pk=refund, state=Refund.State.PENDING)
        waits.update(due=later, tries=F("tries") + 1, problem=str(error)[:_PROBLEM])
        return
    except Refused as refusal:
        seen = RefundSeen(row.reference, done=False, failed=True, detail=f"{refusal}")
    except ProviderError as error:
        log.warning("refund %s: %s: %s", refund, type(error).__name__, error)
        _postpone(row, error)
        return
    _apply(refund, seen, Refund.State.PENDING)


def retry(refund: UUID, *, by: str, reason: str = "") -> bool:
    """Try a failed refund again, with a key that the provider has not seen. False if it is not failed.

    `by` has at most 150 characters, `reason` 200. Raises Refund.DoesNotExist and
    django.db.DatabaseError.
    """
    order_id = Refund.objects.values_list("attempt__order_id", flat=True).get(pk=refund)
    with bounded_transaction():
        order = Order.objects.select_for_update(no_key=True).get(pk=order_id)
        row = Refund.objects.select_for_update(no_key=True).get(pk=refund)
        if row.state != Refund.State.FAILED:
            return False
        with auditing(Action.REFUND, order, by=by, reason=reason, sale=order.sale):
            _start_again(row)
    return True


def _start_again(row: Refund) -> None:
    row.state, row.due, row.problem, row.reference = Refund.State.PENDING, timezone.now(), "", ""
    row.tries = (row.tries // TRIES_PER_KEY + 1) * TRIES_PER_KEY
    row.save(update_fields=["state", "due", "problem", "reference", "tries"])


def look_again(provider: Provider, attempt: Attempt) -> None:
    """Look at a refund that was done: a bank may send it back days later. Raises ProviderError."""
    done = Refund.objects.filter(attempt=attempt, state=Refund.State.DONE).exclude(reference="")
    for row in done:
        seen = provider.fetch_refund(attempt.reference, row.reference)
        if seen.failed:
            _apply(row.pk, seen, Refund.State.DONE)


# --- Helpers ----------------------------------------------------------------------------------------


def _plan(attempt: Attempt, reason: str) -> None:
    """Write down that a captured attempt, which is locked, goes back as a whole."""
    Refund.objects.get_or_create(
        attempt=attempt, defaults={"amount": attempt.amount, "reason": reason}
    )
    attempt.state, attempt.changed_at, attempt.due = State.REFUND_PENDING, timezone.now(), None
    attempt.save(update_fields=["state", "changed_at", "due"])


def _ask(provider: Provider, row: Refund) -> RefundSeen:
    payment = row.attempt.reference
    if row.reference:
        return provider.fetch_refund(payment, row.reference)
    seen = provider.fetch(payment)
    if seen.stage is Stage.REFUNDED and row.tries:  # an answer was lost
        return RefundSeen("", done=True)
    key = f"{row.pk}-{row.tries // TRIES_PER_KEY}"
    return provider.refund(payment, row.amount, seen.currency, key)


def _postpone(row: Refund, error: ProviderError) -> None:
    rows = Refund.objects.filter(pk=row.pk)
    if isinstance(error, Busy):
        rows.update(due=timezone.now() + timedelta(seconds=error.retry_after))
    else:
        due = timezone.now() + pause(row.tries, LONGEST_RETRY)
        problem = f"No answer: {error}"[:_PROBLEM] if isinstance(error, NoAnswer) else str(error)
        rows.update(due=due, tries=F("tries") + 1, problem=problem[:_PROBLEM])


def _apply(refund: UUID, seen: RefundSeen, was: Refund.State) -> None:
    """Apply what the provider says of the refund, under the locks of order, attempt and refund. Unless
    another process was first: a second call for money that is back already is refused."""
    attempt_id, order_id = Refund.objects.values_list("attempt_id", "attempt__order_id").get(
        pk=refund
    )
    with bounded_transaction():
        Order.objects.select_for_update(no_key=True).get(pk=order_id)
        attempt = Attempt.objects.select_for_update(no_key=True).get(pk=attempt_id)
        row = Refund.objects.select_for_update(no_key=True).get(pk=refund)
        if row.state != was:
            return
        was_done, now = row.state == Refund.State.DONE, timezone.now()
        row.reference, row.problem = seen.reference or row.reference, seen.detail[:_PROBLEM]
        if seen.failed:
            row.state, row.due = Refund.State.FAILED, None
            attempt.state = State.REFUND_PENDING
        elif seen.done:
            row.state, row.due, row.done_at = Refund.State.DONE, None, row.done_at or now
            attempt.state = State.REFUNDED
        else:
            row.due = now + pause(row.tries + 5, _LONGEST_LOOK)
            row.tries += 1
        attempt.changed_at = now
        row.save()
        attempt.save(update_fields=["state", "changed_at"])
        if seen.done and not was_done:
            outbox.tell([order_id], OutboxRow.Event.REFUNDED, str(attempt.pk))
    if seen.failed:
        log.error("refund %s failed: %s", refund, seen.detail)
