"""The fake's ledger of money: what happened to what shoppers paid, in Stripe's units."""

from typing import TypedDict

from tests.payments.stripe_books import Books
from tests.payments.stripe_errors import Object


class Money(TypedDict):
    """One payment that was authorised. What is neither captured nor released is still held."""

    session: str
    attempt: str
    intent: str
    currency: str
    authorised: int
    captured: int
    released: int
    refunded: int


def read(books: Books) -> list[Money]:
    with books.lock:
        return [_line(books, o) for o in books.all("payment_intent") if o["latest_charge"]]


def _line(books: Books, intent: Object) -> Money:
    charge, session = books.objects[intent["latest_charge"]], books.session_of(intent)
    not_captured = charge["amount"] - charge["amount_captured"]
    return {
        "session": session["id"],
        "attempt": session["client_reference_id"],
        "intent": intent["id"],
        "currency": intent["currency"],
        "authorised": charge["amount"],
        "captured": charge["amount_captured"],
        "released": 0 if intent["status"] == "requires_capture" else not_captured,
        "refunded": charge["amount_refunded"],
    }
