"""The state of the fake of Stripe: sessions, payments and refunds.

What is odd about Stripe is kept: a payment exists from the shopper's first try on, the one of a session is
cancelled only while it is authorised, a session lives for 30 minutes to a day.
"""

import itertools
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from payments.providers.stripe_sessions import AUTHORISE_APART
from tests.payments.stripe_errors import ApiError, Object

OnEvent = Callable[[str, Object], None]

HALF_AN_HOUR, DAY = 1800, 86400  # seconds


@dataclass
class Books:
    on_event: OnEvent
    page: str  # where shoppers pay: a prefix of addresses
    now: Callable[[], float] = time.time
    # What happens to a refund: succeeded, pending, or failed.
    refunds_end: str = "succeeded"
    objects: dict[str, Object] = field(default_factory=dict)
    lock: threading.RLock = field(default_factory=threading.RLock)
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    # --- Sessions -------------------------------------------------------------------------------

    def create_session(self, params: Object) -> Object:
        line = params["line_items"][0]
        price = line["price_data"]
        amount = int(price["unit_amount"]) * int(line.get("quantity", 1))
        if amount < 1:
            raise ApiError(400, "amount_too_small", "The amount is too small.", "line_items")
        if "@" not in params.get("customer_email", "@"):
            message = f"Invalid email address: {params['customer_email']}"
            raise ApiError(400, "email_invalid", message, "customer_email")
        expires_at = int(params.get("expires_at", self.now() + DAY))
        if not HALF_AN_HOUR <= expires_at - self.now() <= DAY:
            raise ApiError(400, "", "It must be between 30 minutes and 24 hours.", "expires_at")
        manual = params.get("payment_intent_data", {}).get("capture_method") == "manual"
        methods = params["allowed_payment_method_types"]
        if manual:
            methods = [method for method in methods if method in AUTHORISE_APART]
        if not methods:
            raise ApiError(400, "", "No payment method is left.", "allowed_payment_method_types")
        made = self._make("cs_test_", "checkout.session") | {
            "amount_subtotal": amount,
            "amount_total": amount,
            "allowed_payment_method_types": params["allowed_payment_method_types"],
            "cancel_url": params.get("cancel_url"),
            "client_reference_id": params.get("client_reference_id"),
            "currency": price["currency"],
            "customer_email": params.get("customer_email"),
            "expires_at": expires_at,
            "locale": params.get("locale"),
            "metadata": params.get("metadata", {}),
            "mode": params["mode"],
            "payment_intent": None,
            "payment_method_options": params.get("payment_method_options", {}),
            "payment_method_types": methods,
            "payment_status": "unpaid",
            "status": "open",
            "success_url": params.get("success_url"),
        }
        made["url"] = f"{self.page}{made['id']}"
        made["_intent_data"] = params.get("payment_intent_data", {})
        return self._keep(made)

    def session(self, reference: str) -> Object:
        """The session, expired if its time is over."""
        session = self.find(reference, "checkout.session")
        if session["status"] == "open" and session["expires_at"] <= self.now():
            self._end(session)
        return session

    def expire_session(self, reference: str, _: Object) -> Object:
        session = self.session(reference)
        if session["status"] != "open":
            message = f"Only open sessions can be expired. This one is {session['status']}."
            raise ApiError(400, "", message)
        self._end(session)
        return session

    def _end(self, session: Object) -> None:
        session |= {"status": "expired", "url": None}
        if session["payment_intent"]:
            self._cancel(self.objects[session["payment_intent"]], "automatic")
        self.on_event("checkout.session.expired", session)

    # --- What the shopper does ------------------------------------------------------------------

    def pay(self, reference: str, method: str = "card", fault: str = "") -> Object:
        """Pay as a shopper does: authorised, or captured at once where the method knows no other way."""
        with self.lock:
            session = self._payable(reference)
            assert method in session["payment_method_types"], method
            options = session["payment_method_options"].get(method, {})
            manual = "manual" in (
                session["_intent_data"].get("capture_method"),
                options.get("capture_method"),
            )
            intent = self._twist(self._intent(session), fault)
            amount = intent["amount"]
            charge = self._make("ch_", "charge") | {
                "amount": amount,
                "amount_captured": 0 if manual else amount,
                "amount_refunded": 0,
                "captured": not manual,
                "currency": intent["currency"],
                "paid": True,
                "payment_intent": intent["id"],
                "refunded": False,
                "status": "succeeded",
            }
            self._keep(charge)
            intent |= {"latest_charge": charge["id"], "last_payment_error": None}
            intent |= (
                {"status": "requires_capture", "amount_capturable": amount}
                if manual
                else {"status": "succeeded", "amount_received": amount}
            )
            session |= {"status": "complete", "url": None}
            session["payment_status"] = "unpaid" if manual else "paid"
            self.on_event("checkout.session.completed", session)
            kind = "amount_capturable_updated" if manual else "succeeded"
            self.on_event(f"payment_intent.{kind}", intent)
            return session

    def decline(self, reference: str) -> Object:
        """Try a card that is declined. The session stays open."""
        with self.lock:
            session = self._payable(reference)
            intent = self._intent(session)
            intent["last_payment_error"] = {"type": "card_error", "code": "card_declined"}
            self.on_event("payment_intent.payment_failed", intent)
            return session

    def lapse(self, reference: str) -> None:
        """Let the bank take the authorisation back, as it does after a week."""
        with self.lock:
            self._cancel(self.objects[self.session(reference)["payment_intent"]], "automatic")

    def _payable(self, reference: str) -> Object:
        session = self.session(reference)
        if session["status"] != "open":
            raise ApiError(400, "", f"This page is closed: the session is {session['status']}.")
        return session

    def _intent(self, session: Object) -> Object:
        if session["payment_intent"]:
            return self.objects[session["payment_intent"]]
        data = session["_intent_data"]
        intent = self._make("pi_", "payment_intent") | {
            "amount": session["amount_total"],
            "amount_capturable": 0,
            "amount_received": 0,
            "canceled_at": None,
            "cancellation_reason": None,
            "capture_method": data.get("capture_method", "automatic_async"),
            "currency": session["currency"],
            "description": data.get("description"),
            "last_payment_error": None,
            "latest_charge": None,
            "metadata": data.get("metadata", {}),
            "payment_method_types": session["payment_method_types"],
            "status": "requires_payment_method",
        }
        session["payment_intent"] = intent["id"]
        return self._keep(intent)

    # --- Payments -------------------------------------------------------------------------------

    def capture_intent(self, reference: str, params: Object, fault: str = "") -> Object:
        intent = self.find(reference, "payment_intent")
        if intent["status"] != "requires_capture":
            raise self._unexpected(intent, "captured")
        amount = int(params.get("amount_to_capture") or intent["amount_capturable"])
        if amount > intent["amount_capturable"]:
            raise ApiError(400, "amount_too_large", "More than authorised.", "amount_to_capture")
        if fault == "wrong_amount":
            amount -= 1
        else:
            self._twist(intent, fault)
        intent |= {"status": "succeeded", "amount_received": amount, "amount_capturable": 0}
        charge = self.objects[intent["latest_charge"]]
        charge |= {"captured": True, "amount_captured": amount, "currency": intent["currency"]}
        self.session_of(intent)["payment_status"] = "paid"
        self.on_event("payment_intent.succeeded", intent)
        return intent

    def _twist(self, intent: Object, fault: str) -> Object:
        """Let another amount or currency be taken than was asked for."""
        if fault == "wrong_amount":
            intent["amount"] -= 1
        if fault == "wrong_currency":
            intent["currency"] = "usd" if intent["currency"] == "eur" else "eur"
        return intent

    def cancel_intent(self, reference: str, _: Object) -> Object:
        intent = self.find(reference, "payment_intent")
        if intent["status"] != "requires_capture":
            raise self._unexpected(intent, "canceled")
        self._cancel(intent, None)
        return intent

    def _cancel(self, intent: Object, reason: str | None) -> None:
        intent |= {"status": "canceled", "amount_capturable": 0, "cancellation_reason": reason}
        intent["canceled_at"] = int(self.now())
        self.on_event("payment_intent.canceled", intent)

    def _unexpected(self, intent: Object, done: str) -> ApiError:
        message = f"This PaymentIntent could not be {done}: its status is {intent['status']}."
        return ApiError(400, "payment_intent_unexpected_state", message)

    def session_of(self, intent: Object) -> Object:
        sessions = self.all("checkout.session")
        return next(o for o in sessions if o["payment_intent"] == intent["id"])

    # --- Refunds --------------------------------------------------------------------------------

    def create_refund(self, params: Object) -> Object:
        intent = self.find(params["payment_intent"], "payment_intent")
        if intent["status"] != "succeeded":
            raise ApiError(400, "charge_not_captured", "There is nothing to refund.")
        charge = self.objects[intent["latest_charge"]]
        left = charge["amount_captured"] - charge["amount_refunded"]
        amount = int(params.get("amount", left))
        if not 0 < amount <= left:
            raise ApiError(400, "charge_already_refunded", "It has already been refunded.")
        refund = self._make("re_", "refund") | {
            "amount": amount,
            "charge": charge["id"],
            "currency": intent["currency"],
            "metadata": params.get("metadata", {}),
            "payment_intent": intent["id"],
            "reason": None,
            "status": "pending",
        }
        self._keep(refund)
        charge["amount_refunded"] += amount
        charge["refunded"] = charge["amount_refunded"] == charge["amount_captured"]
        if self.refunds_end != "pending":
            self.end_refund(refund["id"], self.refunds_end)
        return refund

    def end_refund(self, reference: str, status: str) -> Object:
        """Let a pending refund succeed or fail: a failed one is no longer counted as refunded."""
        with self.lock:
            refund = self.find(reference, "refund")
            refund["status"] = status
            if status == "failed":
                charge = self.objects[refund["charge"]]
                charge |= {"refunded": False}
                charge["amount_refunded"] -= refund["amount"]
                refund["failure_reason"] = "lost_or_stolen_card"
            self.on_event("refund.failed" if status == "failed" else "refund.updated", refund)
            return refund

    def list_refunds(self, params: Object) -> Object:
        found = self.all("refund")
        found = [o for o in found if o["payment_intent"] == params["payment_intent"]][::-1]
        return {"object": "list", "data": found, "has_more": False, "url": "/v1/refunds"}

    # --- All ------------------------------------------------------------------------------------

    def find(self, reference: str, kind: str) -> Object:
        found = self.objects.get(reference)
        if not found or found["object"] != kind:
            raise ApiError(404, "resource_missing", f"No such {kind}: '{reference}'", "id")
        return found

    def all(self, kind: str) -> list[Object]:
        return [o for o in self.objects.values() if o["object"] == kind]

    def _make(self, prefix: str, kind: str) -> Object:
        name = f"{prefix}{next(self._numbers):04}{secrets.token_hex(8)}"
        made = {"id": name, "object": kind, "created": int(self.now())}
        return made if kind == "refund" else made | {"livemode": False}

    def _keep(self, made: Object) -> Object:
        self.objects[made["id"]] = made
        return made
