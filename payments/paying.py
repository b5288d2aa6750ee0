"""What pages ask of payments: begin one, look after it, and describe it."""

import logging
import math
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from django.db import connection, transaction
from django.utils import timezone

from flashsale.compiled import Compiled, Given
from flashsale.database import BOUNDS, ask_together
from orders import holds
from orders.changes import NotPossible
from orders.models import Order
from payments import transitions
from payments.advance import advance_row
from payments.models import Attempt, Refund
from payments.providers import base, registry
from payments.providers.base import Busy, ProviderError, Refused

log = logging.getLogger(__name__)

State = Attempt.State

MOST_ATTEMPTS = 20  # of one order
_STARTS = timedelta(seconds=30)  # in which a start is answered, or never
_OPEN = (State.CREATED, State.UNKNOWN)
_UNDER_WAY = (State.AUTHORISED, State.CAPTURING, State.CAPTURED)
_ASKED = 3  # attempts of one order that are asked about

_STARTED = """
UPDATE payments_attempt SET reference = %s, url = %s, due = %s WHERE id = %s AND reference = ''
"""
_ATTEMPTS = Compiled(
    Attempt,
    lambda: Attempt.objects.filter(order=Given("order")).select_related("refund"),
)
_UNFINISHED = Compiled(
    Attempt,
    lambda: Attempt.objects.filter(
        order=Given("order"), state__in=(*_OPEN, State.AUTHORISED, State.CAPTURING)
    ).exclude(reference="")[:_ASKED],
)
_LOCKED_ORDER = Compiled(
    Order,
    lambda: (
        Order.objects.select_for_update(no_key=True, of=("self",))
        .select_related("sale")
        .filter(pk=Given("order"))
        .order_by()
    ),
)


