"""The provider `stripe`, against the fake of Stripe."""

import time
from types import SimpleNamespace
from urllib.parse import parse_qs

import pytest
import stripe as package
from pytest_django import Settings

from payments.providers import stripe, stripe_sessions
from payments.providers.base import Refused, Stage, Started
from payments.providers.stripe import Stripe
from tests.payments.conftest import order
from tests.payments.fake_stripe import FakeStripe


def authorised(provider: Stripe, fake: FakeStripe, amount: int = 12900) -> str:
    reference = provider.start(order(amount)).reference
    fake.pay(reference)
    return reference


def captured(provider: Stripe, fake: FakeStripe) -> str:
    reference = authorised(provider, fake)
    provider.capture(reference, 12900, "EUR", "a")
    return reference


# --- Start ------------------------------------------------------------------------------------


def test_the_shopper_is_sent_to_a_page_of_stripe(provider: Stripe, fake: FakeStripe) -> None:
    started = provider.start(order())
    assert started.url == f"{fake.url}/pay/{started.reference}"
    assert provider.fetch(started.reference) == (Stage.OPEN, 12900, "EUR", "")


def test_a_session_names_the_attempt_and_asks_for_cards_that_are_captured_later(
    provider: Stripe, fake: FakeStripe
) -> None:
    about = order()
    session = fake.books.session(provider.start(about).reference)
    assert session["client_reference_id"] == about.key
    assert session["metadata"] == {"attempt": about.key, "order": about.reference}
    assert session["_intent_data"]["metadata"] == session["metadata"]
    assert session["_intent_data"]["capture_method"] == "manual"
    assert session["allowed_payment_method_types"] == ["card"]
    assert (session["locale"], session["customer_email"]) == ("de", "ada@shop.example")
    assert session["success_url"] == session["cancel_url"] == about.back


def test_stripe_offers_no_other_currency(provider: Stripe, fake: FakeStripe) -> None:
    provider.start(order())
    body, _ = fake.seen[-1]
    assert parse_qs(body)["adaptive_pricing[enabled]"] == ["false"]


def test_calls_name_the_version_whose_answers_the_package_knows(
    provider: Stripe, fake: FakeStripe
) -> None:
    provider.start(order())
    _, headers = fake.seen[-1]
    assert headers["stripe-version"] == stripe.API_VERSION == package.api_version
    assert "x-stripe-client-telemetry" not in headers
    assert "telemetry_id" not in headers["x-stripe-client-user-agent"]


def test_started_again_it_is_the_same_session(provider: Stripe, fake: FakeStripe) -> None:
    about = order()
    assert provider.start(about) == provider.start(about)


