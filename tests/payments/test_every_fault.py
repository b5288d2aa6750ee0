"""Every fault of Stripe in every situation of an order: all comes to an end, and Stripe's ledger agrees
with our books: the price of each confirmed order, and nothing of any other."""

import itertools
from collections.abc import Callable, Iterator
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st
from pytest_django import Settings

from conftest import MakeSale
from inventory.models import Sale
from orders import reconciliation, sale_lifecycle
from orders.models import Order
from orders.order_status import Status
from payments import events, paying
from payments.models import Attempt
from payments.providers import registry
from payments.providers.stripe import Stripe
from payments.reconciliation import check_payments
from payments.tests.cast import (
    attempt_of,
    begin,
    cancel,
    end_payments_of_other_tests,
    expire,
    held,
    reconcile,
)
from tests.cast import run_caretaker
from tests.payments.fake_stripe import FakeStripe
from tests.payments.stripe_faults import ACTS, ENDPOINTS

FAULTS = [*(fault for fault in ACTS if "hang" not in fault and fault != "delay"), "wrong_amount"]
FAULTS += ["wrong_currency"]


@pytest.fixture
def shop(provider: Stripe, settings: Settings) -> Iterator[None]:
    """Sales may name Stripe, which is the fake."""
    end_payments_of_other_tests()
    settings.PAYMENT_PROVIDERS = ["demo", "stripe"]
    with patch.dict(registry._made, {"stripe": provider}):
        yield


def stripe_sale(make_sale: MakeSale, stock: int) -> Sale:
    sale = make_sale(stock=stock, live=False, hold=10)
    sale.payment = "stripe"
    sale.save()
    sale_lifecycle.schedule(sale.pk, by="staff")
    run_caretaker()
    sale.refresh_from_db()
    return sale


# --- Situations: what the shopper and the shop do -------------------------------------------------


def pay(fake: FakeStripe, order: Order) -> None:
    """Pay, unless the page is closed."""
    reference = attempt_of(order).reference
    if fake.books.session(reference)["status"] == "open":
        fake.pay(reference)


def in_time(fake: FakeStripe, order: Order) -> None:
    pay(fake, order)


def never(fake: FakeStripe, order: Order) -> None:
    expire([order])


def late(fake: FakeStripe, order: Order) -> None:
    expire([order])
    pay(fake, order)


def too_late(fake: FakeStripe, order: Order) -> None:
    """Another shopper has the unit by now."""
    expire([order])
    held(order.sale, 1)
    pay(fake, order)


def cancelled_before(fake: FakeStripe, order: Order) -> None:
    cancel(order)
    pay(fake, order)


def cancelled_after(fake: FakeStripe, order: Order) -> None:
    pay(fake, order)
    reconcile(2)
    cancel(order)


def declined_first(fake: FakeStripe, order: Order) -> None:
    fake.decline(attempt_of(order).reference)
    paying.returned(order.pk)
    pay(fake, order)


SITUATIONS: list[Callable[[FakeStripe, Order], None]] = [
    *(in_time, never, late, too_late, cancelled_before, cancelled_after, declined_first)
]
CONFIRMED = (in_time, late, declined_first)  # how these end, unless another amount was captured


def start(order: Order) -> None:
    for _ in range(5):
        try:
            begin(order)
        except paying.Unavailable:
            continue
        return
    raise AssertionError("it could not be begun")


def deliver(fake: FakeStripe, plan: str, since: int) -> None:
    """Have the events made since then arrive: never, twice, or youngest first."""
    made = fake.events.made[since:]
    arriving = {"lost": [], "twice": made * 2, "reordered": made[::-1], "in order": made}[plan]
    for event in arriving:
        events.receive("stripe", *fake.events.signed(event))


def check(fake: FakeStripe, order: Order) -> None:
    order.refresh_from_db()
    mine = {str(pk) for pk in Attempt.objects.filter(order=order).values_list("pk", flat=True)}
    lines = [line for line in fake.ledger() if line["attempt"] in mine]
    kept = sum(line["captured"] - line["refunded"] for line in lines)
    why = (
        order.status,
        list(Attempt.objects.filter(order=order).values("state", "problem")),
        lines,
    )
    assert kept == (order.total if order.status == Status.CONFIRMED else 0), why
    assert all(line["captured"] or line["released"] for line in lines), why  # nothing is still held
    assert not order.capturing, why


def check_books(sale: Sale) -> None:
    report = reconciliation.Report()
    reconciliation.check_rules(sale.pk, report)
    check_payments(sale.pk, report)
    assert report.faults == {}


def cases() -> list[Any]:
    """All pairs; those that are not tried each time have the mark `deep`."""
    often = [(in_time, "drop_after"), (too_late, "error_after"), (cancelled_after, "drop_after")]
    return [
        pytest.param(
            situation,
            fault,
            id=f"{situation.__name__}-{fault}",
            marks=[] if (situation, fault) in often else pytest.mark.deep,
        )
        for situation, fault in itertools.product(SITUATIONS, FAULTS)
    ]


@pytest.mark.parametrize(("situation", "fault"), cases())
def test_each_fault_at_each_endpoint_comes_to_an_end(
    shop: None,
    fake: FakeStripe,
    make_sale: MakeSale,
    situation: Callable[[FakeStripe, Order], None],
    fault: str,
) -> None:
    endpoints = ["capture_intent"] if fault.startswith("wrong") else ENDPOINTS
    sale = stripe_sale(make_sale, len(endpoints))
    for order, endpoint in zip(held(sale, len(endpoints)), endpoints, strict=True):
        fake.faults.plan(endpoint, fault)
        start(order)
        situation(fake, order)
        reconcile(6)
        check(fake, order)
        if situation in CONFIRMED and not fault.startswith("wrong"):
            assert order.status == Status.CONFIRMED, endpoint
        fake.faults.clear()
    check_books(sale)


def test_an_event_that_is_lost_is_found_again(
    shop: None, fake: FakeStripe, make_sale: MakeSale
) -> None:
    [order] = held(stripe_sale(make_sale, 1), 1)
    start(order)
    pay(fake, order)
    reconcile(1)
    check(fake, order)
    assert order.status == Status.CONFIRMED


scripts = st.lists(
    st.tuples(
        st.sampled_from(SITUATIONS),
        st.lists(st.tuples(st.sampled_from(ENDPOINTS), st.sampled_from(FAULTS)), max_size=5),
        st.sampled_from(["lost", "twice", "reordered", "in order"]),
        st.sampled_from(["succeeded", "pending"]),
    ),
    min_size=1,
    max_size=4,
)


@pytest.mark.deep
@examples(
    max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(script=scripts)
def test_any_faults_in_any_order_come_to_an_end(
    shop: None,
    fake: FakeStripe,
    make_sale: MakeSale,
    script: list[tuple[Callable[[FakeStripe, Order], None], list[tuple[str, str]], str, str]],
) -> None:
    sale = stripe_sale(make_sale, len(script))
    for order, (situation, faults, plan, refunds_end) in zip(
        held(sale, len(script)), script, strict=True
    ):
        start(order)
        fake.books.refunds_end, since = refunds_end, len(fake.events.made)
        for endpoint, fault in faults:
            fake.faults.plan(endpoint, fault)
        situation(fake, order)
        deliver(fake, plan, since)
        reconcile(4)
        fake.faults.clear()
        end_refunds(fake)
        reconcile(3)
        check(fake, order)
    check_books(sale)


def end_refunds(fake: FakeStripe) -> None:
    for refund in fake.books.all("refund"):
        if refund["status"] == "pending":
            fake.books.end_refund(refund["id"], "succeeded")
