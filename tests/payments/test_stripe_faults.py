"""Whatever the network and Stripe lose: what is repeated under the same key acts once, and money agrees."""

import contextlib
from collections.abc import Callable
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st
from pytest_django import Settings

from payments.providers import stripe
from payments.providers.base import Busy, NoAnswer, ProviderError, Refused, Stage
from payments.providers.stripe import Stripe
from tests.payments.conftest import order
from tests.payments.fake_stripe import FakeStripe
from tests.payments.stripe_faults import ACTS, ENDPOINTS

EXPECTED: dict[str, type[ProviderError] | None] = {
    "drop_before": NoAnswer,
    "drop_after": NoAnswer,
    "hang_before": NoAnswer,
    "hang_after": NoAnswer,
    "delay": None,
    "busy": Busy,
    "in_use": NoAnswer,
    "error_before": NoAnswer,
    "error_after": NoAnswer,
}


class Call(NamedTuple):
    """A call that changes a payment, the endpoint that does it, and what the ledger says afterwards."""

    endpoint: str
    prepare: Callable[[Stripe, FakeStripe, str], object]
    act: Callable[[Stripe, str], object]
    figures: tuple[int, int, int]  # captured, released, refunded


def nothing(provider: Stripe, fake: FakeStripe, reference: str) -> None:
    pass


def pay(provider: Stripe, fake: FakeStripe, reference: str) -> None:
    fake.pay(reference)


def capture(provider: Stripe, fake: FakeStripe, reference: str) -> None:
    fake.pay(reference)
    provider.capture(reference, 12900, "EUR", "first")


CALLS = {
    "capture": Call(
        "capture_intent",
        pay,
        lambda provider, reference: provider.capture(reference, 12900, "EUR", "a").stage,
        (12900, 0, 0),
    ),
    "cancel": Call(
        "cancel_intent",
        pay,
        lambda provider, reference: provider.void(reference, "a").stage,
        (0, 12900, 0),
    ),
    "expire": Call(
        "expire_session",
        nothing,
        lambda provider, reference: provider.void(reference, "a").stage,
        (0, 0, 0),
    ),
    "refund": Call(
        "create_refund",
        capture,
        lambda provider, reference: provider.refund(reference, 12900, "EUR", "a").done,
        (12900, 0, 12900),
    ),
}
DONE = {"capture": Stage.CAPTURED, "cancel": Stage.VOIDED, "expire": Stage.FAILED, "refund": True}


def test_every_fault_has_its_error() -> None:
    assert EXPECTED.keys() == ACTS.keys()


@pytest.mark.parametrize("fault", EXPECTED)
@pytest.mark.parametrize("name", CALLS)
def test_a_call_that_fails_is_repeated_and_has_acted_once(
    provider: Stripe, impatient: Stripe, fake: FakeStripe, name: str, fault: str
) -> None:
    call = CALLS[name]
    reference = provider.start(order()).reference
    call.prepare(provider, fake, reference)
    fake.faults.plan(call.endpoint, fault)
    expected = EXPECTED[fault]
    if expected:
        with pytest.raises(expected):
            call.act(impatient if "hang" in fault else provider, reference)
    assert call.act(provider, reference) == DONE[name]
    assert call.act(provider, reference) == DONE[name]
    assert figures(fake) == call.figures


@pytest.mark.parametrize("fault", EXPECTED)
def test_a_start_that_fails_is_repeated_and_can_be_paid_once(
    provider: Stripe, impatient: Stripe, fake: FakeStripe, fault: str
) -> None:
    about, expected = order(), EXPECTED[fault]
    fake.faults.plan("create_session", fault)
    if expected:
        with pytest.raises(expected):
            (impatient if "hang" in fault else provider).start(about)
    started = provider.start(about)
    assert provider.start(about) == started
    fake.pay(started.reference)
    assert [line["session"] for line in fake.ledger()] == [started.reference]


@pytest.mark.parametrize("fault", ["drop_before", "busy", "error_before"])
@pytest.mark.parametrize("endpoint", ["retrieve_session", "retrieve_refund", "list_refunds"])
def test_a_question_that_fails_decides_nothing(
    provider: Stripe, fake: FakeStripe, endpoint: str, fault: str
) -> None:
    reference = provider.start(order()).reference
    capture(provider, fake, reference)
    refund = provider.refund(reference, 12900, "EUR", "a").reference
    fake.faults.plan(endpoint, fault)
    ask: Callable[[], object] = {
        "retrieve_session": lambda: provider.fetch(reference),
        "retrieve_refund": lambda: provider.fetch_refund(reference, refund),
        "list_refunds": lambda: provider.refund(reference, 12900, "EUR", "b"),
    }[endpoint]
    with pytest.raises(EXPECTED[fault] or ProviderError):
        ask()
    ask()
    assert figures(fake) == (12900, 0, 12900)


def test_a_server_that_is_away_is_no_answer(provider: Stripe, settings: Settings) -> None:
    with FakeStripe() as gone:
        settings.STRIPE_API_BASE = gone.url
    with pytest.raises(NoAnswer):
        Stripe().start(order())


