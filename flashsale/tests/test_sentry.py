"""Errors are told to whom SENTRY_DSN names, and no secret is among what is told."""

import gzip
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
import sentry_sdk
from pytest_django import Settings

import flashsale.sentry
from conftest import MakeSale
from tests import stack
from tests.cast import Shopper
from tests.security.test_secrets_in_logs import Stumbling, passwords


class Sentry(HTTPServer):
    """Takes what is told, as Sentry does."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Listener)
        self.told: list[str] = []

    @property
    def dsn(self) -> str:
        return f"http://key@127.0.0.1:{self.server_port}/1"


class Listener(BaseHTTPRequestHandler):
    server: Sentry

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        if self.headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        self.server.told.append(body.decode())
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def sentry() -> Iterator[Sentry]:
    with Sentry() as listening:
        thread = threading.Thread(target=listening.serve_forever, daemon=True)
        thread.start()
        yield listening
        listening.shutdown()
        thread.join()


def test_a_stumble_is_told_with_its_purchase_and_without_secrets(
    make_sale: MakeSale, sentry: Sentry
) -> None:
    sale = make_sale()
    with Stumbling.running(SENTRY_DSN=sentry.dsn) as web:
        shopper = Shopper(web.url)
        ticket = shopper.ticket(sale)
        cookie = shopper.client.cookies["shopper"]
        assert shopper.buy(sale, ticket).status_code == 500
        assert shopper.client.get(f"/orders/?ticket={ticket}").status_code == 500
        stack.wait_for(lambda: len(faults_in(sentry)) == 2, "both are told")
    click, page = faults_in(sentry)
    assert '"purchase":"' in click
    assert "/orders/" in page
    assert "_page_of_orders" in page
    for told in (click, page):
        assert '"role":"web"' in told
        for secret in (ticket, cookie, *passwords()):
            assert secret not in told


def faults_in(sentry: Sentry) -> list[str]:
    return [text for text in sentry.told if "a fault of ours" in text]


def test_without_a_name_nobody_is_told(settings: Settings) -> None:
    settings.SENTRY_DSN = ""
    flashsale.sentry.start("tests")
    assert not sentry_sdk.get_client().is_active()
