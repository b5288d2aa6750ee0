"""Orders that are paid at Stripe: whatever the network and Stripe lose, every payment comes to its end, and
the money at Stripe agrees with the orders."""

from collections.abc import Callable
from typing import Any

import pytest

from conftest import MakeSale
from orders import reconciliation
from orders.models import Order
from orders.order_status import Status
from payments import events, paying
from payments.paying import Unavailable
from payments.providers import registry
from payments.providers.guard import Guarded
from payments.providers.stripe import Stripe
from payments.reconciliation import check_payments
from payments.tests.cast import (
    attempt_of,
    begin,
    cancel,
    end_payments_of_other_tests,
    expire,
    held,
    paid_sale,
    reconcile,
    states,
)
from tests.payments.fake_stripe import FakeStripe
from tests.payments.stripe_faults import ACTS

ENDS = {"captured", "voided", "failed", "refunded"}
# One of each sort is tried each time: lost on either way, not now, and a failure that is kept.
OFTEN = ("drop_after", "hang_before", "busy", "error_before")
KINDS = [kind if kind in OFTEN else pytest.param(kind, marks=pytest.mark.deep) for kind in ACTS]


Plan = Callable[..., None]


@pytest.fixture(autouse=True)
def shop(provider: Stripe, settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A shop whose sales are paid at the fake, without a circuit that opens after so many faults."""
    end_payments_of_other_tests()
    settings.PAYMENT_PROVIDERS = ["demo", "stripe"]
    monkeypatch.setattr("payments.providers.guard.FAILURES", 1000)
    monkeypatch.setitem(registry._made, "stripe", Guarded(provider, 0))


@pytest.fixture
def plan(fake: FakeStripe, impatient: Stripe, monkeypatch: pytest.MonkeyPatch) -> Plan:
    """Plan faults of an endpoint. Only from a call that hangs on is the shop impatient: a busy machine
    may take longer for any call."""

    def plan(endpoint: str, *kinds: str) -> None:
        if any("hang" in kind for kind in kinds):
            monkeypatch.setitem(registry._made, "stripe", Guarded(impatient, 0))
        fake.faults.plan(endpoint, *kinds)

    return plan


@pytest.fixture
def order(make_sale: MakeSale) -> Order:
    [order] = held(paid_sale(make_sale, provider="stripe"))
    return order


def come_to_an_end(order: Order, rounds: int = 16) -> None:
    for _ in range(rounds):
        reconcile(1)
        if set(states(order)) <= ENDS:
            return
    raise AssertionError(f"no end: {states(order)}")


def assert_something_went_wrong(fake: FakeStripe, endpoint: str, planned: int) -> None:
    left = 0
    while fake.faults.take(endpoint):
        left += 1
    assert left < planned


def assert_money_agrees(order: Order, fake: FakeStripe) -> None:
    order.refresh_from_db()
    lines = fake.ledger()
    kept = sum(line["captured"] - line["refunded"] for line in lines)
    assert kept == (order.total if order.status == Status.CONFIRMED else 0), (order.status, lines)
    for line in lines:
        assert line["authorised"] == line["captured"] + line["released"], line
    report = reconciliation.Report()
    check_payments(order.sale_id, report)
    assert report.faults == {}


def test_a_payment_confirms_its_order(order: Order, fake: FakeStripe) -> None:
    begin(order)
    fake.pay(attempt_of(order).reference)
    paying.returned(order.pk)
    order.refresh_from_db()
    assert (order.status, states(order)) == (Status.CONFIRMED, ["captured"])
    assert_money_agrees(order, fake)


@pytest.mark.parametrize("kind", [*KINDS, "wrong_amount", "wrong_currency"])
def test_a_capture_that_goes_wrong_comes_to_its_end(
    order: Order, fake: FakeStripe, plan: Plan, kind: str
) -> None:
    begin(order)
    fake.pay(attempt_of(order).reference)
    plan("capture_intent", kind, kind)
    come_to_an_end(order)
    assert_something_went_wrong(fake, "capture_intent", 2)
    assert states(order) == ["refunded" if kind.startswith("wrong") else "captured"]
    assert_money_agrees(order, fake)


@pytest.mark.parametrize("kind", KINDS)
def test_a_refund_that_goes_wrong_is_made_once(
    order: Order, fake: FakeStripe, plan: Plan, kind: str
) -> None:
    begin(order)
    fake.pay(attempt_of(order).reference)
    paying.returned(order.pk)
    cancel(order)
    plan("create_refund", kind, kind)
    come_to_an_end(order)
    assert_something_went_wrong(fake, "create_refund", 2)
    assert states(order) == ["refunded"]
    [line] = fake.ledger()
    assert line["refunded"] == order.total
    assert_money_agrees(order, fake)


@pytest.mark.parametrize("kind", KINDS)
def test_an_authorisation_that_comes_too_late_is_voided(
    order: Order, fake: FakeStripe, plan: Plan, kind: str
) -> None:
    begin(order)
    expire([order])
    held(order.sale)  # its unit is another shopper's now
    fake.pay(attempt_of(order).reference)
    plan("cancel_intent", kind, kind)
    come_to_an_end(order)
    assert_something_went_wrong(fake, "cancel_intent", 2)
    assert states(order) == ["voided"]
    assert_money_agrees(order, fake)


@pytest.mark.parametrize("kind", KINDS)
def test_a_start_that_goes_wrong_is_made_again(
    order: Order, fake: FakeStripe, plan: Plan, kind: str
) -> None:
    plan("create_session", kind)
    for _ in range(10):
        try:
            begin(order)
            break
        except Unavailable:
            reconcile(1)
    fake.pay(attempt_of(order).reference)
    come_to_an_end(order)
    assert_something_went_wrong(fake, "create_session", 1)
    assert states(order)[-1] == "captured"
    assert_money_agrees(order, fake)


def test_an_event_of_stripe_has_its_payment_asked_about(order: Order, fake: FakeStripe) -> None:
    begin(order)
    fake.pay(attempt_of(order).reference)
    for event in fake.events.made:
        for _ in range(2):
            events.receive("stripe", *fake.events.signed(event))
    come_to_an_end(order)
    assert states(order) == ["captured"]
    assert_money_agrees(order, fake)
