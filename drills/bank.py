"""A payment provider for drills, in a process of its own.

    python -m drills.bank PORT FILE URL SECRET SEED

It plays another company. Its books are an SQLite file, so that it can be killed at any moment; it keeps
idempotency keys. Even while it runs it loses answers and refuses calls, and it loses, repeats and reorders
the events that it sends to URL.
"""

import hmac
import json
import random
import sqlite3
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs
from uuid import uuid4

URL, SECRET = "DRILL_BANK_URL", "DRILL_BANK_SECRET"  # variables of the shop that is paid here
SIGNATURE = "Bank-Signature"
DAWDLES = 3.0  # seconds until a slow payment is authorised
# The share of calls that go wrong.
REFUSED, BROKEN, LOST = 0.01, 0.02, 0.03  # 429 and 500 before it acts; no answer after it has acted
EVENTS_LOST, EVENTS_TWICE = 0.2, 0.2
AGAIN = 3.0  # seconds until an event without an answer is sent again

_TABLES = """
PRAGMA journal_mode = wal;
CREATE TABLE IF NOT EXISTS payment (
    reference text PRIMARY KEY, key text UNIQUE, amount integer, currency text, back text, state text,
    captured integer DEFAULT 0, refunded integer DEFAULT 0, acts_at real
);
CREATE TABLE IF NOT EXISTS answer (key text PRIMARY KEY, body text);
CREATE TABLE IF NOT EXISTS event (id text PRIMARY KEY, payment text, key text, due real);
"""
_PAGE = """<!doctype html><title>Bank</title><form method="post">
<button name="choice" value="pay">Pay</button></form>"""

Row = dict[str, Any]


class Refusal(Exception):
    """The call will never succeed."""


class Bank:
    """The books. Each call is one transaction; with a key it acts once and repeats its answer."""

    def __init__(self, file: Path) -> None:
        self._lock = threading.Lock()
        self._books = sqlite3.connect(file, check_same_thread=False, isolation_level=None)
        self._books.row_factory = sqlite3.Row
        self._books.executescript(_TABLES)

    def call(self, name: str, asked: Row) -> Row:
        """Raises Refusal."""
        work: dict[str, Callable[[Row], Row]] = {
            "start": self._start,
            "fetch": self._fetch,
            "capture": self._capture,
            "void": self._void,
            "refund": self._refund,
            "fetch_refund": self._fetch_refund,
            "play": self._play,
        }
        if name not in work:
            raise Refusal(f"no call {name}")
        with self._lock:
            self._books.execute("BEGIN IMMEDIATE")
            try:
                answer = self._once(name, asked, work[name])
            except BaseException:
                self._books.execute("ROLLBACK")
                raise
            self._books.execute("COMMIT")
        return answer

    def due_events(self) -> list[Row]:
        with self._lock:
            found = self._books.execute("SELECT * FROM event WHERE due <= ?", [time.time()])
            return [dict(row) for row in found]

    def end_event(self, event: str, due: float | None) -> None:
        """Forget an event, or send it again at `due`."""
        with self._lock:
            if due is None:
                self._books.execute("DELETE FROM event WHERE id = ?", [event])
            else:
                self._books.execute("UPDATE event SET due = ? WHERE id = ?", [due, event])

    def _once(self, name: str, asked: Row, work: Callable[[Row], Row]) -> Row:
        key = f"{name} {asked['key']}" if asked.get("key") else ""
        known = self._books.execute("SELECT body FROM answer WHERE key = ?", [key]).fetchone()
        if known:
            return dict(json.loads(known["body"]))
        answer = work(asked)
        if key:
            self._books.execute("INSERT INTO answer VALUES (?, ?)", [key, json.dumps(answer)])
        return answer

    # --- Calls of the shop ------------------------------------------------------------------------

    def _start(self, asked: Row) -> Row:
        reference = self._insert(asked["key"], asked, "open")
        return {"reference": reference}

    def _insert(self, key: str, of: Row, state: str) -> str:
        reference = f"bank-{uuid4()}"
        self._books.execute(
            "INSERT INTO payment (reference, key, amount, currency, back, state)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            [reference, key, of["amount"], of["currency"], of["back"], state],
        )
        return reference

    def _fetch(self, asked: Row) -> Row:
        payment = self._find(asked)
        return {
            "state": payment["state"],
            "amount": payment["captured"] or payment["amount"],
            "currency": payment["currency"],
        }

    def _capture(self, asked: Row) -> Row:
        payment = self._find(asked)
        same = (payment["amount"], payment["currency"]) == (asked["amount"], asked["currency"])
        if payment["state"] != "authorised" or not same:
            raise Refusal(f"the payment is {payment['state']}")
        self._set(payment, state="captured", captured=payment["amount"])
        return self._fetch(asked)

    def _void(self, asked: Row) -> Row:
        payment = self._find(asked)
        if payment["state"] in ("open", "authorised"):
            self._set(payment, state="voided", acts_at=None)
        return self._fetch(asked)

    def _refund(self, asked: Row) -> Row:
        payment = self._find(asked)
        if payment["state"] != "captured" or payment["captured"] != asked["amount"]:
            raise Refusal(f"the payment is {payment['state']}")
        self._set(payment, state="refunded", refunded=payment["captured"])
        return {"reference": f"refund-{payment['reference']}"}

    def _fetch_refund(self, asked: Row) -> Row:
        if not self._find(asked)["refunded"]:
            raise Refusal("there is no refund")
        return {"reference": asked["refund"]}

    # --- The shopper's page -----------------------------------------------------------------------

    def _play(self, asked: Row) -> Row:
        """Do what the shopper chose, once. An event tells of it."""
        payment, choice = self._find(asked), asked["choice"]
        if payment["state"] == "open" and not payment["acts_at"]:
            if choice == "slow":
                self._set(payment, acts_at=time.time() + DAWDLES)
            else:
                self._set(payment, state="failed" if choice == "decline" else "authorised")
                self._tell(payment["reference"], payment["key"])
            if choice == "twice":
                twin = self._insert(f"{payment['key']} twice", payment, "authorised")
                self._tell(twin, payment["key"])
        return {"back": payment["back"]}

    def _tell(self, reference: str, key: str) -> None:
        event = [f"event-{uuid4()}", reference, key, time.time()]
        self._books.execute("INSERT INTO event VALUES (?, ?, ?, ?)", event)

    def _find(self, asked: Row) -> Row:
        found = self._books.execute(
            "SELECT * FROM payment WHERE reference = ?", [asked.get("reference")]
        ).fetchone()
        if found is None:
            raise Refusal("there is no such payment")
        payment = dict(found)
        if payment["acts_at"] and payment["acts_at"] <= time.time() and payment["state"] == "open":
            self._set(payment, state="authorised", acts_at=None)
        return payment

    def _set(self, payment: Row, **values: object) -> None:
        payment |= values
        columns = ", ".join(f"{name} = ?" for name in values)
        self._books.execute(
            f"UPDATE payment SET {columns} WHERE reference = ?",  # noqa: S608  # names of ours
            [*values.values(), payment["reference"]],
        )


