"""Errors go to the server at SENTRY_DSN, without secrets."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
import sentry_sdk
from pytest_django import Settings

import flashsale.observe.sentry
from conftest import MakeSale
from tests import stack
from tests.cast import Shopper
from tests.listening import listening
from tests.security.test_secrets_in_logs import Stumbling, passwords


@dataclass
class Sentry:
    """Receives events, as Sentry does."""

    dsn: str = ""
    received: list[str] = field(default_factory=list)


@pytest.fixture
def sentry() -> Iterator[Sentry]:
    sentry = Sentry()
    with listening(lambda body: sentry.received.append(body.decode())) as port:
        sentry.dsn = f"http://key@127.0.0.1:{port}/1"
        yield sentry


def test_an_error_is_sent_with_its_purchase_and_without_secrets(
    make_sale: MakeSale, sentry: Sentry
) -> None:
    sale = make_sale()
    with Stumbling.running(SENTRY_DSN=sentry.dsn) as web:
        shopper = Shopper(web.url)
        ticket = shopper.ticket(sale)
        cookie = shopper.client.cookies["shopper"]
        assert shopper.buy(sale, ticket).status_code == 500
        assert shopper.client.get(f"/orders/?ticket={ticket}").status_code == 500
        stack.wait_for(lambda: len(faults_in(sentry)) == 2, "both are received")
    click, page = faults_in(sentry)
    assert '"purchase":"' in click
    assert "/orders/" in page
    assert "_page_of_orders" in page
    for event in (click, page):
        assert '"role":"web"' in event
        for secret in (ticket, cookie, *passwords()):
            assert secret not in event


def faults_in(sentry: Sentry) -> list[str]:
    return [text for text in sentry.received if "a fault of ours" in text]


def test_without_a_dsn_nothing_is_sent(settings: Settings) -> None:
    settings.SENTRY_DSN = ""
    flashsale.observe.sentry.start("tests")
    assert not sentry_sdk.get_client().is_active()
