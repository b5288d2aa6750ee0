"""`manage.py order`: looks at an order, and cancels orders through `orders/cancellation.py`."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any
from uuid import UUID

from django.db import DatabaseError, InterfaceError

from flashsale.templatetags.money import money
from inventory.gate import replica
from ops.base_command import FAILED, Failed, UsageError, describe_failure, is_away
from ops.lifecycle_command import Facts, LifecycleCommand, audit_facts
from orders import cancellation, changes
from orders.models import AuditEntry, Order
from orders.reference import purchase_range, reference
from orders.tickets import sale_of


@dataclass(frozen=True)
class Result:
    """What became of one order that was to be cancelled."""

    id: UUID
    reference: str
    outcome: str  # cancelled, cancelled before, not possible, unknown, not tried, or not asked for
    told: bool = False  # its shopper's page and the gate know
    why: str = ""

    def __str__(self) -> str:
        return f"{self.reference}: {self.outcome}{': ' if self.why else ''}{self.why}"


class Command(LifecycleCommand):
    help = "Looks at an order and cancels orders, by purchase id or short reference."

    def add_commands(self) -> None:
        show = self.add_command("show", self._show, "An order; two where a reference means two.")
        show.add_argument("order", metavar="ID|REFERENCE")
        cancel = self.add_command(
            "cancel", self._cancel, "Cancels confirmed orders: their units return to stock."
        )
        cancel.add_argument("orders", nargs="+", metavar="ID|REFERENCE")
        self.add_change_arguments(cancel)

    def _show(self, *, order: str, **_: Any) -> None:
        first, last = _meant(order)
        found = [_facts(each) for each in _between(first, last)]
        if not found and first == last:
            found = _undecided(first)
        if not found:
            raise _unknown(order)
        self.tell({"orders": found}, "\n\n".join(map(_words, found)))

    def _cancel(
        self,
        *,
        orders: Sequence[str],
        by: str,
        reason: str,
        dry_run: bool,
        no_input: bool,
        **_: Any,
    ) -> int:
        """Exit code 1 unless each of them is cancelled now, and its gate knows."""
        found = list({order.pk: order for order in map(_the_one, orders)}.values())
        for order in found:
            self.note(_line(order))
        question = f"Cancel {'this order' if len(found) == 1 else f'these {len(found)} orders'}?"
        if not self.confirmed(question, dry_run=dry_run, no_input=no_input):
            self._tell_results(Result(each.pk, each.reference, "not asked for") for each in found)
            return 0
        results = self._tell_results(_cancel_each(found, by, reason))
        return 0 if all(result.told for result in results) else FAILED

    def _tell_results(self, results: Iterable[Result]) -> list[Result]:
        """In words each at once, for whoever interrupts must know how far it came."""
        told = []
        for result in results:
            told.append(result)
            if not self.as_json:
                self.tell(None, str(result))
                self.stdout.flush()
        if self.as_json:
            self.tell({"orders": [asdict(result) for result in told]}, "")
        return told


# --- Which order -------------------------------------------------------------------------------


def _meant(text: str) -> tuple[UUID, UUID]:
    """The first and the last purchase id that `text` can mean. Raises UsageError where it is neither an
    id nor a reference."""
    try:
        purchase = UUID(text)
    except ValueError:
        meant = purchase_range(text)
    else:
        meant = purchase, purchase
    if meant is None:
        raise UsageError(
            f"{text!r} is neither a purchase id nor a short reference such as 12-K7Q29FX."
        )
    return meant


def _between(first: UUID, last: UUID) -> list[Order]:
    orders = Order.objects.filter(pk__range=(first, last)).select_related("sale", "product")
    return list(orders.order_by("pk"))


def _the_one(text: str) -> Order:
    """Raises Failed unless there is exactly one."""
    found = _between(*_meant(text))
    if not found:
        raise _unknown(text)
    if len(found) > 1:
        both = "\n".join(f"{order.pk}  {_line(order)}" for order in found)
        raise Failed(f"{text} means several orders. Say which, by its id:\n{both}")
    return found[0]


def _unknown(text: str) -> Failed:
    return Failed(
        f"There is no order {text!r}. A purchase that still waits in the line is shown by its id."
    )


# --- Cancelling --------------------------------------------------------------------------------


def _cancel_each(orders: Iterable[Order], by: str, reason: str) -> Iterator[Result]:
    """Does not go on where PostgreSQL has gone away: each further order would wait in vain."""
    away = False
    for order in orders:
        if away:
            yield Result(order.pk, order.reference, "not tried")
            continue
        try:
            yield _cancel_one(order, by, reason)
        except (DatabaseError, InterfaceError) as error:
            away = is_away(error)
            outcome = "unknown" if away else "not possible"
            yield Result(order.pk, order.reference, outcome, why=describe_failure(error))


def _cancel_one(order: Order, by: str, reason: str) -> Result:
    try:
        newly = cancellation.cancel_order(order.pk, by=by, reason=reason)
    except changes.NotPossible as refusal:
        return Result(order.pk, order.reference, "not possible", why=str(refusal))
    except changes.NotReplicated as warning:
        return Result(order.pk, order.reference, "cancelled", why=str(warning))
    return Result(
        order.pk, order.reference, "cancelled" if newly else "cancelled before", told=True
    )


# --- What is shown -----------------------------------------------------------------------------


def _line(order: Order) -> str:
    if order.product is None:
        return f"{order.reference}  {order.status}"
    total = money(order.total, order.currency)
    return f"{order.reference}  {order.status}  {order.quantity} of {order.product}  {total}"


def _facts(order: Order) -> Facts:
    return {
        "id": order.pk,
        "reference": order.reference,
        "sale": order.sale.slug,
        "sku": order.product.sku if order.product else None,
        "product": str(order.product) if order.product else None,
        "shopper": order.shopper,
        "quantity": order.quantity,
        "unit_price": order.unit_price,
        "total": order.total,
        "currency": order.currency,
        "status": order.status,
        "reason": order.reason,
        "accepted_at": order.accepted_at,
        "settled_at": order.settled_at,
        "audit": audit_facts(AuditEntry.objects.filter(order=order.pk)),
    }


def _undecided(purchase: UUID) -> list[Facts]:
    """What the gate knows of a purchase that is no order yet. Raises redis.RedisError."""
    answer, _ = replica.read_answer(sale_of(purchase), purchase.hex)
    if answer is None:
        return []
    return [
        {
            "id": purchase,
            "reference": reference(purchase),
            "sku": answer.sku,
            "shopper": UUID(answer.shopper),
            "quantity": answer.quantity,
            "status": answer.status,
        }
    ]


def _words(facts: Facts) -> str:
    """A line per fact; money with its currency, and the audit as sentences."""
    told = dict(facts)
    audit = told.pop("audit", [])
    if currency := told.pop("currency", ""):
        for amount in ("unit_price", "total"):
            told[amount] = money(told[amount], currency)
    lines = [f"{name.replace('_', ' '):12} {value}" for name, value in told.items() if value]
    return "\n".join([*lines, *(f"{'audit':12} {_sentence(entry)}" for entry in audit)])


def _sentence(entry: Facts) -> str:
    reason = f": {entry['reason']}" if entry["reason"] else ""
    return f"{entry['at']:%Y-%m-%d %H:%M:%S} UTC {entry['action']} by {entry['by']}{reason}"
