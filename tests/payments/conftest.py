"""A fake of Stripe, and the provider that is connected to it."""

from collections.abc import Iterator
from itertools import count

import pytest
from pytest_django import Settings

from payments.providers import stripe
from payments.providers.base import Order
from payments.providers.stripe import Stripe
from tests.payments.fake_stripe import KEY, SECRET, FakeStripe

_numbers = count(1)


@pytest.fixture
def fake() -> Iterator[FakeStripe]:
    with FakeStripe() as fake:
        yield fake


@pytest.fixture
def provider(fake: FakeStripe, settings: Settings) -> Stripe:
    settings.STRIPE_API_BASE = fake.url
    settings.STRIPE_SECRET_KEY = KEY
    settings.STRIPE_WEBHOOK_SECRETS = ["whsec_newer", SECRET]
    settings.STRIPE_PAYMENT_METHODS = ["card"]
    return Stripe()


@pytest.fixture
def impatient(provider: Stripe, monkeypatch: pytest.MonkeyPatch) -> Stripe:
    """The same, for calls that hang: they shall not keep a test waiting."""
    monkeypatch.setattr(stripe, "READ_TIMEOUT", 0.5)
    return Stripe()


def order(amount: int = 12900, currency: str = "EUR", seconds: int = 600, **other: str) -> Order:
    """An order of its own for each payment."""
    number = next(_numbers)
    words = {
        "key": f"attempt-{number}",
        "title": "Pair, size 42",
        "reference": f"REF-{number}",
        "back": "https://shop.example/orders/1/checkout/back",
        "language": "de",
        "email": "ada@shop.example",
    }
    return Order(amount=amount, currency=currency, seconds=seconds, **(words | other))
