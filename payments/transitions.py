"""Transitions: apply what the provider says to an attempt and its order, one locked transaction each.

Locks are taken in the order of the whole shop (`inventory/stock.py`), and then: the order, the attempt, its
refund. The order comes first, because code that changes orders (expiry, cancellation) never asks for
an attempt, and because all attempts of an order share it: two payments cannot both begin a capture. No
transaction here takes a sale's lock after an order's: where the order is confirmed or revived, the
attempt is written inside the transaction of `orders/holds.py`. No provider is called inside one.
"""

import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from uuid import UUID

from django.db import connection, transaction
from django.db.models import F
from django.utils import timezone

from flashsale.compiled import Compiled, Given
from flashsale.database import BOUNDS, ask_together
from flashsale.observe import logs
from orders import confirmation, holds, outbox
from orders.changes import NotPossible, NotReplicated
from orders.models import Order, OutboxRow
from payments.models import Attempt, Refund
from payments.providers.base import Busy, ProviderError, Seen
from payments.verdicts import Change, Facts, Step, Verdict, judge

log = logging.getLogger(__name__)

State = Attempt.State
OrderChange = Callable[[UUID, holds.Within], bool]

LEASE = timedelta(seconds=15)  # in which a process makes the next call; then another one goes on
LATE = timedelta(seconds=60)  # after the end of a hold: an open payment is closed
LONGEST_PAUSE = 300  # seconds between two questions about an open payment
LONGEST_RETRY = 60  # seconds between two tries after a lost answer
TRIES_PER_KEY = 5
_ATTEMPTS = 5  # to apply an answer, while others change the order
_PROBLEM = 200  # characters
_ORDER = Compiled(
    Order,
    lambda: Order.objects.select_for_update(no_key=True, of=("self",)).filter(
        attempts=Given("attempt")
    ),
)
_ATTEMPT = Compiled(
    Attempt,
    lambda: Attempt.objects.select_for_update(no_key=True).filter(pk=Given("attempt")).order_by(),
)
_WRITE = """
UPDATE payments_attempt SET state = %s, changed_at = %s, tries = %s, problem = %s, due = %s WHERE id = %s
"""
_CONFIRMS = Verdict(State.CAPTURED, change=Change.CONFIRM)


class Changed(NotPossible):
    """Order or attempt have changed since the verdict: judge again."""


class Unsettled(Exception):
    """Others changed the order each time; the reconciler tries again."""


def apply(attempt: UUID, seen: Seen, *, just_captured: bool = False) -> Step:
    """Apply what the provider says, and return the call that it needs next.

    A payment that was `just_captured` for the order is expected to confirm it: that is judged under the
    sale's lock at once, and not twice.

    Raises Unsettled, Attempt.DoesNotExist and django.db.DatabaseError; nothing has changed then.
    """
    room, expected = True, _CONFIRMS if just_captured else None
    for _ in range(_ATTEMPTS):
        verdict, expected = expected or _apply_to_attempt(attempt, seen, room), None
        try:
            if verdict.change is Change.CONFIRM:
                if _change_order(confirmation.confirm_hold, attempt, seen, verdict):
                    return verdict.step
            elif verdict.change is Change.REVIVE:
                room = _change_order(holds.revive, attempt, seen, verdict)
                if room and verdict.step:
                    return verdict.step
            else:
                return verdict.step
        except NotPossible as error:
            log.info("attempt %s: judged again: %s", attempt, error)
    raise Unsettled("The order changes all the time.")


def give_up_capture(attempt: UUID, problem: str) -> None:
    """The provider will never capture it: let the hold expire again, and have the payment voided."""
    with transaction.atomic():
        order, locked = _lock(attempt)
        if locked.state == State.CAPTURING:
            holds.end_capture(order.pk)
            _store(order, locked, Verdict(State.FAILED, Step.VOID, problem=problem))


def forget_start(attempt: UUID) -> None:
    """End an attempt whose start was never answered. No shopper has its page's address, so it cannot be
    paid; an event about it would bring it back (`payments/events.py`)."""
    with transaction.atomic():
        order, locked = _lock(attempt)
        if not locked.reference and locked.state in (State.CREATED, State.UNKNOWN):
            problem = "The provider did not answer when the payment began."
            _store(order, locked, Verdict(State.FAILED, problem=problem))


def postpone(attempt: UUID, error: ProviderError) -> None:
    """The provider did not answer, or not now: ask again later. An open payment is unknown until then."""
    attempts = Attempt.objects.filter(pk=attempt)
    if isinstance(error, Busy):
        attempts.update(due=timezone.now() + timedelta(seconds=error.retry_after))
        return
    tries = attempts.values_list("tries", flat=True).get()
    attempts.update(
        due=timezone.now() + pause(tries, LONGEST_RETRY),
        tries=F("tries") + 1,
        problem=f"No answer: {error}"[:_PROBLEM],
    )
    unknown = {"state": State.UNKNOWN, "changed_at": timezone.now()}
    attempts.filter(state=State.CREATED).update(**unknown)


def key_of(attempt: UUID, step: Step) -> str:
    """The idempotency key of the next call. The same after a crash, and for TRIES_PER_KEY tries.

    Then another one: a provider may keep a failure under its key for a day (Stripe does). By then half a
    minute has passed, and each try has asked first whether one before has acted.
    """
    tries = Attempt.objects.values_list("tries", flat=True).get(pk=attempt)
    return f"{attempt}-{step}-{tries // TRIES_PER_KEY}"


