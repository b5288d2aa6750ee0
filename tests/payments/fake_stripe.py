"""A fake of Stripe over HTTP: it keeps books, sends signed events, and fails on demand.

For tests: `with FakeStripe() as fake:` on a free port. For a trial by hand:
`python -m tests.payments.fake_stripe --port 12111 --webhook http://127.0.0.1:8000/payments/stripe/events`.
"""

import argparse
import contextlib
import html
import itertools
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

from tests.payments import stripe_ledger
from tests.payments.stripe_api import Answer, Api, Lost
from tests.payments.stripe_books import Books
from tests.payments.stripe_errors import ApiError
from tests.payments.stripe_events import PLANS, Events
from tests.payments.stripe_faults import ACTS, ENDPOINTS, TWISTS, Faults
from tests.payments.stripe_ledger import Money

KEY, SECRET = "sk_test_fake", "whsec_fake"

_PAGE = """<!doctype html><meta charset="utf-8"><title>A card page</title>
<h1>A card page: {amount} {currency}</h1><p>{name}. No money moves here.</p>
<form method="post">
<button name="outcome" value="pay">Pay</button>
<button name="outcome" value="decline">Use a card that is declined</button>
<button name="outcome" value="back">Go back without paying</button>
</form><p>{note}</p>"""


class FakeStripe:
    def __init__(
        self, port: int = 0, webhook: str = "", key: str = KEY, secret: str = SECRET
    ) -> None:
        self._server = _Server(("127.0.0.1", port), _Handler)
        self._server.fake = self
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self.events = Events(webhook, secret)
        self.books = Books(self.events.add, page=f"{self.url}/pay/")
        self.faults = Faults()
        self.api = Api(self.books, self.faults, key)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._numbers = itertools.count(1)
        self.seen: list[tuple[str, dict[str, str]]] = []  # body and headers of each call

    def __enter__(self) -> Self:
        self._thread.start()
        self.events.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.faults.released.set()
        self.events.stop()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def pay(self, session: str, method: str = "card", fault: str = "") -> None:
        """Pay as a shopper does at the session's page; a fault is another amount or currency."""
        self.books.pay(session, method, fault)

    def decline(self, session: str) -> None:
        self.books.decline(session)

    def ledger(self) -> list[Money]:
        return stripe_ledger.read(self.books)

    def next_request(self) -> str:
        return f"req_{next(self._numbers):06}"


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    fake: FakeStripe


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else a body waits 40 ms for the head to be acknowledged
    server: _Server

    def do_GET(self) -> None:
        self._answer("GET")

    def do_POST(self) -> None:
        self._answer("POST")

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: tests make hundreds of calls."""

    def _answer(self, method: str) -> None:
        target = urlsplit(self.path)
        length = int(self.headers.get("Content-Length") or 0)
        text = self.rfile.read(length).decode() or target.query
        fake = self.server.fake
        try:
            if target.path.startswith("/v1/"):
                headers = {name.lower(): value for name, value in self.headers.items()}
                fake.seen.append((text, headers))
                self._send(fake.api.answer(method, target.path, text, headers))
            elif target.path.startswith("/pay/"):
                self._pay(method, target.path.removeprefix("/pay/"), text)
            else:
                self._control(method, target.path, dict(parse_qs(text)))
        except Lost:
            self.close_connection = True

    def _send(self, answer: Answer) -> None:
        self.send_response(answer.status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer.body)))
        self.send_header("Request-Id", self.server.fake.next_request())
        if answer.replayed:
            self.send_header("Idempotent-Replayed", "true")
        self.end_headers()
        self.wfile.write(answer.body)

    # --- The page for shoppers, and what testers ask for --------------------------------------------

    def _pay(self, method: str, reference: str, text: str) -> None:
        books, note = self.server.fake.books, ""
        outcome = parse_qs(text).get("outcome", [""])[0] if method == "POST" else ""
        try:
            session = books.session(reference)
            back = session["success_url"]
            if outcome == "pay":
                books.pay(reference)
            elif outcome == "decline":
                books.decline(reference)
                note = "This card was declined."
        except ApiError as error:
            self._page(error.status, f"<!doctype html><p>{html.escape(error.message)}")
            return
        if outcome in ("pay", "back"):
            self.send_response(303)
            self.send_header("Location", back)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        words = {"amount": session["amount_total"], "currency": session["currency"].upper()}
        name = html.escape(session["client_reference_id"] or "")
        self._page(200, _PAGE.format(**words, name=name, note=note))

    def _page(self, status: int, text: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(text.encode())))
        self.end_headers()
        self.wfile.write(text.encode())

    def _control(self, method: str, path: str, asked: dict[str, list[str]]) -> None:
        fake = self.server.fake
        said: dict[str, Any] = {}
        count = int(asked.get("count", ["1"])[0])
        if (method, path) == ("GET", "/ledger"):
            said = {"payments": fake.ledger()}
        elif (method, path) == ("GET", "/events"):
            said = {"made": [(e["id"], e["type"]) for e in fake.events.made]}
            said["refused"] = fake.events.refused
        elif (method, path) == ("POST", "/events"):
            if asked.get("plan"):
                fake.events.plan(*asked["plan"] * count)
            else:
                fake.events.release()
        elif (method, path) == ("POST", "/faults"):
            fake.faults.plan(asked["endpoint"][0], *asked["kind"] * count)
        else:
            self._send(Answer(404, b'{"error": "not found"}'))
            return
        self._send(Answer(200, json.dumps(said).encode()))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, prog="python -m tests.payments.fake_stripe"
    )
    parser.add_argument("--port", type=int, default=12111)
    parser.add_argument("--webhook", default="", help="where events are sent")
    parser.add_argument("--key", default=KEY, help="the secret key that calls must have")
    parser.add_argument("--secret", default=SECRET, help="what events are signed with")
    given = parser.parse_args()
    with FakeStripe(given.port, given.webhook, given.key, given.secret) as fake:
        print(f"STRIPE_API_BASE={fake.url}")
        print(f"STRIPE_SECRET_KEY={given.key}")
        print(f"STRIPE_WEBHOOK_SECRETS={given.secret}")
        print(f"events: {' '.join(PLANS)}")
        print(f"faults: {' '.join([*ACTS, *TWISTS])}")
        print(f"endpoints: {' '.join(ENDPOINTS)}", flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            threading.Event().wait()


if __name__ == "__main__":
    main()
