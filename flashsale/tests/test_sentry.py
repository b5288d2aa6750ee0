"""Errors are told to whom SENTRY_DSN names, and no secret is among what is told."""

import gzip
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

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
        assert shopper.buy(sale, ticket).status_code == 500
        stack.wait_for(lambda: sentry.told, "it is told")
    [told] = [text for text in sentry.told if "a fault of ours" in text]
    assert '"role":"web"' in told
    assert '"purchase":"' in told
    for secret in (ticket, shopper.client.cookies["shopper"], *passwords()):
        assert secret not in told


def test_nobody_is_told_without_a_name(make_sale: MakeSale, sentry: Sentry) -> None:
    with Stumbling.running() as web:
        assert Shopper(web.url).buy(make_sale()).status_code == 500
    assert sentry.told == []
