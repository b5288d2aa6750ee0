"""The table of verdicts: each state of an order, of an attempt, and of the payment at its provider."""

import itertools

import pytest

from orders.order_status import Status
from payments.models import Attempt
from payments.providers.base import Stage
from payments.verdicts import Change, Facts, Step, Verdict, judge

State = Attempt.State
OPEN = (State.CREATED, State.UNKNOWN, State.AUTHORISED)

# Order, whether it captures another payment, stage at the provider, and what becomes of an attempt that
# is not captured yet.
UNDER_WAY = [
    (Status.HELD, False, Stage.OPEN, State.CREATED, Step.NONE, Change.NOTHING),
    (Status.HELD, False, Stage.AUTHORISED, State.CAPTURING, Step.CAPTURE, Change.BEGIN),
    (Status.HELD, False, Stage.CAPTURED, State.CAPTURED, Step.NONE, Change.CONFIRM),
    (Status.HELD, False, Stage.VOIDED, State.VOIDED, Step.NONE, Change.NOTHING),
    (Status.HELD, False, Stage.FAILED, State.FAILED, Step.NONE, Change.NOTHING),
    (Status.HELD, False, Stage.REFUNDED, State.REFUNDED, Step.NONE, Change.NOTHING),
    (Status.HELD, True, Stage.OPEN, State.CREATED, Step.NONE, Change.NOTHING),
    (Status.HELD, True, Stage.AUTHORISED, State.AUTHORISED, Step.NONE, Change.NOTHING),
    (Status.HELD, True, Stage.CAPTURED, State.AUTHORISED, Step.NONE, Change.NOTHING),
    (Status.EXPIRED, False, Stage.OPEN, State.CREATED, Step.NONE, Change.NOTHING),
    (Status.EXPIRED, False, Stage.AUTHORISED, State.CAPTURING, Step.CAPTURE, Change.REVIVE),
    (Status.EXPIRED, False, Stage.CAPTURED, State.CAPTURING, Step.NONE, Change.REVIVE),
    (Status.EXPIRED, False, Stage.VOIDED, State.VOIDED, Step.NONE, Change.NOTHING),
    (Status.CONFIRMED, False, Stage.OPEN, State.CREATED, Step.VOID, Change.NOTHING),
    (Status.CONFIRMED, False, Stage.AUTHORISED, State.AUTHORISED, Step.VOID, Change.NOTHING),
    (Status.CANCELLED, False, Stage.OPEN, State.CREATED, Step.VOID, Change.NOTHING),
    (Status.CANCELLED, False, Stage.AUTHORISED, State.AUTHORISED, Step.VOID, Change.NOTHING),
    (Status.CANCELLED, False, Stage.CAPTURED, State.REFUND_PENDING, Step.REFUND, Change.NOTHING),
]


@pytest.mark.parametrize("row", UNDER_WAY)
@pytest.mark.parametrize("state", OPEN)
def test_what_becomes_of_a_payment_under_way(
    state: Attempt.State, row: tuple[Status, bool, Stage, Attempt.State, Step, Change]
) -> None:
    status, capturing, stage, then, step, change = row
    verdict = judge(Facts(status, state, capturing), stage, agrees=True)
    assert verdict == Verdict(then, step, change)


# The same of an attempt whose capture has begun.
CAPTURING = [
    (Status.HELD, Stage.AUTHORISED, State.CAPTURING, Step.CAPTURE, Change.NOTHING),
    (Status.HELD, Stage.CAPTURED, State.CAPTURED, Step.NONE, Change.CONFIRM),
    (Status.HELD, Stage.VOIDED, State.VOIDED, Step.NONE, Change.END),
    (Status.HELD, Stage.FAILED, State.FAILED, Step.NONE, Change.END),
    (Status.HELD, Stage.REFUNDED, State.REFUNDED, Step.NONE, Change.END),
    (Status.HELD, Stage.OPEN, State.CREATED, Step.NONE, Change.END),
    (Status.CANCELLED, Stage.AUTHORISED, State.AUTHORISED, Step.VOID, Change.NOTHING),
    (Status.CANCELLED, Stage.CAPTURED, State.REFUND_PENDING, Step.REFUND, Change.NOTHING),
    (Status.CANCELLED, Stage.VOIDED, State.VOIDED, Step.NONE, Change.NOTHING),
]


@pytest.mark.parametrize("row", CAPTURING)
def test_what_becomes_of_a_capture(
    row: tuple[Status, Stage, Attempt.State, Step, Change],
) -> None:
    status, stage, then, step, change = row
    facts = Facts(status, State.CAPTURING, capturing=status == Status.HELD)
    assert judge(facts, stage, agrees=True) == Verdict(then, step, change)


