"""Compares what the payment provider has booked with the orders of a sale and the shop's own payments.

Like `drills/log_check.py` this sees the shop from the outside: the provider's books are another
company's. `payments` checks its own rows by itself.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple
from uuid import UUID

from django.db.models import Q
from django.db.models.functions import Substr

from drills.log_check import Fault
from inventory.models import Sale
from orders.models import Order, OutboxRow
from payments.models import Attempt, DemoPayment, Refund

_KEY = 36  # characters: an attempt's id, with which the provider's key of a payment begins
_WAYS = {
    "captured": ("captured", "refund_pending"),
    "refunded": ("refunded",),
    "voided": ("voided", "failed"),
    "failed": ("failed", "voided"),
}


class Payment(NamedTuple):
    """A payment in the provider's books. Amounts are in minor units."""

    reference: str
    key: str  # of its start: begins with the attempt's id
    state: str  # open, authorised, captured, voided, failed or refunded
    captured: int
    refunded: int
    currency: str

    @property
    def kept(self) -> int:
        return self.captured - self.refunded


class OrderSeen(NamedTuple):
    status: str
    total: int
    currency: str

    @property
    def confirmed(self) -> bool:
        return self.status == Order.Status.CONFIRMED


@dataclass(frozen=True)
class Money:
    """The orders of a sale with a checkout, the shop's payments of them, and the provider's books."""

    orders: dict[UUID, OrderSeen]
    attempts: list[Attempt]
    refunds: list[Refund]
    books: list[Payment]
    charged: bool  # whether the sale asks for money

    @property
    def taken(self) -> int:
        """What the provider keeps for the shop: captured, and not refunded."""
        return sum(payment.kept for payment in self.books)

    @property
    def due(self) -> int:
        """What confirmed orders cost."""
        return sum(order.total for order in self.orders.values() if order.confirmed)

    def as_json(self) -> dict[str, Any]:
        return {
            "orders": dict(Counter(order.status for order in self.orders.values())),
            "payments": dict(Counter(payment.state for payment in self.books)),
            "refunds": dict(Counter(refund.state for refund in self.refunds)),
            "captured": sum(payment.captured for payment in self.books),
            "refunded": sum(payment.refunded for payment in self.books),
            "total_of_confirmed": self.due,
        }


def read_money(sale: Sale, books: Iterable[Payment] | None = None) -> Money:
    """Read orders and payments; the books of the demo provider, if no others are given."""
    orders = {
        pk: OrderSeen(status, price * quantity, currency)
        for pk, status, price, quantity, currency in Order.objects.filter(sale=sale)
        .exclude(status=Order.Status.REJECTED)
        .values_list("pk", "status", "unit_price", "quantity", "currency")
    }
    attempts = list(Attempt.objects.filter(order__sale=sale))
    refunds = list(Refund.objects.filter(attempt__order__sale=sale))
    known = {str(attempt.pk) for attempt in attempts}
    kept = read_demo_books(known) if books is None else list(books)
    return Money(orders, attempts, refunds, kept, charged=bool(sale.payment))


def read_demo_books(attempts: set[str]) -> list[Payment]:
    """The demo provider's payments of these attempts, and of none that the shop knows."""
    rows = list(DemoPayment.objects.annotate(attempt=Substr("key", 1, _KEY)))
    # Read later: an attempt is written before the provider hears of it.
    all_known = {str(pk) for pk in Attempt.objects.values_list("pk", flat=True)}
    return [
        Payment(str(row.pk), row.key, row.state, row.captured, row.refunded, row.currency)
        for row in rows
        if row.attempt in attempts or row.attempt not in all_known
    ]


def count_open(sale: Sale) -> int:
    """How many payments and refunds of the sale have no end yet, beside those whose shoppers may still
    pay."""
    waiting = {"state": Attempt.State.CREATED, "order__status": Order.Status.HELD}
    attempts = Attempt.objects.filter(order__sale=sale, due__isnull=False).exclude(**waiting)
    captured = Attempt.objects.filter(order__sale=sale, state=Attempt.State.CAPTURED)
    refunds = Refund.objects.filter(attempt__order__sale=sale, state=Refund.State.PENDING)
    rows = OutboxRow.objects.filter(
        order__sale=sale, consumer=OutboxRow.Consumer.REFUND, due__isnull=False
    )
    unfinished = captured.filter(order__status=Order.Status.HELD)
    return sum(found.count() for found in (attempts, unfinished, refunds, rows))


