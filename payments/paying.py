"""Paying an order: what the checkout may ask of payments."""

from typing import NamedTuple
from uuid import UUID


class Unavailable(Exception):
    """The provider cannot be asked now. `retry_after` is in seconds."""

    def __init__(self, message: str = "", retry_after: int = 5) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class PaymentView(NamedTuple):
    """The stage of an order's payment, for pages and staff; the amount is in minor units."""

    stage: str
    amount: int
    currency: str
    provider: str
    reference: str


def begin(order: UUID, *, back: str, language: str, email: str) -> str:
    """The address to which the shopper is sent to pay. Raises NotPossible and Unavailable."""
    raise Unavailable("no provider")


def returned(order: UUID) -> None:
    """Ask the provider now, and apply what it says."""


def describe(order: UUID) -> PaymentView | None:
    """The payment of an order; None if none was begun."""
    return None