@pytest.mark.parametrize("stage", Stage)
@pytest.mark.parametrize("status", [Status.CONFIRMED, Status.CANCELLED])
def test_what_is_captured_goes_no_other_way_than_back(status: Status, stage: Stage) -> None:
    verdict = judge(Facts(status, State.CAPTURED, False), stage, agrees=True)
    if stage is Stage.REFUNDED:
        assert verdict.state == State.REFUNDED
        assert bool(verdict.problem) == (status == Status.CONFIRMED)
    elif stage is Stage.CAPTURED and status == Status.CANCELLED:
        assert (verdict.state, verdict.step) == (State.REFUND_PENDING, Step.REFUND)
    else:
        assert (verdict.state, verdict.step) == (State.CAPTURED, Step.NONE)
        assert bool(verdict.problem) == (stage in (Stage.VOIDED, Stage.FAILED))


def test_an_expired_order_whose_units_are_gone_is_not_paid() -> None:
    facts = Facts(Status.EXPIRED, State.CREATED, False, room=False)
    assert judge(facts, Stage.AUTHORISED, True) == Verdict(State.AUTHORISED, Step.VOID)
    assert judge(facts, Stage.CAPTURED, True) == Verdict(State.REFUND_PENDING, Step.REFUND)


def test_an_open_page_is_closed_some_time_after_the_hold() -> None:
    facts = Facts(Status.EXPIRED, State.CREATED, False)
    assert judge(facts, Stage.OPEN, True).step is Step.NONE
    assert judge(facts._replace(late=True), Stage.OPEN, True).step is Step.VOID


def test_a_second_captured_payment_goes_back() -> None:
    facts = Facts(Status.CONFIRMED, State.CREATED, False, paid=True)
    assert judge(facts, Stage.CAPTURED, True).step is Step.REFUND


EVERYTHING = [
    (Facts(status, state, capturing, paid, late, room), stage, agrees)
    for status, state, stage in itertools.product(Status, State, Stage)
    for capturing, paid, late, room, agrees in itertools.product([False, True], repeat=5)
    if not capturing or status == Status.HELD
]


def test_another_amount_confirms_and_captures_nothing() -> None:
    for facts, stage, agrees in EVERYTHING:
        if not agrees and facts.state != State.CAPTURED:
            verdict = judge(facts, stage, agrees)
            assert verdict.state != State.CAPTURED, (facts, stage)
            assert verdict.step is not Step.CAPTURE, (facts, stage)
            assert verdict.change not in (Change.CONFIRM, Change.REVIVE, Change.BEGIN)


def test_a_capture_is_made_only_under_a_hold_that_captures_this_payment() -> None:
    for facts, stage, agrees in EVERYTHING:
        verdict = judge(facts, stage, agrees)
        if verdict.step is Step.CAPTURE:
            mine = facts.capturing and facts.state == State.CAPTURING
            assert mine or verdict.change in (Change.BEGIN, Change.REVIVE), (facts, stage)
            assert stage is Stage.AUTHORISED


def test_a_hold_captures_for_as_long_as_its_attempt_does() -> None:
    for facts, stage, agrees in EVERYTHING:
        if not (facts.capturing and facts.state == State.CAPTURING):
            continue
        verdict = judge(facts, stage, agrees)
        stays = verdict.state == State.CAPTURING
        assert stays == (verdict.change is Change.NOTHING), (facts, stage, verdict)


def test_money_that_the_provider_has_ends_at_the_shop_or_goes_back() -> None:
    """Nothing is forgotten: what is captured is confirmed, waits for another capture, or is refunded."""
    for facts, stage, agrees in EVERYTHING:
        if stage is not Stage.CAPTURED or facts.state == State.REFUNDED:
            continue
        verdict = judge(facts, stage, agrees)
        kept = verdict.state == State.CAPTURED
        assert (
            kept
            or verdict.change is Change.REVIVE
            or verdict.step is Step.REFUND
            or (facts.capturing and verdict.state == State.AUTHORISED)
        ), (facts, stage, verdict)


def test_money_that_is_reserved_is_taken_or_given_up() -> None:
    for facts, stage, agrees in EVERYTHING:
        if stage is not Stage.AUTHORISED or facts.state in (
            *(State.CAPTURED, State.REFUND_PENDING, State.REFUNDED),
        ):
            continue
        verdict = judge(facts, stage, agrees)
        waits = facts.capturing and verdict.state == State.AUTHORISED
        assert verdict.step in (Step.CAPTURE, Step.VOID) or waits, (facts, verdict)