def count_untold(sale: Sale) -> int:
    """How many payments of the sale the demo provider goes on with by itself, or waits with for the shop,
    which may not have heard of them yet. To be asked before `count_open`: the shop then knows them."""
    attempts = Attempt.objects.filter(order__sale=sale).values_list("pk", flat=True)
    moving = DemoPayment.objects.filter(Q(state="authorised") | Q(acts_at__isnull=False))
    keys = moving.annotate(attempt=Substr("key", 1, _KEY)).values_list("attempt", flat=True)
    return len({str(pk) for pk in attempts} & set(keys))


def find_money_faults(money: Money) -> list[Fault]:
    """Find every payment and order that do not agree. None if no shopper is charged without units or
    has units uncharged, and every payment has come to an end."""
    by_attempt: dict[str, list[Payment]] = defaultdict(list)
    for payment in money.books:
        by_attempt[payment.key[:_KEY]].append(payment)
    faults = list(_check_sum(money)) if money.charged else []
    faults += _check_orders(money, by_attempt)
    faults += _check_attempts(money)
    faults += _check_refunds(money.refunds)
    return faults


# --- Helpers --------------------------------------------------------------------------------------


def _check_sum(money: Money) -> Iterator[Fault]:
    if money.taken != money.due:
        yield Fault("money_is_not_the_orders", {"kept": money.taken, "orders": money.due})


def _check_orders(money: Money, by_attempt: dict[str, list[Payment]]) -> Iterator[Fault]:
    paid: dict[UUID, list[Payment]] = defaultdict(list)
    for attempt in money.attempts:
        booked = by_attempt.pop(f"{attempt.pk}", [])
        if attempt.state == Attempt.State.FAILED and not attempt.reference:
            # The answer to its start was lost, so no shopper has the address at which it can be paid.
            booked = [payment for payment in booked if payment.state != "open"]
        paid[attempt.order_id] += booked
    for pk, order in money.orders.items():
        yield from _check_order(pk, order, paid[pk], charged=money.charged)
    for payments in by_attempt.values():
        for payment in payments:
            if payment.kept or payment.state in ("open", "authorised"):
                yield Fault("payment_of_no_order", {"payment": payment.reference})


def _check_order(
    pk: UUID, order: OrderSeen, payments: list[Payment], *, charged: bool
) -> Iterator[Fault]:
    kept = sum(payment.kept for payment in payments)
    owed = order.total if order.confirmed and charged else 0
    seen = {"order": f"{pk}", "status": order.status, "kept": kept, "total": order.total}
    if kept > owed:
        yield Fault("charged_without_units" if not owed else "charged_too_much", seen)
    elif kept < owed:
        yield Fault("units_without_payment", seen)
    for payment in payments:
        if payment.currency != order.currency:
            yield Fault("another_currency", seen | {"payment": payment.reference})
        unfinished = payment.state == "authorised" or (
            payment.state == "open" and order.status != Order.Status.HELD
        )
        if unfinished:
            what = {"payment": payment.reference, "state": payment.state}
            yield Fault("payment_without_an_end", seen | what)


def _check_attempts(money: Money) -> Iterator[Fault]:
    """Compare each attempt with the provider's payment of the same reference."""
    booked = {payment.reference: payment for payment in money.books}
    for attempt in money.attempts:
        payment = booked.get(attempt.reference)
        order = money.orders[attempt.order_id]
        open_still = attempt.state in (Attempt.State.CREATED, Attempt.State.UNKNOWN)
        if payment is None or (open_still and order.status == Order.Status.HELD):
            continue
        if attempt.state not in _WAYS.get(payment.state, ()):
            what = {"attempt": f"{attempt.pk}", "shop": attempt.state, "provider": payment.state}
            yield Fault("shop_and_provider_disagree", what)


def _check_refunds(refunds: Iterable[Refund]) -> Iterator[Fault]:
    for refund in refunds:
        if refund.state != Refund.State.DONE:
            yield Fault("refund_without_an_end", {"refund": f"{refund.pk}", "state": refund.state})
