"""The fake of Stripe answers in Stripe's shapes, and runs by itself."""

import signal
import subprocess
import sys

import httpx
import pytest
import stripe as package
from pytest_django import Settings

from payments.providers.base import NoAnswer, Stage
from payments.providers.stripe import Stripe
from tests import deadlines
from tests.payments.conftest import order
from tests.payments.fake_stripe import KEY, FakeStripe
from tests.payments.stripe_shapes import OBJECTS, misshapen
from tests.stack import ROOT


def sent(fake: FakeStripe) -> list[dict[str, object]]:
    """Every object that the fake has, as it would send it."""
    objects = [fake.api.shown(thing, []) for thing in fake.books.objects.values()]
    return [*objects, *fake.events.made]


def test_all_objects_have_the_shapes_that_stripe_publishes(
    provider: Stripe, fake: FakeStripe
) -> None:
    kinds = set()
    for end in ("captured", "voided", "declined", "expired", "open"):
        reference = provider.start(order()).reference
        if end == "declined":
            fake.decline(reference)
        if end in ("captured", "voided"):
            fake.pay(reference)
        if end == "captured":
            provider.capture(reference, 12900, "EUR", end)
            for fake.books.refunds_end in ("failed", "pending"):
                provider.refund(reference, 12900, "EUR", end)
        if end in ("voided", "expired"):
            provider.void(reference, end)
        for thing in sent(fake):
            kinds.add(thing["object"])
            assert list(misshapen(thing, OBJECTS[str(thing["object"])], str(thing["object"]))) == []
    assert kinds == OBJECTS.keys()


def test_a_shape_that_is_not_stripes_is_found(provider: Stripe, fake: FakeStripe) -> None:
    session = fake.books.session(provider.start(order()).reference)
    sound = fake.api.shown(session, [])
    for wrong in (
        {"status": "closed"},
        {"amount_total": "12900"},
        {"shopper": "ada"},
        {"payment_status": None},
        {"expires_at": 1.5},
    ):
        assert list(misshapen(sound | wrong, package.checkout.Session, "session"))


def test_a_parameter_that_stripe_does_not_know_is_refused(fake: FakeStripe) -> None:
    client = package.StripeClient(KEY, base_addresses={"api": fake.url})
    with pytest.raises(package.InvalidRequestError, match=r"line_items\[0\]\[price_dat\]"):
        client.raw_request("post", "/v1/checkout/sessions", line_items=[{"price_dat": {"a": "b"}}])


def test_a_key_is_refused_for_other_parameters(fake: FakeStripe) -> None:
    headers = {"Authorization": f"Bearer {KEY}", "Idempotency-Key": "a"}
    url = f"{fake.url}/v1/refunds"
    first = httpx.post(url, data={"payment_intent": "pi_1"}, headers=headers)
    again = httpx.post(url, data={"payment_intent": "pi_1"}, headers=headers)
    other = httpx.post(url, data={"payment_intent": "pi_2"}, headers=headers)
    assert (first.status_code, first.headers.get("Idempotent-Replayed")) == (404, None)
    assert (again.content, again.headers["Idempotent-Replayed"]) == (first.content, "true")
    assert other.json()["error"]["type"] == "idempotency_error"


def test_it_runs_by_itself(settings: Settings) -> None:
    command = [sys.executable, "-m", "tests.payments.fake_stripe", "--port", "0"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout
        said = dict(process.stdout.readline().strip().split("=") for _ in range(3))
        for name, value in said.items():
            setattr(settings, name, value)
        settings.STRIPE_WEBHOOK_SECRETS = [said["STRIPE_WEBHOOK_SECRETS"]]
        provider, url = Stripe(), said["STRIPE_API_BASE"]
        started = provider.start(order())
        assert "129" in httpx.get(started.url).text
        assert "declined" in httpx.post(started.url, data={"outcome": "decline"}).text
        back = httpx.post(started.url, data={"outcome": "pay"})
        assert back.headers["Location"] == "https://shop.example/orders/1/checkout/back"
        httpx.post(f"{url}/faults", data={"endpoint": "capture_intent", "kind": "drop_after"})
        with pytest.raises(NoAnswer):
            provider.capture(started.reference, 12900, "EUR", "a")
        assert provider.fetch(started.reference).stage is Stage.CAPTURED
        (line,) = httpx.get(f"{url}/ledger").json()["payments"]
        assert (line["authorised"], line["captured"]) == (12900, 12900)
        assert len(httpx.get(f"{url}/events").json()["made"]) == 4
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(deadlines.seconds(30)) == 0