def test_errors_that_stripe_keeps_under_a_key_do_not_last_for_a_day(
    provider: Stripe, fake: FakeStripe
) -> None:
    """The twin is `test_with_one_key_a_kept_error_lasts`."""
    reference = provider.start(order()).reference
    fake.pay(reference)
    fake.faults.plan("capture_intent", "error_before", "", "error_before")
    for _ in range(2):
        with pytest.raises(NoAnswer):
            provider.capture(reference, 12900, "EUR", "a")
    assert provider.capture(reference, 12900, "EUR", "a").stage is Stage.CAPTURED
    assert figures(fake) == (12900, 0, 0)


def test_with_one_key_a_kept_error_lasts(
    provider: Stripe, fake: FakeStripe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stripe, "_KEYS_TRIED", 1)
    reference = provider.start(order()).reference
    fake.pay(reference)
    fake.faults.plan("capture_intent", "error_before")
    for _ in range(3):
        with pytest.raises(NoAnswer):
            provider.capture(reference, 12900, "EUR", "a")


# --- Any faults in any order ----------------------------------------------------------------------

FAULTS = [fault for fault in ACTS if not fault.startswith("hang") and fault != "delay"]
STEPS = ("start", "fetch", "capture", "void", "refund", "pay", "decline", "lapse", "forget")
scripts = st.lists(
    st.tuples(
        st.sampled_from(STEPS),
        st.dictionaries(st.sampled_from(ENDPOINTS), st.sampled_from(FAULTS), max_size=2),
        st.sampled_from(["succeeded", "pending", "failed"]),
    ),
    max_size=8,
)


class Player:
    """One payment, and what a shop and a shopper do with it."""

    def __init__(self, provider: Stripe, fake: FakeStripe) -> None:
        self.provider, self.fake = provider, fake
        self.about = order()
        self.key = self.about.key
        self.forgotten = False
        self.reference = provider.start(self.about).reference

    def step(self, name: str) -> None:
        provider, fake, reference = self.provider, self.fake, self.reference
        session = fake.books.session(reference)
        if name == "start" and not self.forgotten:  # it is not repeated a day later
            assert provider.start(self.about).reference == reference
        elif name == "capture":
            provider.capture(reference, 12900, "EUR", self.key)
        elif name == "void":
            provider.void(reference, self.key)
        elif name == "refund":
            provider.refund(reference, 12900, "EUR", self.key)
        elif name == "fetch":
            self.check()
        elif name in ("pay", "decline") and session["status"] == "open":
            getattr(fake, name)(reference)
        elif name == "lapse" and provider.fetch(reference).stage is Stage.AUTHORISED:
            fake.books.lapse(reference)
        elif name == "forget" and session["status"] != "open":
            fake.api.forget_keys()  # a day later: by then the session has ended
            self.forgotten = True

    def check(self) -> None:
        """What the provider reports is what happened to the money."""
        seen = self.provider.fetch(self.reference)
        lines = [line for line in self.fake.ledger() if line["session"] == self.reference]
        if not lines:
            assert seen.stage in (Stage.OPEN, Stage.FAILED)
            return
        (line,) = lines
        assert line["captured"] + line["released"] in (0, line["authorised"])
        assert line["refunded"] in (0, line["captured"])
        held = not line["captured"] and not line["released"]
        assert (seen.stage is Stage.AUTHORISED) == held
        assert (seen.stage is Stage.VOIDED) == bool(line["released"])
        assert (seen.stage is Stage.REFUNDED) == bool(line["refunded"])

    def end(self) -> None:
        """Give all money back, as a cancelled order's is, and look at the ledger."""
        seen = self.provider.void(self.reference, self.key)
        if seen.stage is Stage.CAPTURED:
            refund = self.provider.refund(self.reference, 12900, "EUR", self.key)
            if not refund.done:
                self.fake.books.end_refund(refund.reference, "succeeded")
        self.check()
        assert self.provider.fetch(self.reference).stage in (
            Stage.VOIDED,
            Stage.FAILED,
            Stage.REFUNDED,
        )


LESS = examples(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@LESS
@given(script=scripts)
def test_whatever_is_lost_the_money_agrees(
    provider: Stripe, fake: FakeStripe, script: list[tuple[str, dict[str, str], str]]
) -> None:
    play(provider, fake, script)


@pytest.mark.deep
@examples(LESS, max_examples=100)
@given(script=scripts)
def test_whatever_is_lost_the_money_agrees_many_times(
    provider: Stripe, fake: FakeStripe, script: list[tuple[str, dict[str, str], str]]
) -> None:
    play(provider, fake, script)


def play(provider: Stripe, fake: FakeStripe, script: list[tuple[str, dict[str, str], str]]) -> None:
    player = Player(provider, fake)
    for name, faults, refunds_end in script:
        fake.books.refunds_end = refunds_end
        for endpoint, fault in faults.items():
            fake.faults.plan(endpoint, fault)
        with contextlib.suppress(NoAnswer, Busy, Refused):
            player.step(name)
        fake.faults.clear()
        player.check()
    fake.books.refunds_end = "succeeded"
    player.end()


def figures(fake: FakeStripe) -> tuple[int, int, int]:
    lines = fake.ledger()
    assert len(lines) <= 1
    return (
        sum(line["captured"] for line in lines),
        sum(line["released"] for line in lines),
        sum(line["refunded"] for line in lines),
    )