@pytest.mark.parametrize("beside", [-0.4, 0.0, 0.3])
def test_the_same_session_also_where_its_expiry_is_rounded_otherwise(
    provider: Stripe, fake: FakeStripe, monkeypatch: pytest.MonkeyPatch, beside: float
) -> None:
    until = (time.time() // 600 + 4) * 600 - 1860 % 600 + beside  # when the hold ends
    about = order()

    def start(left: float) -> Started:
        fake.books.now = lambda: until - left
        monkeypatch.setattr(stripe_sessions, "time", SimpleNamespace(time=fake.books.now))
        return provider.start(about._replace(seconds=int(left)))

    assert start(600) == start(599.5) == start(300)


def test_a_key_is_good_for_one_order(provider: Stripe) -> None:
    about = order()
    provider.start(about)
    with pytest.raises(Refused):
        provider.start(about._replace(amount=12901))


@pytest.mark.parametrize("seconds", [0, 60, 600, 3600, 8 * 3600, 22 * 3600, 7 * 86400])
def test_a_session_lives_as_long_as_the_hold_and_as_stripe_allows(
    provider: Stripe, fake: FakeStripe, seconds: int
) -> None:
    session = fake.books.session(provider.start(order(seconds=seconds)).reference)
    life = session["expires_at"] - session["created"]
    assert min(seconds, 23 * 3600) <= life <= seconds + 3600 or life == 86400


def test_nothing_is_not_paid(provider: Stripe) -> None:
    with pytest.raises(Refused):
        provider.start(order(amount=0))


def test_a_method_without_authorisation_is_captured_at_once_beside_cards_that_are_not(
    provider: Stripe, fake: FakeStripe, settings: Settings
) -> None:
    settings.STRIPE_PAYMENT_METHODS = ["card", "ideal"]
    by_card, by_bank = Stripe().start(order()), Stripe().start(order())
    fake.pay(by_card.reference, "card")
    fake.pay(by_bank.reference, "ideal")
    assert provider.fetch(by_card.reference).stage is Stage.AUTHORISED
    assert provider.fetch(by_bank.reference).stage is Stage.CAPTURED


# --- Look, capture, void --------------------------------------------------------------------------


def test_a_payment_is_authorised_by_the_shopper_and_captured_by_the_shop(
    provider: Stripe, fake: FakeStripe
) -> None:
    reference = authorised(provider, fake)
    assert provider.fetch(reference) == (Stage.AUTHORISED, 12900, "EUR", "")
    assert provider.capture(reference, 12900, "EUR", "a") == (Stage.CAPTURED, 12900, "EUR", "")
    assert [line["captured"] for line in fake.ledger()] == [12900]


def test_a_declined_card_leaves_the_page_open(provider: Stripe, fake: FakeStripe) -> None:
    reference = provider.start(order()).reference
    fake.decline(reference)
    assert provider.fetch(reference).stage is Stage.OPEN
    fake.pay(reference)
    assert provider.fetch(reference).stage is Stage.AUTHORISED


@pytest.mark.parametrize("tried", [False, True])
def test_a_session_whose_time_is_over_has_failed(
    provider: Stripe, fake: FakeStripe, tried: bool
) -> None:
    reference = provider.start(order()).reference
    if tried:
        fake.decline(reference)
    fake.books.session(reference)["expires_at"] = 0
    assert provider.fetch(reference).stage is Stage.FAILED


def test_an_authorisation_that_the_bank_took_back_is_void(
    provider: Stripe, fake: FakeStripe
) -> None:
    reference = authorised(provider, fake)
    fake.books.lapse(reference)
    assert provider.capture(reference, 12900, "EUR", "a").stage is Stage.VOIDED


@pytest.mark.parametrize(("amount", "currency"), [(12901, "EUR"), (12899, "EUR"), (12900, "USD")])
def test_another_amount_than_is_authorised_is_not_captured(
    provider: Stripe, fake: FakeStripe, amount: int, currency: str
) -> None:
    reference = authorised(provider, fake)
    with pytest.raises(Refused):
        provider.capture(reference, amount, currency, "a")
    assert fake.ledger()[0]["captured"] == 0


@pytest.mark.parametrize(
    ("fault", "amount", "currency"),
    [("wrong_amount", 12899, "EUR"), ("wrong_currency", 12900, "USD")],
)
def test_what_was_authorised_or_captured_wrongly_is_reported_as_it_is(
    provider: Stripe, fake: FakeStripe, fault: str, amount: int, currency: str
) -> None:
    paid = provider.start(order()).reference
    fake.pay(paid, fault=fault)
    assert provider.fetch(paid) == (Stage.AUTHORISED, amount, currency, "")
    reference = authorised(provider, fake)
    fake.faults.plan("capture_intent", fault)
    assert provider.capture(reference, 12900, "EUR", "b") == (Stage.CAPTURED, amount, currency, "")
    assert provider.refund(reference, 12900, "EUR", "b").done
    assert fake.ledger()[1]["refunded"] == amount


def test_an_authorisation_is_given_back(provider: Stripe, fake: FakeStripe) -> None:
    reference = authorised(provider, fake)
    assert provider.void(reference, "a").stage is Stage.VOIDED
    assert provider.void(reference, "a").stage is Stage.VOIDED
    assert fake.ledger()[0]["released"] == 12900


def test_an_open_page_is_closed_so_that_it_cannot_be_paid_later(
    provider: Stripe, fake: FakeStripe
) -> None:
    reference = provider.start(order()).reference
    assert provider.void(reference, "a").stage is Stage.FAILED
    assert fake.books.session(reference)["status"] == "expired"


def test_what_is_captured_stays_captured(provider: Stripe, fake: FakeStripe) -> None:
    reference = captured(provider, fake)
    assert provider.void(reference, "b").stage is Stage.CAPTURED
    assert fake.ledger()[0]["released"] == 0


def test_a_shopper_who_pays_while_the_page_is_closed_gets_the_money_back(
    provider: Stripe, fake: FakeStripe, monkeypatch: pytest.MonkeyPatch
) -> None:
    reference = provider.start(order()).reference
    close = provider._close

    def pay_first(session: package.checkout.Session, key: str) -> None:
        monkeypatch.setattr(provider, "_close", close)
        fake.pay(reference)
        close(session, key)

    monkeypatch.setattr(provider, "_close", pay_first)
    assert provider.void(reference, "a").stage is Stage.VOIDED
    assert fake.ledger()[0]["released"] == 12900


# --- Refund -----------------------------------------------------------------------------------


def test_a_captured_payment_is_refunded_once(provider: Stripe, fake: FakeStripe) -> None:
    reference = captured(provider, fake)
    first = provider.refund(reference, 12900, "EUR", "a")
    fake.api.forget_keys()
    assert provider.refund(reference, 12900, "EUR", "b") == first
    assert first.done
    assert fake.ledger()[0]["refunded"] == 12900
    assert provider.fetch(reference).stage is Stage.REFUNDED


def test_a_refund_on_its_way_is_asked_for_until_it_is_done(
    provider: Stripe, fake: FakeStripe
) -> None:
    fake.books.refunds_end = "pending"
    reference = captured(provider, fake)
    refund = provider.refund(reference, 12900, "EUR", "a")
    assert (refund.done, refund.failed) == (False, False)
    fake.books.end_refund(refund.reference, "succeeded")
    assert provider.fetch_refund(reference, refund.reference).done


def test_a_refund_that_failed_can_be_tried_again_under_the_same_key(
    provider: Stripe, fake: FakeStripe
) -> None:
    fake.books.refunds_end = "failed"
    reference = captured(provider, fake)
    failed = provider.refund(reference, 12900, "EUR", "a")
    assert (failed.failed, failed.detail) == (True, "lost_or_stolen_card")
    assert provider.fetch(reference).stage is Stage.CAPTURED
    fake.books.refunds_end = "succeeded"
    again = provider.refund(reference, 12900, "EUR", "a")
    assert again.done
    assert again.reference != failed.reference


@pytest.mark.parametrize("paid", [False, True])
def test_what_is_not_captured_is_not_refunded(
    provider: Stripe, fake: FakeStripe, paid: bool
) -> None:
    reference = authorised(provider, fake) if paid else provider.start(order()).reference
    with pytest.raises(Refused):
        provider.refund(reference, 12900, "EUR", "a")
