"""`manage.py order`: show an order, and cancel orders through `orders/cancellation.py`; the rest is in
`ops/order_services.py`."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any
from uuid import UUID

from django.db import DatabaseError, InterfaceError

from flashsale.characters import isolate
from flashsale.database import only_reads
from flashsale.moments import find_zone
from flashsale.templatetags.money import money
from inventory.gate import replica
from ops.base_command import FAILED, Failed, UsageError, describe_failure, is_away
from ops.lifecycle_command import Facts, audit_facts
from ops.order_services import OrderServices
from orders import cancellation, changes
from orders.models import AuditEntry, Order
from orders.reference import purchase_range, reference
from orders.tickets import sale_of


@dataclass(frozen=True)
class Result:
    """The result of one cancellation."""

    id: UUID
    reference: str
    outcome: str  # cancelled, cancelled before, not possible, unknown, not tried, or not asked for
    told: bool = False  # it is cancelled, and replicated to the gate
    why: str = ""

    def __str__(self) -> str:
        return f"{self.reference}: {self.outcome}{': ' if self.why else ''}{self.why}"


class Command(OrderServices):
    help = (
        "Shows an order, cancels and ships orders, hands out and erases a shopper's data. Orders are"
        " named by purchase id or short reference."
    )

    def add_commands(self) -> None:
        show = self.add_command("show", self._show, "One order; two if a reference means two.")
        show.add_argument("order", metavar="ID|REFERENCE")
        cancel = self.add_command(
            "cancel", self._cancel, "Cancels confirmed or held orders: their units return to stock."
        )
        cancel.add_argument("orders", nargs="+", metavar="ID|REFERENCE")
        self.add_change_arguments(cancel)
        self.add_services()

    def find_order(self, name: str) -> Order:
        return _find_one(name)

    def _show(self, *, order: str, **_: Any) -> None:
        first, last = _parse_range(order)
        found = [_order_facts(each) for each in _find_between(first, last)]
        if not found and first == last:
            found = _read_undecided(first)
        if not found:
            raise _unknown(order)
        self.tell({"orders": found}, "\n\n".join(map(_format_facts, found)))

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
        """Exit code 1 unless each order is cancelled now, and replicated to its gate."""
        found = list({order.pk: order for order in map(_find_one, orders)}.values())
        for order in found:
            self.note(_format_line(order))
        question = f"Cancel {'this order' if len(found) == 1 else f'these {len(found)} orders'}?"
        if not self.confirmed(question, dry_run=dry_run, no_input=no_input):
            self._print_results(Result(each.pk, each.reference, "not asked for") for each in found)
            return 0
        results = self._print_results(_cancel_each(found, by, reason))
        return 0 if all(result.told for result in results) else FAILED

    def _print_results(self, results: Iterable[Result]) -> list[Result]:
        """Print each result at once: an operator who interrupts has to know how far it came."""
        printed = []
        for result in results:
            printed.append(result)
            if not self.as_json:
                self.tell(None, str(result))
                self.stdout.flush()
        if self.as_json:
            self.tell({"orders": [asdict(result) for result in printed]}, "")
        return printed


# --- Finding orders ----------------------------------------------------------------------------


def _parse_range(text: str) -> tuple[UUID, UUID]:
    """The first and the last purchase id that `text` can mean. Raises UsageError if it is neither an id
    nor a reference."""
    try:
        purchase = UUID(text)
    except ValueError:
        ids = purchase_range(text)
    else:
        ids = purchase, purchase
    if ids is None:
        raise UsageError(
            f"{text!r} is neither a purchase id nor a short reference such as 12-K7Q29FX."
        )
    return ids


def _find_between(first: UUID, last: UUID) -> list[Order]:
    orders = Order.objects.filter(pk__range=(first, last)).select_related("sale")
    return list(orders.order_by("pk"))


def _find_one(text: str) -> Order:
    """Find an order. Raises Failed unless there is exactly one."""
    found = _find_between(*_parse_range(text))
    if not found:
        raise _unknown(text)
    if len(found) > 1:
        both = "\n".join(f"{order.pk}  {_format_line(order)}" for order in found)
        raise Failed(f"{text} means several orders. Say which, by its id:\n{both}")
    return found[0]


def _unknown(text: str) -> Failed:
    return Failed(
        f"There is no order {text!r}. A purchase that still waits in the line is shown by its id."
    )


# --- Cancelling --------------------------------------------------------------------------------


def _cancel_each(orders: Iterable[Order], by: str, reason: str) -> Iterator[Result]:
    """Cancel the orders one by one. Stops once PostgreSQL is away or can only be read: each
    further order would be tried in vain."""
    away = False
    for order in orders:
        if away:
            yield Result(order.pk, order.reference, "not tried")
            continue
        try:
            yield _cancel_one(order, by, reason)
        except (DatabaseError, InterfaceError) as error:
            outcome = "unknown" if is_away(error) else "not possible"
            away = is_away(error) or only_reads(error)
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


# --- Formatting --------------------------------------------------------------------------------


def _format_line(order: Order) -> str:
    if not order.sku:
        return f"{order.reference}  {order.status}"
    total = money(order.total, order.currency)
    return f"{order.reference}  {order.status}  {order.quantity} of {order.bought}  {total}"


def _order_facts(order: Order) -> Facts:
    zone = find_zone(order.sale.time_zone)
    return {
        "id": order.pk,
        "reference": order.reference,
        "sale": order.sale.slug,
        "sku": order.sku or None,
        "product": order.bought or None,
        "shopper": order.shopper,
        "quantity": order.quantity,
        "unit_price": order.unit_price,
        "total": order.total,
        "currency": order.currency,
        "status": order.status,
        "reason": order.reason,
        "time_zone": order.sale.time_zone,
        "accepted_at": order.accepted_at.astimezone(zone),
        "settled_at": order.settled_at.astimezone(zone),
        "hold_until": order.hold_until.astimezone(zone) if order.hold_until else None,
        "audit": audit_facts(AuditEntry.objects.filter(order=order.pk).select_related("sale")),
    }


def _read_undecided(purchase: UUID) -> list[Facts]:
    """Read a purchase that still waits in the line from the gate, its sale's replica in Redis. Raises
    redis.RedisError."""
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


def _format_facts(facts: Facts) -> str:
    """A line per fact; money with its currency, and the audit as sentences."""
    shown = dict(facts)
    audit = shown.pop("audit", [])
    if currency := shown.pop("currency", ""):
        for amount in ("unit_price", "total"):
            shown[amount] = money(shown[amount], currency)
    lines = [f"{name.replace('_', ' '):12} {value}" for name, value in shown.items() if value]
    return "\n".join([*lines, *(f"{'audit':12} {_format_entry(entry)}" for entry in audit)])


def _format_entry(entry: Facts) -> str:
    reason = f": {isolate(entry['reason'])}" if entry["reason"] else ""
    at, by = entry["at"].isoformat(" ", "seconds"), isolate(entry["by"])
    return f"{at} {entry['action']} by {by}{reason}"
