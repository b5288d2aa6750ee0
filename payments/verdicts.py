"""What follows from what a provider says of a payment: a table, without database and provider.

`payments/transitions.py` reads the facts under the locks and carries the verdict out.
"""

from enum import Enum, StrEnum
from typing import NamedTuple, TypeAlias

from orders.order_status import Status
from payments.models import Attempt
from payments.providers.base import Stage

State: TypeAlias = Attempt.State


class Step(StrEnum):
    """The call that the provider needs next, outside the transaction."""

    NONE = ""
    CAPTURE = "capture"
    VOID = "void"
    REFUND = "refund"


class Change(Enum):
    """What happens to the order in the transaction that changes the attempt."""

    NOTHING = "nothing"
    BEGIN = "its capture begins"
    END = "its capture ends, and it may expire again"
    CONFIRM = "it is confirmed"
    REVIVE = "it is held again"


class Facts(NamedTuple):
    """An order and one of its attempts, as they are under the locks."""

    status: Status
    state: State
    capturing: bool  # a payment of the order is being captured: this one if its state says so
    paid: bool = False  # another attempt of the order, which is confirmed, is captured
    late: bool = False  # the hold ended so long ago that an open payment is closed
    room: bool = True  # units and limit allow to revive the order, as far as is known


class Verdict(NamedTuple):
    state: State
    step: Step = Step.NONE
    change: Change = Change.NOTHING
    problem: str = ""  # for staff


_TAKEN = (State.CAPTURED, State.REFUND_PENDING, State.REFUNDED)
_GIVEN_UP = (State.FAILED, State.VOIDED)
_ANOTHER_AMOUNT = "The provider has another amount than the order."


def judge(facts: Facts, stage: Stage, agrees: bool) -> Verdict:
    """What to do about a payment that is at `stage`. `agrees`: amount and currency are the attempt's.

    Never goes back from captured: a provider that says less is read from an old copy.
    """
    match stage:
        case Stage.OPEN:
            return _judge_open(facts)
        case Stage.AUTHORISED:
            return _judge_authorised(facts, agrees)
        case Stage.CAPTURED:
            return _judge_captured(facts, agrees)
        case Stage.VOIDED | Stage.FAILED:
            return _judge_closed(facts, State(stage.value))
        case Stage.REFUNDED:
            return _judge_refunded(facts)


def _judge_open(facts: Facts) -> Verdict:
    if facts.state in _TAKEN:
        return Verdict(facts.state)
    if facts.state in _GIVEN_UP:
        return Verdict(facts.state, Step.VOID)
    waits = facts.status == Status.HELD or (facts.status == Status.EXPIRED and not facts.late)
    # Closed at the provider, so that it cannot be paid later.
    return Verdict(State.CREATED, Step.NONE if waits else Step.VOID, _ending(facts))


def _judge_authorised(facts: Facts, agrees: bool) -> Verdict:
    if facts.state in _TAKEN:
        return Verdict(facts.state)
    if facts.state in _GIVEN_UP:
        return Verdict(facts.state, Step.VOID)
    if not agrees:
        return Verdict(State.FAILED, Step.VOID, _ending(facts), _ANOTHER_AMOUNT)
    if facts.status == Status.HELD:
        if not facts.capturing:
            return Verdict(State.CAPTURING, Step.CAPTURE, Change.BEGIN)
        if facts.state == State.CAPTURING:
            return Verdict(State.CAPTURING, Step.CAPTURE)
        return Verdict(State.AUTHORISED)  # it waits: the other payment may still fail
    if facts.status == Status.EXPIRED and facts.room:
        return Verdict(State.CAPTURING, Step.CAPTURE, Change.REVIVE)
    return Verdict(State.AUTHORISED, Step.VOID)


def _judge_captured(facts: Facts, agrees: bool) -> Verdict:
    if facts.state == State.REFUNDED:
        return Verdict(facts.state)
    if facts.state == State.REFUND_PENDING:
        return Verdict(facts.state, Step.REFUND)
    if not agrees and facts.state != State.CAPTURED:
        return Verdict(State.REFUND_PENDING, Step.REFUND, _ending(facts), _ANOTHER_AMOUNT)
    if facts.status == Status.HELD:
        if facts.capturing and facts.state != State.CAPTURING:
            return Verdict(State.AUTHORISED)
        return Verdict(State.CAPTURED, Step.NONE, Change.CONFIRM)
    if facts.status == Status.CONFIRMED and not facts.paid:
        return Verdict(State.CAPTURED)
    if facts.status == Status.EXPIRED and facts.room:
        return Verdict(State.CAPTURING, Step.NONE, Change.REVIVE)
    return Verdict(State.REFUND_PENDING, Step.REFUND)


def _judge_closed(facts: Facts, state: State) -> Verdict:
    if facts.state == State.REFUND_PENDING:
        return Verdict(State.REFUNDED)
    if facts.state == State.CAPTURED:
        return Verdict(facts.state, problem=f"The provider says {state.value}, after the capture.")
    if facts.state in (*_GIVEN_UP, State.REFUNDED):
        return Verdict(facts.state)
    return Verdict(state, Step.NONE, _ending(facts))


def _judge_refunded(facts: Facts) -> Verdict:
    lost = facts.state == State.CAPTURED and facts.status == Status.CONFIRMED
    problem = "Refunded at the provider, and the order is not cancelled." if lost else ""
    return Verdict(State.REFUNDED, Step.NONE, _ending(facts), problem)


def _ending(facts: Facts) -> Change:
    """The order's capture ends if this attempt is the one."""
    mine = facts.capturing and facts.state == State.CAPTURING
    return Change.END if mine else Change.NOTHING
