"""What goes wrong at the fake of Stripe, on demand: by endpoint, a number of times."""

import threading
from collections import deque
from dataclasses import dataclass, field

ENDPOINTS = (
    *("create_session", "retrieve_session", "expire_session"),
    *("capture_intent", "cancel_intent", "create_refund", "retrieve_refund", "list_refunds"),
)

# Kinds of faults, and whether the call acts all the same.
ACTS = {
    "drop_before": False,  # the connection breaks on the way there
    "drop_after": True,  # the connection breaks on the way back
    "hang_before": False,  # no answer until the client gives up, and nothing done
    "hang_after": True,  # no answer until the client gives up, and all done
    "delay": True,  # a slow answer
    "busy": False,  # 429
    "in_use": False,  # 409: a call with the same key is under way
    "error_before": False,  # 500, kept under its idempotency key
    "error_after": True,  # the same, and all done
}
# Of captures alone.
TWISTS = ("wrong_amount", "wrong_currency")


@dataclass
class Faults:
    patience: float = 30.0  # seconds that a call hangs at most
    slowness: float = 0.2  # seconds of a delay
    _planned: dict[str, deque[str]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    released: threading.Event = field(default_factory=threading.Event)

    def plan(self, endpoint: str, *kinds: str) -> None:
        """Let the next calls of the endpoint fail in these ways, one after the other; "" is none."""
        assert endpoint in ENDPOINTS, endpoint
        assert set(kinds) <= {*ACTS, *TWISTS, ""}, kinds
        with self._lock:
            self._planned.setdefault(endpoint, deque()).extend(kinds)

    def take(self, endpoint: str) -> str:
        with self._lock:
            planned = self._planned.get(endpoint)
            return planned.popleft() if planned else ""

    def clear(self) -> None:
        with self._lock:
            self._planned.clear()

    def hang(self) -> None:
        self.released.wait(self.patience)

    def dawdle(self) -> None:
        self.released.wait(self.slowness)