def pause(tries: int, longest: int) -> timedelta:
    return timedelta(seconds=min(longest, 2 ** min(tries, 10)))


# --- Helpers, in the order in which they are called -------------------------------------------------


def _apply_to_attempt(attempt: UUID, seen: Seen, room: bool) -> Verdict:
    """Judge, and write unless the sale's lock is needed for it."""
    with transaction.atomic():
        order, locked = _lock(attempt)
        verdict = _judge(order, locked, seen, room)
        if verdict.change in (Change.CONFIRM, Change.REVIVE):
            return verdict
        if verdict.change is Change.BEGIN and not holds.begin_capture(order.pk):
            raise Changed("no capture can begin")
        if verdict.change is Change.END:
            holds.end_capture(order.pk)
        _store(order, locked, verdict, seen)
    return verdict


def _lock(attempt: UUID) -> tuple[Order, Attempt]:
    """The locked order of the attempt, and then the attempt, in one round trip. Must run in a transaction,
    which it bounds."""
    questions = _ORDER.statement(attempt=attempt), _ATTEMPT.statement(attempt=attempt)
    _, orders, attempts = ask_together(BOUNDS, *questions)
    for order in _ORDER.read(orders):
        [locked] = _ATTEMPT.read(attempts)
        return order, locked
    raise Attempt.DoesNotExist(f"There is no attempt {attempt}.")


def _judge(order: Order, attempt: Attempt, seen: Seen, room: bool) -> Verdict:
    facts = Facts(
        Order.Status(order.status),
        State(attempt.state),
        order.capturing,
        paid=order.status == Order.Status.CONFIRMED and _is_paid_by_another(attempt),
        late=timezone.now() > closes_at(order),
        room=room,
    )
    agrees = (seen.amount, seen.currency) == (attempt.amount, attempt.currency)
    return judge(facts, seen.stage, agrees)


def _is_paid_by_another(attempt: Attempt) -> bool:
    others = Attempt.objects.filter(order=attempt.order_id).exclude(pk=attempt.pk)
    return others.filter(state=State.CAPTURED).exists()


def closes_at(order: Order) -> datetime:
    """When an open payment of the order is closed at the provider."""
    return (order.hold_until or order.settled_at) + LATE


def _change_order(change: OrderChange, attempt: UUID, seen: Seen, verdict: Verdict) -> bool:
    """Confirm the order or hold it again, and write the attempt in the same transaction. False if that
    is done already, or if there is no room."""

    def write(order: Order) -> None:
        locked = _ATTEMPT.get(attempt=attempt)
        if _judge(order, locked, seen, room=True) != verdict:
            raise Changed("the order is not as it was")
        _store(order, locked, verdict, seen)

    order_id = Attempt.objects.values_list("order_id", flat=True).get(pk=attempt)
    try:
        return change(order_id, write)
    except NotReplicated as warning:
        log.warning("order %s: %s", order_id, warning)  # the caretaker replicates it
        return True


def _store(order: Order, attempt: Attempt, verdict: Verdict, seen: Seen | None = None) -> None:
    """Write a locked attempt, and its refund if there has to be one."""
    if attempt.state != verdict.state:
        logs.log_steps([(order.pk, f"payment {verdict.state}", {"attempt": str(attempt.pk)})])
        attempt.state, attempt.changed_at, attempt.tries = verdict.state, timezone.now(), 0
    attempt.problem = _problem(attempt, verdict, seen)
    attempt.due = _due(order, attempt, verdict)
    if attempt.due and not verdict.step:
        attempt.tries += 1
    row = (
        attempt.state,
        attempt.changed_at,
        attempt.tries,
        attempt.problem,
        attempt.due,
        attempt.pk,
    )
    with connection.cursor() as cursor:
        cursor.execute(_WRITE, row)
    if verdict.state == State.REFUND_PENDING and seen:
        reason = verdict.problem or f"the order is {order.status}"
        Refund.objects.get_or_create(
            attempt=attempt, defaults={"amount": seen.amount, "reason": reason}
        )
    elif verdict.state == State.REFUNDED:
        _end_refund(order, attempt)


def _problem(attempt: Attempt, verdict: Verdict, seen: Seen | None) -> str:
    if verdict.problem:
        return verdict.problem[:_PROBLEM]
    if verdict.state == State.FAILED:
        return ((seen.detail if seen else "") or attempt.problem)[:_PROBLEM]
    # A lost answer does not matter any more; other problems stay, for staff.
    return "" if attempt.problem.startswith("No answer") else attempt.problem


def _due(order: Order, attempt: Attempt, verdict: Verdict) -> datetime | None:
    """When the reconciler looks at it; None if there is nothing to ask any more."""
    now = timezone.now()
    if verdict.step in (Step.CAPTURE, Step.VOID):
        return now + LEASE
    if verdict.state == State.AUTHORISED:
        return now + pause(attempt.tries, 5)
    if verdict.state == State.CREATED:
        again = now + pause(attempt.tries + 1, LONGEST_PAUSE)
        return min(again, max(closes_at(order), now) + timedelta(seconds=1))
    return now + LEASE if verdict.state == State.CAPTURING else None


def _end_refund(order: Order, attempt: Attempt) -> None:
    """The money is back: end the refund, if it was ours, and tell the shopper once."""
    refunds = Refund.objects.filter(attempt=attempt).exclude(state=Refund.State.DONE)
    now = timezone.now()
    if refunds.update(state=Refund.State.DONE, done_at=now, due=None, problem=""):
        outbox.tell([order.pk], OutboxRow.Event.REFUNDED, str(attempt.pk))
