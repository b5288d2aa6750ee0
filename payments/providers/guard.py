"""Guards the calls to a provider: so many a second, so many at a time, and none while it is down.

Each process has its own: the provider sees at most the sum of all processes' rates.
"""

import logging
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import TypeVar

from django.db import connection, transaction

from payments.providers.base import (
    Busy,
    Event,
    NoAnswer,
    Order,
    Provider,
    RefundSeen,
    Refused,
    Seen,
    Started,
)

log = logging.getLogger(__name__)

T = TypeVar("T")

PATIENCE = 1.0  # seconds that a call waits for its turn
AT_ONCE = 8  # calls of a process: a provider that hangs must not take all threads
FAILURES = 5  # in a row, after which the circuit opens
OPEN_FOR = 5.0  # seconds, until one call tries again


def busy(why: str, retry_after: float) -> Busy:
    error = Busy(why)
    error.retry_after = retry_after
    return error


class Limiter:
    """Lets `rate` calls a second pass, after a burst of as many; 0: no limit."""

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._full_until = 0.0  # when all calls so far have passed at the even rate
        self._lock = threading.Lock()

    def take(self) -> None:
        """Wait for a turn, at most PATIENCE. Raises Busy if there is none by then."""
        if not self._rate:
            return
        with self._lock:
            now = time.monotonic()
            until = max(now, self._full_until) + 1 / self._rate
            wait = until - now - 1.0
            if wait > PATIENCE:
                raise busy("too many calls", wait)
            self._full_until = until
        if wait > 0:
            time.sleep(wait)


class Circuit:
    """Opens after FAILURES calls without an answer; every OPEN_FOR seconds one call may try again."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._failures = 0
        self._try_at = 0.0
        self._lock = threading.Lock()

    def check(self) -> None:
        """Raises Busy while the circuit is open."""
        with self._lock:
            now = time.monotonic()
            if self._failures < FAILURES:
                return
            if now < self._try_at:
                raise busy(f"{self._name} does not answer", self._try_at - now)
            self._try_at = now + OPEN_FOR  # the others wait for the end of this call

    def answered(self) -> None:
        with self._lock:
            if self._failures >= FAILURES:
                log.warning("the payment provider %s answers again", self._name)
            self._failures = 0

    def failed(self) -> None:
        with self._lock:
            self._failures += 1
            self._try_at = time.monotonic() + OPEN_FOR
            if self._failures == FAILURES:
                log.error("the payment provider %s does not answer: no calls for now", self._name)


class Guarded:
    """A provider whose calls pass a limiter for each kind of call, and one circuit. Raises Busy at once
    where a call would have to wait too long."""

    def __init__(self, provider: Provider, rate: int) -> None:
        self.name = provider.name
        self._provider = provider
        self._limiters: dict[str, Limiter] = defaultdict(lambda: Limiter(rate))
        self._circuit = Circuit(provider.name)
        self._places = threading.BoundedSemaphore(AT_ONCE)

    def start(self, order: Order) -> Started:
        return self._call("start", lambda: self._provider.start(order))

    def fetch(self, reference: str) -> Seen:
        return self._call("fetch", lambda: self._provider.fetch(reference))

    def capture(self, reference: str, amount: int, currency: str, key: str) -> Seen:
        return self._call(
            "capture", lambda: self._provider.capture(reference, amount, currency, key)
        )

    def void(self, reference: str, key: str) -> Seen:
        return self._call("void", lambda: self._provider.void(reference, key))

    def refund(self, reference: str, amount: int, currency: str, key: str) -> RefundSeen:
        return self._call("refund", lambda: self._provider.refund(reference, amount, currency, key))

    def fetch_refund(self, reference: str, refund: str) -> RefundSeen:
        return self._call("fetch_refund", lambda: self._provider.fetch_refund(reference, refund))

    def read_event(self, body: bytes, headers: Mapping[str, str]) -> Event:
        return self._provider.read_event(body, headers)

    def _call(self, kind: str, call: Callable[[], T]) -> T:
        if connection.in_atomic_block:
            raise transaction.TransactionManagementError("a provider is called in no transaction")
        connection.close()  # others use it meanwhile: providers are slow, and the pool is small
        self._limiters[kind].take()
        self._circuit.check()
        if not self._places.acquire(timeout=PATIENCE):
            raise busy("too many calls at once", PATIENCE)
        try:
            result = call()
        except (Busy, Refused):
            self._circuit.answered()
            raise
        except Exception as error:
            self._circuit.failed()
            if isinstance(error, NoAnswer):
                raise
            # A fault of ours: it may have acted all the same.
            log.exception("the payment provider %s: %s failed", self.name, kind)
            raise NoAnswer(type(error).__name__) from error
        finally:
            self._places.release()
        self._circuit.answered()
        return result
