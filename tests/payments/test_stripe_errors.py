"""What is said when a call of Stripe fails: enough for staff, nothing about a person or a key."""

import logging

import pytest
from pytest_django import Settings

from payments.providers import stripe
from payments.providers.base import Busy, NotKnown, Refused
from payments.providers.stripe import Stripe
from tests.payments.conftest import order
from tests.payments.fake_stripe import FakeStripe


def test_a_wrong_key_decides_no_payment(fake: FakeStripe, settings: Settings) -> None:
    settings.STRIPE_API_BASE = fake.url
    settings.STRIPE_SECRET_KEY = "sk_live_wrong_key"
    with pytest.raises(Busy, match="STRIPE_SECRET_KEY") as raised:
        Stripe().fetch("cs_test_1")
    assert "key" not in str(raised.value).replace("STRIPE_SECRET_KEY", "")


def test_errors_name_no_person(provider: Stripe) -> None:
    with pytest.raises(Refused) as raised:
        provider.start(order(email="ada-at-home"))
    assert str(raised.value).startswith("InvalidRequestError 400 email_invalid customer_email req_")
    # The cause has the whole answer, and would be logged with the error.
    assert (raised.value.__cause__, raised.value.__suppress_context__) == (None, True)


def test_an_unknown_payment_is_refused(provider: Stripe) -> None:
    with pytest.raises(NotKnown, match="resource_missing"):
        provider.fetch("cs_test_unknown")


def test_the_package_logs_nothing_that_it_sends(
    provider: Stripe, fake: FakeStripe, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    provider.start(order())
    with pytest.raises(Refused):
        provider.start(order(email="ada-at-home"))
    assert "ada@shop" not in caplog.text
    assert "ada-at-home" not in caplog.text


def test_calls_are_bounded_in_time() -> None:
    assert stripe.CONNECT_TIMEOUT <= 5
    assert stripe.READ_TIMEOUT <= 15
