"""The interface of a payment provider: six calls, and the errors they may raise.

A provider knows neither orders nor transactions. Its calls block, are bounded in time, and are made
outside any transaction. Each call that changes something takes an idempotency key: repeated with the
same key it must act once.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import NamedTuple, Protocol


class ProviderError(Exception):
    """The base of what a call may raise. The message is for staff, without secrets and personal data."""


class NoAnswer(ProviderError):
    """A time-out, a broken connection or a 5xx: it may have acted. Ask before anything is decided."""


class Busy(ProviderError):
    """It refused for now (429, or our own limiter or circuit): it has not acted. Try again after
    `retry_after` seconds."""

    retry_after: float = 1.0


class Refused(ProviderError):
    """It refused for good: a call like this will never succeed."""


NOT_KNOWN = "The payment cannot be found"


class NotKnown(Refused):
    """It does not know what it was asked about. The account or the key may be the wrong one, so nothing is
    decided by this."""

    def __init__(self, detail: str) -> None:
        super().__init__(f"{NOT_KNOWN}: {detail}")


class Forged(ProviderError):
    """An event that the provider did not sign, or that is too old."""


class Stage(StrEnum):
    """A payment's stage, as its provider says."""

    OPEN = "open"  # the shopper may still pay
    AUTHORISED = "authorised"
    CAPTURED = "captured"
    VOIDED = "voided"
    FAILED = "failed"  # it will never be paid: declined for good, or its time is over
    REFUNDED = "refunded"


class Seen(NamedTuple):
    """A payment as the provider has it. `amount` is in minor units: as authorised or captured, else as
    asked for."""

    stage: Stage
    amount: int
    currency: str
    detail: str = ""  # why it failed, for staff


class Started(NamedTuple):
    """A payment that waits for the shopper at `url`."""

    reference: str
    url: str


class RefundSeen(NamedTuple):
    """A refund as the provider has it: `done`, or on its way, or `failed` for good."""

    reference: str
    done: bool
    failed: bool = False
    detail: str = ""


class Order(NamedTuple):
    """An order, as far as a provider may know it. `back` is where the shopper returns to, paid or not."""

    key: str  # the idempotency key, and the attempt's id in the shop
    title: str
    reference: str  # the short reference that the shopper reads on the order
    amount: int  # of all units, in minor units
    currency: str
    back: str
    language: str
    email: str = ""  # so that the shopper need not type it again
    seconds: int = 0  # that the hold lasts


class Event(NamedTuple):
    """A genuine event: `reference` names the payment that it is about; "" if it concerns none. `key` is
    the `Order.key` of that payment, where the provider repeats it."""

    event_id: str
    kind: str
    reference: str
    key: str = ""


class Provider(Protocol):
    """A way to be paid. `docs/payments.md` shows how to add one. `payments/providers/registry.py` finds
    it."""

    name: str

    def start(self, order: Order) -> Started: ...

    def fetch(self, reference: str) -> Seen: ...

    def capture(self, reference: str, amount: int, currency: str, key: str) -> Seen: ...

    def void(self, reference: str, key: str) -> Seen:
        """Give the authorisation back, or close an open payment so that it cannot be paid later. What
        is captured already stays captured, and is reported as such."""

    def refund(self, reference: str, amount: int, currency: str, key: str) -> RefundSeen: ...

    def fetch_refund(self, reference: str, refund: str) -> RefundSeen: ...

    def read_event(self, body: bytes, headers: Mapping[str, str]) -> Event:
        """Check the signature and read the event. Raises Forged."""
