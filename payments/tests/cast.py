"""Sales that are paid at the demo provider, their orders, and both companies' books of money."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any
from unittest.mock import patch
from uuid import UUID

from django.db import connection, transaction
from django.db.models import Sum
from django.utils import timezone

from conftest import MakeSale
from inventory.models import Sale
from orders import cancellation, holds, outbox, reconciliation, sale_lifecycle, settlement
from orders.models import Order, OutboxRow
from payments import paying
from payments.models import Attempt, DemoPayment, ProviderEvent, Refund
from payments.providers import demo, registry
from payments.providers.base import Order as Asked
from payments.providers.base import Provider, RefundSeen, Seen, Started
from payments.reconciler import reconcile_payments
from payments.reconciliation import check_payments
from tests.cast import queue_up, run_caretaker

BACK = "https://shop.example/orders/1/checkout/back"


def paid_sale(make_sale: MakeSale, stock: int = 1, limit: int = 1, provider: str = "demo") -> Sale:
    """A sale whose orders are held until they are paid at the provider."""
    sale = make_sale(stock=stock, limit=limit, live=False, hold=10)
    sale.payment = provider
    sale.save()
    sale_lifecycle.schedule(sale.pk, by="staff")
    run_caretaker()
    sale.refresh_from_db()
    return sale


def held(sale: Sale, orders: int = 1) -> list[Order]:
    purchases = queue_up(sale, orders)
    settlement.settle(sale.pk)
    return list(Order.objects.filter(pk__in=purchases))


def begin(order: Order, language: str = "en") -> str:
    return paying.begin(order.pk, back=BACK, language=language, email="ada@example.org")


def attempt_of(order: Order) -> Attempt:
    return Attempt.objects.filter(order=order).latest("created_at")


def play(attempt: Attempt, choice: str) -> None:
    """The shopper does this on the demo page, and no event arrives."""
    demo.play(attempt.reference, choice)


def second_attempt(order: Order) -> Attempt:
    """Another payment of the same order, from a second tab, say. `paying.begin` prevents it."""
    attempt = Attempt(order=order, provider="demo", amount=order.total, currency=order.currency)
    asked = Asked(str(attempt.pk), "Shoe", "R", order.total, order.currency, BACK, "en")
    attempt.reference, attempt.url = demo.Demo().start(asked)
    attempt.save()
    return attempt


def cancel(order: Order) -> None:
    cancellation.cancel_order(order.pk, by="staff")
    if not OutboxRow.objects.filter(order=order, event="cancelled").exists():
        with transaction.atomic():
            outbox.tell([order.pk], OutboxRow.Event.CANCELLED)


def expire(orders: list[Order]) -> None:
    """Let these holds of a sale, and no others, end and expire."""
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE orders_order DISABLE TRIGGER order_final")
        cursor.execute(
            "UPDATE orders_order SET hold_until = now() - interval '2 minutes' WHERE id = ANY(%s)",
            [[order.pk for order in orders]],
        )
        cursor.execute("ALTER TABLE orders_order ENABLE TRIGGER order_final")
    holds.expire(orders[0].sale_id, [orders[0].variant_id or 0])


def make_all_due() -> None:
    """Time passes: all that is open is asked about now."""
    now = timezone.now() - timedelta(seconds=1)
    for model in (Attempt, Refund, ProviderEvent, OutboxRow):
        model.objects.filter(due__isnull=False).update(due=now)


def end_payments_of_other_tests() -> None:
    """Leave alone what they have not brought to its end: a round of the reconciler takes only so many rows,
    and a payment that has been unknown for a minute is an alarm. Their sales are finished."""
    over = {"due__isnull": False, "order__sale__finished": True}
    Attempt.objects.filter(**over).update(due=None)
    OutboxRow.objects.filter(**over).update(due=None)
    Refund.objects.filter(due__isnull=False, attempt__order__sale__finished=True).update(due=None)
    ProviderEvent.objects.filter(due__isnull=False).update(due=None)


def reconcile(rounds: int = 3) -> None:
    for _ in range(rounds):
        make_all_due()
        reconcile_payments()


def states(order: Order) -> list[str]:
    """Of the order's attempts, oldest first."""
    attempts = Attempt.objects.filter(order=order).order_by("created_at")
    return list(attempts.values_list("state", flat=True))


def money_kept(order: Order) -> int:
    """What the demo provider has taken for the order and not given back, by its own books."""
    references = [UUID(each) for each in references_of(order)]
    payments = DemoPayment.objects.filter(pk__in=references)
    sums = payments.aggregate(taken=Sum("captured"), back=Sum("refunded"))
    return (sums["taken"] or 0) - (sums["back"] or 0)


def money_reserved(order: Order) -> int:
    """The payments that the provider still holds for the shop, or lets the shopper make."""
    references = [UUID(each) for each in references_of(order)]
    return DemoPayment.objects.filter(pk__in=references, state__in=["open", "authorised"]).count()


def references_of(order: Order) -> list[str]:
    attempts = Attempt.objects.filter(order=order).exclude(reference="")
    return list(attempts.values_list("reference", flat=True))


def assert_money_balances(order: Order) -> None:
    """The provider has exactly the price of a confirmed order, and nothing of any other."""
    order.refresh_from_db()
    owed = order.total if order.status == Order.Status.CONFIRMED else 0
    assert money_kept(order) == owed, (order.status, states(order))
    report = reconciliation.Report()
    reconciliation.check_rules(order.sale_id, report)
    check_payments(order.sale_id, report)
    assert report.faults == {}


class Faulty:
    """The demo provider, some of whose calls do what a test says; all calls are written down."""

    name = "demo"

    def __init__(self, **faults: Callable[..., Any]) -> None:
        self._real: Provider = demo.Demo()
        self._faults = faults
        self.calls: list[tuple[Any, ...]] = []

    def _call(self, name: str, *args: Any) -> Any:
        self.calls.append((name, *args))
        real = getattr(self._real, name)
        fault = self._faults.get(name)
        return fault(real, *args) if fault else real(*args)

    def start(self, order: Asked) -> Started:
        return self._call("start", order)  # type: ignore[no-any-return]  # as the real one

    def fetch(self, reference: str) -> Seen:
        return self._call("fetch", reference)  # type: ignore[no-any-return]  # as the real one

    def capture(self, reference: str, amount: int, currency: str, key: str) -> Seen:
        return self._call("capture", reference, amount, currency, key)  # type: ignore[no-any-return]  # as the real one

    def void(self, reference: str, key: str) -> Seen:
        return self._call("void", reference, key)  # type: ignore[no-any-return]  # as the real one

    def refund(self, reference: str, amount: int, currency: str, key: str) -> RefundSeen:
        return self._call("refund", reference, amount, currency, key)  # type: ignore[no-any-return]  # as the real one

    def fetch_refund(self, reference: str, refund: str) -> RefundSeen:
        return self._call("fetch_refund", reference, refund)  # type: ignore[no-any-return]  # as the real one

    def read_event(self, body: bytes, headers: Any) -> Any:
        return self._real.read_event(body, headers)

    def keys(self, name: str) -> list[str]:
        """The idempotency keys of these calls."""
        return [call[-1] for call in self.calls if call[0] == name]


@contextmanager
def provider(**faults: Callable[..., Any]) -> Iterator[Faulty]:
    """Behind the name `demo` is a provider with these faults: each gets the real call and its arguments."""
    faulty = Faulty(**faults)
    with patch.dict(registry._made, {"demo": faulty}):
        yield faulty