class Unavailable(Exception):
    """The provider cannot be asked now. The hold is kept; try again after `retry_after` seconds."""

    def __init__(self, message: str, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = max(1, math.ceil(retry_after))


@dataclass(frozen=True, slots=True)
class PaymentView:
    """The state of an order's payment. `stage` is open, taking, unknown, paid, failed, refund_pending,
    refunded or refund_failed; `amount` is in minor units; `problem` is for staff."""

    stage: str
    amount: int
    currency: str
    provider: str
    reference: str
    problem: str = ""


def begin(order: UUID, *, back: str, language: str, email: str) -> str:
    """Begin to pay a held order, and return the URL to send the shopper to. Blocks for a call or two.

    Called again, it returns the same page as long as that can be paid: a shopper has one at a time.
    Raises Order.DoesNotExist, NotPossible if the order cannot be paid, Unavailable if the provider
    cannot be asked, and django.db.DatabaseError.
    """
    attempt = _open_attempt(order)
    if attempt is None:
        _look_after_open_attempt(order)
        attempt = _open_attempt(order, looked=True)
        assert attempt is not None
    if attempt.url:
        return attempt.url
    return _start(attempt, back, language, email)


def returned(order: UUID) -> None:
    """Ask about the order's payments now: its shopper has come back. Blocks for a few calls at most, and
    never raises a fault of the provider: the reconciler goes on. Raises django.db.DatabaseError."""
    for attempt in _UNFINISHED.ask(order=order):
        if _advance(attempt):
            # Asked often again from now on: a slow payment may come to its end in seconds.
            soon = timezone.now() + timedelta(seconds=2)
            Attempt.objects.filter(pk=attempt.pk, state=State.CREATED).update(due=soon, tries=1)


def describe(order: UUID) -> PaymentView | None:
    """Describe the order's payment; None if none was begun. Of several, the one that matters most."""
    attempts = _ATTEMPTS.ask(order=order)
    if not attempts:
        return None
    # The sort is stable: of equals the newest stays first.
    row = min(attempts, key=lambda attempt: _WEIGHT.index(State(attempt.state)))
    return PaymentView(
        _stage(row), row.amount, row.currency, row.provider, row.reference, row.problem
    )


_WEIGHT = [
    *(State.CAPTURED, State.CAPTURING, State.AUTHORISED, State.REFUND_PENDING, State.UNKNOWN),
    *(State.CREATED, State.REFUNDED, State.FAILED, State.VOIDED),
]

_STAGES = {
    State.CREATED: "open",
    State.AUTHORISED: "taking",
    State.CAPTURING: "taking",
    State.UNKNOWN: "unknown",
    State.CAPTURED: "paid",
    State.VOIDED: "failed",
    State.FAILED: "failed",
    State.REFUND_PENDING: "refund_pending",
    State.REFUNDED: "refunded",
}


def _stage(attempt: Attempt) -> str:
    state = State(attempt.state)
    if state == State.CAPTURING and attempt.problem:
        return "unknown"
    if state == State.REFUND_PENDING and attempt.refund.state == Refund.State.FAILED:
        return "refund_failed"
    return _STAGES[state]


# --- Helpers of `begin` ------------------------------------------------------------------------------


def _look_after_open_attempt(order: UUID) -> None:
    """Ask about a payment that was begun before: it may be paid or declined by now."""
    begun = Attempt.objects.filter(order=order, state__in=_OPEN).exclude(reference="")
    for attempt in begun[:_ASKED]:
        _advance(attempt)


def _advance(attempt: Attempt) -> bool:
    """Whether the shopper may still pay it."""
    try:
        return advance_row(attempt)
    except (registry.UnknownProvider, transitions.Unsettled) as error:
        log.warning("attempt %s: left to the reconciler: %s", attempt.pk, error)
        return False


def _open_attempt(order_id: UUID, *, looked: bool = False) -> Attempt | None:
    """The attempt to go on with, or a new one, under the order's lock. None if there is one that should be
    looked after first, and was not."""
    with transaction.atomic():
        order, attempts = _lock(order_id)
        if not looked and any(each.state in _OPEN and each.reference for each in attempts):
            return None
        _check_payable(order)
        if any(attempt.state in _UNDER_WAY for attempt in attempts):
            raise NotPossible("A payment of this order is under way.")
        for attempt in attempts:
            if attempt.state == State.UNKNOWN and attempt.reference:
                raise Unavailable("It is not known yet how the last payment ended.", 5)
            if attempt.state == State.CREATED and (attempt.url or _is_starting(attempt)):
                return attempt
        if len(attempts) >= MOST_ATTEMPTS:
            raise NotPossible("This order has been tried to be paid too often.")
        return Attempt.objects.create(
            order=order,
            provider=order.sale.payment,
            amount=order.total,
            currency=order.currency,
            due=timezone.now() + _STARTS,
        )


def _lock(order_id: UUID) -> tuple[Order, list[Attempt]]:
    """The locked order and its attempts, in one round trip. Must run in a transaction, which it bounds."""
    questions = _LOCKED_ORDER.statement(order=order_id), _ATTEMPTS.statement(order=order_id)
    _, orders, attempts = ask_together(BOUNDS, *questions)
    for order in _LOCKED_ORDER.read(orders):
        return order, _ATTEMPTS.read(attempts)
    raise Order.DoesNotExist(f"There is no order {order_id}.")


def _check_payable(order: Order) -> None:
    if order.status != Order.Status.HELD or order.hold_until is None:
        raise NotPossible(f"The order is {order.get_status_display().lower()}, and not held.")
    ended = order.hold_until + timedelta(seconds=holds.GRACE)
    if ended <= timezone.now() and not order.capturing:
        raise NotPossible("The time to pay this order is over.")
    if not order.sale.payment:
        raise NotPossible("Nothing is paid in this sale.")
    if not order.total:
        raise NotPossible("The order costs nothing.")


def _is_starting(attempt: Attempt) -> bool:
    return attempt.created_at > timezone.now() - _STARTS


def _start(attempt: Attempt, back: str, language: str, email: str) -> str:
    order = attempt.order
    until = order.hold_until or timezone.now()
    asked = base.Order(
        key=str(attempt.pk),
        title=order.bought,
        reference=order.reference,
        amount=attempt.amount,
        currency=attempt.currency,
        back=back,
        language=language,
        email=email,
        seconds=max(1, int((until - timezone.now()).total_seconds())),
    )
    try:
        started = registry.provider(attempt.provider).start(asked)
    except registry.UnknownProvider as error:
        raise Unavailable(str(error), 60) from error
    except Refused as error:
        log.error("a payment cannot be begun at %s: %s", attempt.provider, error)
        transitions.forget_start(attempt.pk)
        raise Unavailable(str(error), 5) from error
    except ProviderError as error:
        if not isinstance(error, Busy):  # else it has not acted, and the same attempt goes on
            transitions.postpone(attempt.pk, error)
        wait = error.retry_after if isinstance(error, Busy) else 2
        raise Unavailable(str(error), wait) from error
    due = timezone.now() + timedelta(seconds=20)
    with connection.cursor() as cursor:
        cursor.execute(_STARTED, (started.reference, started.url, due, attempt.pk))
    return started.url
