"""What Stripe's objects say of a payment, in the interface's words."""

import stripe
from stripe.checkout import Session

from payments.providers.base import RefundSeen, Seen, Stage
from payments.providers.stripe_amounts import from_stripe

DEAD_REFUNDS = ("failed", "canceled")


def intent_of(session: Session) -> stripe.PaymentIntent | None:
    """The payment of a session; None until the shopper has tried to pay."""
    intent = session.payment_intent
    assert not isinstance(intent, str), "fetched with its payment"
    return intent


def seen_of(session: Session) -> Seen:
    intent = intent_of(session)
    currency = ((intent.currency if intent else session.currency) or "").upper()

    def seen(stage: Stage, amount: int | None, detail: str = "") -> Seen:
        return Seen(stage, from_stripe(amount or 0, currency), currency, detail)

    if intent and intent.status == "requires_capture":
        return seen(Stage.AUTHORISED, intent.amount_capturable)
    if intent and intent.status == "succeeded":
        stage = Stage.REFUNDED if _is_refunded(intent) else Stage.CAPTURED
        return seen(stage, intent.amount_received)
    if intent and intent.status == "canceled":
        # Nothing was held if the session ended with an unsuccessful try.
        stage = Stage.FAILED if session.status == "expired" else Stage.VOIDED
        return seen(stage, intent.amount, intent.cancellation_reason or "")
    if session.status == "expired":
        return seen(Stage.FAILED, session.amount_total, "the session has expired")
    if session.status == "complete" and intent and intent.status == "requires_payment_method":
        return seen(Stage.FAILED, intent.amount, "declined after the checkout")
    return seen(Stage.OPEN, session.amount_total, intent.status if intent else "")


def _is_refunded(intent: stripe.PaymentIntent) -> bool:
    charge = intent.latest_charge
    return isinstance(charge, stripe.Charge) and charge.refunded


def refund_seen_of(refund: stripe.Refund) -> RefundSeen:
    failed = refund.status in DEAD_REFUNDS
    detail = (getattr(refund, "failure_reason", None) or refund.status or "") if failed else ""
    return RefundSeen(refund.id, refund.status == "succeeded", failed, detail)


def payment_of(event: stripe.Event) -> tuple[str, str]:
    """The session that the event is about, and the attempt's key; "" for what it does not name."""
    about = event.data.object
    if isinstance(about, Session):
        return about.id, about.client_reference_id or ""
    if isinstance(about, stripe.Refund):
        return str(getattr(about.metadata, "session", "")), ""
    return "", ""
