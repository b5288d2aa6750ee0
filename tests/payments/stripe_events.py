"""Events of the fake of Stripe: signed, sent to a webhook, and lost, repeated or held back on demand."""

import copy
import itertools
import json
import queue
import threading
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import requests
from stripe import WebhookSignature

from payments.providers.stripe import API_VERSION

PLANS = ("lose", "repeat", "hold")
TRIES = 6


@dataclass
class Events:
    """Sent to `webhook`, if that is not "". Stripe tries again for three days, the fake for seconds."""

    webhook: str
    secret: str
    made: list[dict[str, Any]] = field(default_factory=list)  # in the order in which they happened
    refused: list[tuple[str, int]] = field(
        default_factory=list
    )  # type and status of failed deliveries
    _planned: deque[str] = field(default_factory=deque)
    _held: list[dict[str, Any]] = field(default_factory=list)
    _queue: queue.Queue[dict[str, Any] | None] = field(default_factory=queue.Queue)
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    _stopped: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def plan(self, *plans: str) -> None:
        """Let the next events be lost, sent twice, or held back until `release`; "" is none of these."""
        assert set(plans) <= {*PLANS, ""}, plans
        self._planned.extend(plans)

    def add(self, kind: str, about: dict[str, Any]) -> None:
        shown = {name: value for name, value in about.items() if not name.startswith("_")}
        event = {
            "id": f"evt_{next(self._numbers):06}",
            "object": "event",
            "api_version": API_VERSION,
            "created": int(time.time()),
            "data": {"object": copy.deepcopy(shown)},
            "livemode": False,
            "pending_webhooks": 1,
            "request": None,
            "type": kind,
        }
        self.made.append(event)
        plan = self._planned.popleft() if self._planned else ""
        if plan == "hold":
            self._held.append(event)
        elif plan != "lose":
            for _ in range(2 if plan == "repeat" else 1):
                self._queue.put(event)

    def release(self) -> None:
        """Send what was held back: later than younger events."""
        while self._held:
            self._queue.put(self._held.pop())

    def signed(
        self, event: dict[str, Any], at: float | None = None
    ) -> tuple[bytes, dict[str, str]]:
        """Body and headers of an event, as Stripe sends it."""
        body = json.dumps(event)
        moment = int(time.time() if at is None else at)
        signature = WebhookSignature.generate_signature_header(body, self.secret, moment)
        return body.encode(), {"Stripe-Signature": signature, "Content-Type": "application/json"}

    def start(self) -> None:
        self._thread = threading.Thread(target=self._deliver, name="events", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        self._queue.put(None)
        if self._thread:
            self._thread.join()

    def _deliver(self) -> None:
        while event := self._queue.get():
            if self.webhook:
                self._send(event)

    def _send(self, event: dict[str, Any]) -> None:
        for number in range(TRIES):
            body, headers = self.signed(event)
            try:
                status = requests.post(
                    self.webhook, data=body, headers=headers, timeout=30, allow_redirects=False
                ).status_code
            except requests.RequestException:
                status = 0
            if 200 <= status < 300:
                return
            self.refused.append((event["type"], status))
            if self._stopped.wait(0.1 * 2**number):
                return