class Desk(BaseHTTPRequestHandler):
    """Answers the shop's calls, and shows the shopper's page."""

    protocol_version = "HTTP/1.1"
    bank: Bank
    chance: random.Random

    def do_GET(self) -> None:
        self._answer(200, _PAGE.encode(), "text/html")

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        _, kind, name = (*self.path.split("/"), "", "")[:3]
        if kind == "pay":
            choice = parse_qs(body.decode()).get("choice", [""])[0]
            played = self.bank.call("play", {"reference": name, "choice": choice})
            back = b"" if choice == "leave" else played["back"].encode()
            self._answer(303 if back else 200, b"", "text/plain", back.decode())
        else:
            self._call(kind, json.loads(body))

    def _call(self, name: str, asked: Row) -> None:
        fate = self.chance.random()
        if fate < REFUSED + BROKEN:
            self._answer(429 if fate < REFUSED else 500, b"{}", "application/json")
            return
        try:
            answer, status = self.bank.call(name, asked), 200
        except Refusal as refusal:
            answer, status = {"error": str(refusal)}, 402
        if fate < REFUSED + BROKEN + LOST:
            self.close_connection = True
        else:
            self._answer(status, json.dumps(answer).encode(), "application/json")

    def _answer(self, status: int, body: bytes, kind: str, location: str = "") -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        if location:
            self.send_header("Location", location)
        try:
            self.end_headers()
            self.wfile.write(body)
        except ConnectionError:
            # Who asked is killed, or waits no longer. The books stay as they are.
            self.close_connection = True

    def log_message(self, *args: object) -> None:
        """Say nothing."""


def read_books(file: Path) -> list[tuple[Any, ...]]:
    """The booked payments, each with the values of `drills/money_check.py` `Payment`."""
    with sqlite3.connect(f"file:{file}?mode=ro", uri=True) as books:
        columns = "reference, key, state, captured, refunded, currency"
        return books.execute(f"SELECT {columns} FROM payment").fetchall()  # noqa: S608  # of ours


def count_events(file: Path) -> int:
    """The events that the shop has not taken yet."""
    with sqlite3.connect(f"file:{file}?mode=ro", uri=True) as books:
        return int(books.execute("SELECT count(*) FROM event").fetchone()[0])


def sign(secret: str, body: bytes) -> str:
    return hmac.new(secret.encode(), body, "sha256").hexdigest()


def send_events(bank: Bank, shop: str, secret: str, chance: random.Random) -> None:
    """Send events until each is answered: some at first not at all, some twice, in no order."""
    while True:
        due = bank.due_events()
        chance.shuffle(due)
        for event in due:
            done = chance.random() >= EVENTS_LOST and _send_event(shop, secret, event)
            if done and chance.random() < EVENTS_TWICE:
                _send_event(shop, secret, event)
            bank.end_event(event["id"], None if done else time.time() + AGAIN)
        time.sleep(0.05)


def _send_event(shop: str, secret: str, event: Row) -> bool:
    body = json.dumps({name: event[name] for name in ("id", "payment", "key")}).encode()
    request = urllib.request.Request(shop, body, {SIGNATURE: sign(secret, body)})  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:  # noqa: S310
            return bool(answer.status == 200)
    except OSError:
        return False


def main() -> None:
    port, file, shop, secret, seed = sys.argv[1:]
    Desk.bank, Desk.chance = Bank(Path(file)), random.Random(seed)  # noqa: S311
    sending = (Desk.bank, shop, secret, random.Random(f"events {seed}"))  # noqa: S311
    threading.Thread(target=send_events, args=sending, daemon=True).start()
    ThreadingHTTPServer(("127.0.0.1", int(port)), Desk).serve_forever()


if __name__ == "__main__":
    main()
