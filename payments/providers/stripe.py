"""Stripe: Checkout Sessions, whose payments are authorised by the shopper and captured by the shop.

A payment's reference is its session. A call that is repeated acts once, even after Stripe has forgotten an
idempotency key (a day later): each call looks at the payment first, and Stripe captures, cancels and
refunds a payment in full only once.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, TypeVar

import stripe
from django.conf import settings

from payments.providers.base import (
    Busy,
    Event,
    Forged,
    NoAnswer,
    NotKnown,
    Order,
    ProviderError,
    RefundSeen,
    Refused,
    Seen,
    Stage,
    Started,
)
from payments.providers.stripe_amounts import to_stripe
from payments.providers.stripe_objects import (
    DEAD_REFUNDS,
    intent_of,
    payment_of,
    refund_seen_of,
    seen_of,
)
from payments.providers.stripe_sessions import expiries, session_params

if TYPE_CHECKING:
    from stripe.checkout import Session

T = TypeVar("T")

# What the answers look like. The package's types are of this version: change both together.
API_VERSION = "2026-10-28.endive"
CONNECT_TIMEOUT, READ_TIMEOUT = 3.0, 10.0  # seconds
TOLERANCE = 300  # seconds that an event's signature is good for

_EXPAND = ["payment_intent.latest_charge"]
_KEYS_TRIED = 5

# It writes a file into the home directory, and sends the platform's name with each call.
stripe.enable_telemetry = False


class _OtherRequest(Refused):
    """The idempotency key was used with other parameters."""


class Stripe:
    name = "stripe"

    def __init__(self) -> None:
        base = settings.STRIPE_API_BASE.rstrip("/")
        self._client = stripe.StripeClient(
            settings.STRIPE_SECRET_KEY,
            stripe_version=API_VERSION,
            base_addresses={"api": base} if base else {},
            # The reconciler tries again: it knows what may be repeated, and when.
            max_network_retries=0,
            http_client=stripe.RequestsClient(timeout=(CONNECT_TIMEOUT, READ_TIMEOUT)),
        )
        self._methods: list[str] = settings.STRIPE_PAYMENT_METHODS
        self._secrets: list[str] = settings.STRIPE_WEBHOOK_SECRETS

    # --- Start --------------------------------------------------------------------------------

    def start(self, order: Order) -> Started:
        if order.amount <= 0:
            raise Refused("Stripe takes no payment of nothing.")
        params = session_params(order, self._methods)
        for expires_at in expiries(order.seconds):
            if expires_at is not None:
                params["expires_at"] = expires_at
            try:
                session = self._act(
                    f"start-{order.key}",
                    lambda key: self._client.v1.checkout.sessions.create(
                        params, {"idempotency_key": key}
                    ),
                )
            except _OtherRequest:
                continue
            return Started(session.id, session.url or "")
        raise _OtherRequest("This payment was started before, for another order.")

    # --- Look, capture, void --------------------------------------------------------------------

    def fetch(self, reference: str) -> Seen:
        return seen_of(self._session(reference))

    def capture(self, reference: str, amount: int, currency: str, key: str) -> Seen:
        session = self._session(reference)
        seen = seen_of(session)
        if seen.stage is not Stage.AUTHORISED:
            return seen
        if (seen.amount, seen.currency) != (amount, currency):
            raise Refused(f"Authorised are {seen.amount} {seen.currency}, not {amount} {currency}.")
        intent = intent_of(session)
        assert intent
        self._act(
            f"capture-{key}",
            lambda key: self._client.v1.payment_intents.capture(
                intent.id,
                {"amount_to_capture": to_stripe(amount, currency)},
                {"idempotency_key": key},
            ),
        )
        return self.fetch(reference)

    def void(self, reference: str, key: str) -> Seen:
        session = self._session(reference)
        try:
            self._close(session, key)
        except Refused:
            # The shopper may have paid, or the session expired, since it was fetched.
            now = self._session(reference)
            if seen_of(now).stage is seen_of(session).stage:
                raise
            self._close(now, key)
        return self.fetch(reference)

    def _close(self, session: "Session", key: str) -> None:
        """Cancel the authorisation, or expire the open session. Leave a captured or ended one alone."""
        intent = intent_of(session)
        if intent and intent.status == "requires_capture":
            self._act(
                f"cancel-{key}",
                lambda key: self._client.v1.payment_intents.cancel(
                    intent.id, {}, {"idempotency_key": key}
                ),
            )
        elif session.status == "open":
            self._act(
                f"expire-{key}",
                lambda key: self._client.v1.checkout.sessions.expire(
                    session.id, {}, {"idempotency_key": key}
                ),
            )

    # --- Refund -----------------------------------------------------------------------------------

    def refund(self, reference: str, amount: int, currency: str, key: str) -> RefundSeen:
        """Refund all that is captured, also where that is not `amount`: a wrong amount goes back whole."""
        intent = intent_of(self._session(reference))
        if not intent or intent.status != "succeeded":
            raise Refused(f"There is nothing to refund: {intent.status if intent else 'not paid'}.")
        earlier = self._client_call(
            lambda: self._client.v1.refunds.list({"payment_intent": intent.id, "limit": 100})
        ).data
        for refund in earlier:
            if refund.status not in DEAD_REFUNDS:
                return refund_seen_of(refund)
        # A refund that has failed keeps its key: the next one needs another.
        made = self._act(
            f"refund-{len(earlier)}-{key}",
            lambda key: self._client.v1.refunds.create(
                {"payment_intent": intent.id, "metadata": {"session": reference}},
                {"idempotency_key": key},
            ),
        )
        return refund_seen_of(made)

    def fetch_refund(self, reference: str, refund: str) -> RefundSeen:
        return refund_seen_of(self._client_call(lambda: self._client.v1.refunds.retrieve(refund)))

    # --- Events -----------------------------------------------------------------------------------

    def read_event(self, body: bytes, headers: Mapping[str, str]) -> Event:
        signature = next((v for k, v in headers.items() if k.lower() == "stripe-signature"), "")
        for secret in self._secrets:
            try:
                event = self._client.construct_event(body, signature, secret, TOLERANCE)
            except (stripe.SignatureVerificationError, ValueError, TypeError):
                continue  # TypeError: a signature that is not ASCII
            return Event(event.id, event.type, *payment_of(event))
        raise Forged("No valid signature of Stripe.")

    # --- Calls ------------------------------------------------------------------------------------

    def _session(self, reference: str) -> "Session":
        return self._client_call(
            lambda: self._client.v1.checkout.sessions.retrieve(reference, {"expand": _EXPAND})
        )

    def _act(self, key: str, call: Callable[[str], T]) -> T:
        """Call with the idempotency key. Stripe keeps an error under its key for a day, a 500 included,
        and repeats it: then it is tried under the next key, which is safe after a look at the payment.
        A second session is safe, too: the shopper has never seen the address of the first."""
        for number in range(_KEYS_TRIED):
            try:
                return call(f"{key}-{number}" if number else key)
            except stripe.StripeError as error:
                kept = (
                    error.headers.get("Idempotent-Replayed") == "true" if error.headers else False
                )
                if not kept or number == _KEYS_TRIED - 1:
                    raise _translate(error) from None
        raise AssertionError("unreachable")

    def _client_call(self, call: Callable[[], T]) -> T:
        try:
            return call()
        except stripe.StripeError as error:
            raise _translate(error) from None


def make() -> Stripe:
    return Stripe()


def _translate(error: stripe.StripeError) -> ProviderError:
    """The interface's error, without Stripe's own message: it may contain an address or part of a key."""
    words = [type(error).__name__, error.http_status, error.code, getattr(error, "param", "")]
    said = " ".join(str(word) for word in [*words, error.request_id] if word)
    if isinstance(error, stripe.RateLimitError):
        return Busy(said)
    if isinstance(error, stripe.AuthenticationError | stripe.PermissionError):
        # Not Refused: the payment is as before, and the call succeeds once the key is right.
        return Busy(f"{said}: check STRIPE_SECRET_KEY.")
    if isinstance(error, stripe.IdempotencyError):
        return _OtherRequest(said)
    status = error.http_status or 0
    if status == 404:
        return NotKnown(said)
    # 409: a call with the same key is under way.
    return Refused(said) if 400 <= status < 500 and status != 409 else NoAnswer(said)
