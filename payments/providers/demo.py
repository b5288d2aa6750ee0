"""The demo provider: a card page of our own that takes no money, with books of its own.

It plays another company: the shop knows it by `payments/providers/base.py` alone, and its page is
`payments/demo_page.py`.
"""

import json
from collections.abc import Mapping
from datetime import timedelta
from uuid import UUID, uuid4

from django.db import connection, transaction
from django.utils import timezone

from flashsale.compiled import Compiled, Given
from flashsale.http import signing
from payments.models import DemoPayment
from payments.providers.base import (
    Event,
    Forged,
    NotKnown,
    Order,
    Provider,
    RefundSeen,
    Refused,
    Seen,
    Stage,
    Started,
)

DAWDLES = 20  # seconds until it does what a slow payment comes to
SIGNATURE = "Demo-Signature"
_PURPOSE = "demo-payment-event"

# A payment that is there already is written again as it is, so that its id is returned.
_START = """
INSERT INTO payments_demopayment AS p
    (id, key, amount, currency, title, back, language, state, captured, refunded, refund_key)
VALUES (%s, %s, %s, %s, %s, %s, %s, 'open', 0, 0, '')
ON CONFLICT (key) DO UPDATE SET key = p.key RETURNING id
"""
_WRITE = """
UPDATE payments_demopayment
SET state = %s, captured = %s, refunded = %s, refund_key = %s, twin_id = %s, acts_at = %s WHERE id = %s
"""
_PAYMENT = Compiled(DemoPayment, lambda: DemoPayment.objects.filter(pk=Given("id")))
_LOCKED = Compiled(
    DemoPayment,
    lambda: DemoPayment.objects.select_for_update(no_key=True).filter(pk=Given("id")),
)


def make() -> Provider:
    return Demo()


class Demo:
    """Keeps payments in `DemoPayment`. Each call is one transaction and acts once per key."""

    name = "demo"

    def start(self, order: Order) -> Started:
        title = f"{order.title} · {order.reference}"[:200]
        row = (uuid4(), order.key, order.amount, order.currency, title, order.back, order.language)
        with connection.cursor() as cursor:
            cursor.execute(_START, row)
            [payment] = cursor.fetchone() or [row[0]]
        # Without a host: the page is on the one that the shopper uses.
        return Started(str(payment), f"/payments/demo/{payment}/")

    def fetch(self, reference: str) -> Seen:
        payment = _find(reference)
        if payment.acts_at:
            with transaction.atomic():
                payment = _lock(reference)
        return _seen(payment)

    def capture(self, reference: str, amount: int, currency: str, key: str) -> Seen:
        with transaction.atomic():
            payment = _lock(reference)
            if payment.state == Stage.AUTHORISED:
                if (amount, currency) != (payment.amount, payment.currency):
                    raise Refused("another amount was authorised")
                payment.state, payment.captured = Stage.CAPTURED, amount
                _write(payment)
            elif payment.state != Stage.CAPTURED:
                raise Refused(f"the payment is {payment.state}")
            return _seen(payment)

    def void(self, reference: str, key: str) -> Seen:
        with transaction.atomic():
            payment = _lock(reference)
            if payment.state in (Stage.OPEN, Stage.AUTHORISED):
                payment.state, payment.acts_at = Stage.VOIDED, None
                _write(payment)
            return _seen(payment)

    def refund(self, reference: str, amount: int, currency: str, key: str) -> RefundSeen:
        with transaction.atomic():
            payment = _lock(reference)
            if payment.refund_key != key:
                if payment.state != Stage.CAPTURED:
                    raise Refused(f"the payment is {payment.state}")
                if (amount, currency) != (payment.captured, payment.currency):
                    raise Refused("another amount was captured")
                payment.state, payment.refunded, payment.refund_key = Stage.REFUNDED, amount, key
                _write(payment)
            return RefundSeen(f"refund-{payment.pk}", done=True)

    def fetch_refund(self, reference: str, refund: str) -> RefundSeen:
        payment = _find(reference)
        if not payment.refunded:
            raise Refused("there is no refund")
        return RefundSeen(refund, done=True)

    def read_event(self, body: bytes, headers: Mapping[str, str]) -> Event:
        try:
            signature = bytes.fromhex(headers.get(SIGNATURE, ""))
        except ValueError as malformed:
            raise Forged("the signature is malformed") from malformed
        if not signing.is_signed(_PURPOSE, body, signature):
            raise Forged("the signature is not the demo provider's")
        try:
            told = json.loads(body)
            return Event(told["id"], told["kind"], told["payment"], told["key"])
        except (ValueError, KeyError, TypeError) as malformed:
            raise Forged("the event cannot be read") from malformed


# --- What its page does ------------------------------------------------------------------------------


def play(reference: str, choice: str) -> list[tuple[bytes, dict[str, str]]]:
    """Do what the shopper chose on the page: pay, twice, leave, slow or decline. Returns the events that
    the provider sends, as body and headers. Does nothing to a payment that is not open any more."""
    with transaction.atomic():
        payment = _lock(reference)
        if payment.state != Stage.OPEN or payment.acts_at:
            return []
        if choice == "slow":
            payment.acts_at = timezone.now() + timedelta(seconds=DAWDLES)
        else:
            payment.state = Stage.FAILED if choice == "decline" else Stage.AUTHORISED
        if choice == "twice":
            payment.twin = DemoPayment.objects.create(
                key=f"{payment.key} twice",
                amount=payment.amount,
                currency=payment.currency,
                title=payment.title,
                back=payment.back,
                language=payment.language,
                state=Stage.AUTHORISED,
            )
        _write(payment)
    if payment.acts_at:
        return []
    paid = [payment, *([payment.twin] if payment.twin else [])]
    return [_event(each, payment.key) for each in paid]


def find(reference: str) -> DemoPayment | None:
    """The payment for its page."""
    try:
        return _find(reference)
    except Refused:
        return None


def _event(payment: DemoPayment, key: str) -> tuple[bytes, dict[str, str]]:
    told = {
        "id": str(uuid4()),
        "kind": f"payment.{payment.state}",
        "payment": str(payment.pk),
        "key": key,
    }
    body = json.dumps(told).encode()
    return body, {SIGNATURE: signing.sign(_PURPOSE, body).hex()}


def _lock(reference: str) -> DemoPayment:
    """The locked payment, with what it has come to by now."""
    payment = _find(reference, lock=True)
    if payment.acts_at and payment.acts_at <= timezone.now() and payment.state == Stage.OPEN:
        payment.state, payment.acts_at = Stage.AUTHORISED, None
        _write(payment)
    return payment


def _write(payment: DemoPayment) -> None:
    """Write a locked payment: what may have changed of it."""
    money = payment.captured, payment.refunded, payment.refund_key
    row = (str(payment.state), *money, payment.twin_id, payment.acts_at, payment.pk)
    with connection.cursor() as cursor:
        cursor.execute(_WRITE, row)


def _find(reference: str, *, lock: bool = False) -> DemoPayment:
    try:
        return (_LOCKED if lock else _PAYMENT).get(id=UUID(reference))
    except (DemoPayment.DoesNotExist, ValueError) as unknown:
        raise NotKnown("there is no such payment") from unknown


def _seen(payment: DemoPayment) -> Seen:
    why = "declined" if payment.state == Stage.FAILED else ""
    return Seen(Stage(payment.state), payment.captured or payment.amount, payment.currency, why)
