"""Events of Stripe: what is genuine is read, all else is refused."""

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from pytest_django import Settings

from payments.providers.base import Event, Forged
from payments.providers.stripe import TOLERANCE, Stripe
from tests.payments.conftest import order
from tests.payments.fake_stripe import FakeStripe
from tests.stack import wait_for


@pytest.fixture
def completed(provider: Stripe, fake: FakeStripe) -> dict[str, object]:
    """The event of a session that was paid."""
    fake.pay(provider.start(order()).reference)
    return fake.events.made[0]


def test_an_event_names_the_payment(
    provider: Stripe, fake: FakeStripe, completed: dict[str, object]
) -> None:
    (session,) = (o for o in fake.books.objects.values() if o["object"] == "checkout.session")
    read = provider.read_event(*fake.events.signed(completed))
    key = session["client_reference_id"]
    assert read == Event("evt_000001", "checkout.session.completed", session["id"], key)


def test_the_event_of_a_refund_names_the_payment(provider: Stripe, fake: FakeStripe) -> None:
    reference = provider.start(order()).reference
    fake.pay(reference)
    provider.capture(reference, 12900, "EUR", "a")
    provider.refund(reference, 12900, "EUR", "a")
    read = provider.read_event(*fake.events.signed(fake.events.made[-1]))
    assert (read.kind, read.reference) == ("refund.updated", reference)


def test_an_event_of_something_else_names_none(provider: Stripe, fake: FakeStripe) -> None:
    about = {"object": {"id": "po_1", "object": "payout"}}
    event = {"id": "evt_1", "object": "event", "type": "payout.paid", "data": about}
    assert provider.read_event(*fake.events.signed(event)).reference == ""


def test_headers_are_found_however_they_are_spelt(
    provider: Stripe, fake: FakeStripe, completed: dict[str, object]
) -> None:
    body, headers = fake.events.signed(completed)
    upper = {name.upper(): value for name, value in headers.items()}
    assert provider.read_event(body, upper).event_id == "evt_000001"


@pytest.mark.parametrize(
    "signature",
    ["", "t=1", "v1=00", "t=1,v1=00", "t=x,v1=00", "t=99999999999,v1=é", "t=1,v1", "\u2603"],
)
def test_an_event_without_a_valid_signature_is_forged(
    provider: Stripe, fake: FakeStripe, completed: dict[str, object], signature: str
) -> None:
    body, _ = fake.events.signed(completed)
    with pytest.raises(Forged):
        provider.read_event(body, {"Stripe-Signature": signature})


def test_a_changed_event_is_forged(
    provider: Stripe, fake: FakeStripe, completed: dict[str, object]
) -> None:
    body, headers = fake.events.signed(completed)
    for forged in (body.replace(b"12900", b"1"), body[:-1], b"", b"\xff\xfe"):
        with pytest.raises(Forged):
            provider.read_event(forged, headers)


def test_an_old_event_is_forged(
    provider: Stripe, fake: FakeStripe, completed: dict[str, object]
) -> None:
    provider.read_event(*fake.events.signed(completed, time.time() - TOLERANCE + 60))
    with pytest.raises(Forged):
        provider.read_event(*fake.events.signed(completed, time.time() - TOLERANCE - 60))


def test_without_a_secret_every_event_is_forged(
    fake: FakeStripe, settings: Settings, completed: dict[str, object]
) -> None:
    settings.STRIPE_WEBHOOK_SECRETS = []
    with pytest.raises(Forged):
        Stripe().read_event(*fake.events.signed(completed))


# --- The fake sends them --------------------------------------------------------------------------


class Webhook(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Taking)
        self.got: list[tuple[bytes, dict[str, str]]] = []
        self.failures = 0  # how many of the next are answered with 500

    def kinds(self) -> list[str]:
        return [json.loads(body)["type"] for body, _ in self.got]


class _Taking(BaseHTTPRequestHandler):
    server: Webhook

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.failures -= 1
        if self.server.failures < 0:
            self.server.got.append((body, dict(self.headers)))
        self.send_response(200 if self.server.failures < 0 else 500)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def webhook(fake: FakeStripe) -> Iterator[Webhook]:
    with Webhook() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        fake.events.webhook = f"http://127.0.0.1:{server.server_port}/"
        yield server
        server.shutdown()
        thread.join()


PAID = ["checkout.session.completed", "payment_intent.amount_capturable_updated"]


def test_events_reach_the_webhook_with_a_valid_signature(
    provider: Stripe, fake: FakeStripe, webhook: Webhook
) -> None:
    fake.pay(provider.start(order()).reference)
    wait_for(lambda: webhook.kinds() == PAID, "both events")
    assert [provider.read_event(*got).kind for got in webhook.got] == PAID


@pytest.mark.parametrize(
    ("plan", "expected"),
    [
        (["lose"], PAID[1:]),
        (["repeat"], [PAID[0], *PAID]),
        (["hold"], PAID[::-1]),
        (["", "repeat"], [*PAID, PAID[1]]),
    ],
)
def test_events_are_lost_repeated_and_reordered_on_demand(
    provider: Stripe, fake: FakeStripe, webhook: Webhook, plan: list[str], expected: list[str]
) -> None:
    fake.events.plan(*plan)
    fake.pay(provider.start(order()).reference)
    fake.events.release()
    wait_for(lambda: len(webhook.got) == len(expected), "all events")
    assert webhook.kinds() == expected


def test_an_event_is_sent_again_until_it_is_taken(
    provider: Stripe, fake: FakeStripe, webhook: Webhook
) -> None:
    webhook.failures = 2
    fake.pay(provider.start(order()).reference)
    wait_for(lambda: webhook.kinds() == PAID, "both events")
    assert fake.events.refused == [(PAID[0], 500)] * 2
