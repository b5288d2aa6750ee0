"""A list of parcels from staff: what each line would do, and what it has done."""

import time
from collections.abc import Iterable, Iterator
from typing import NamedTuple
from uuid import UUID

from dashboard.shipping_control import Ship
from inventory.models import Sale
from orders import shipping
from orders.changes import NotPossible
from orders.models import Order, Shipment
from orders.shipping import Parcel
from orders.shipping_list import Line, ShippingList, order_range

PATIENCE = 20.0  # seconds for all lines; each may wait for a lock


class Planned(NamedTuple):
    """A line, its order if there is exactly one, and what it will do.

    `kind` is `ship`, `correct` (another carrier, number or link), `same` (that was done before),
    `empty` (not filled in) or `refused`.
    """

    line: Line
    order: Order | None
    kind: str
    words: str


class Result(NamedTuple):
    """What a line has done: `kind` as of `dashboard/base_control.py` Outcome, or of Planned."""

    line: Line
    reference: str
    kind: str
    words: str


def plan(sale: Sale, listed: ShippingList) -> list[Planned]:
    """What each line would do to an order of this sale. Changes nothing."""
    orders = _find_orders(sale, listed.lines)
    shipped = Shipment.objects.in_bulk({found[0].pk for found in orders.values() if found})
    first_at: dict[UUID, int] = {}
    planned = []
    for line in listed.lines:
        found = orders[line.order]
        order = found[0] if len(found) == 1 else None
        kind, words = _judge(line, found, listed, shipped, first_at)
        if order and kind != "empty":
            first_at.setdefault(order.pk, line.at)
        planned.append(Planned(line, order, kind, words))
    return planned


def carry_out(planned: Iterable[Planned], key: UUID, by: str) -> Iterator[Result]:
    """Ship line by line: one that fails does not stop the others. The same list with the same `key`
    changes nothing more."""
    end = time.monotonic() + PATIENCE
    for each in planned:
        if each.order is None or each.kind not in ("ship", "correct"):
            yield Result(each.line, _name(each), each.kind, each.words)
        elif time.monotonic() > end:
            words = "Not tried: the others took too long. Send the list again."
            yield Result(each.line, _name(each), "refused", words)
        else:
            yield _ship(each, each.order, key, by)


def _ship(each: Planned, order: Order, key: UUID, by: str) -> Result:
    fields = {**each.line._asdict(), "reason": "", "key": key}
    form = Ship([order], fields)
    if not form.is_valid():
        words = " ".join(str(error) for errors in form.errors.values() for error in errors)
        return Result(each.line, order.reference, "refused", words)
    outcome = form.carry_out(order, by=by)
    return Result(each.line, order.reference, outcome.kind, outcome.words)


def _name(each: Planned) -> str:
    return each.order.reference if each.order else each.line.order


def _judge(
    line: Line,
    found: list[Order],
    listed: ShippingList,
    shipped: dict[UUID, Shipment],
    first_at: dict[UUID, int],
) -> tuple[str, str]:
    if not line.order:
        return "refused", "No order is named."
    if not found:
        return "refused", "This sale has no such order."
    if len(found) > 1:
        return "refused", "This reference means several orders: use the id."
    if listed.has_parcels and not (line.carrier or line.number or line.url):
        return "empty", "Not filled in; stays as it is."
    [order] = found
    if order.pk in first_at:
        return "refused", f"Line {first_at[order.pk]} names the same order."
    if order.status != Order.Status.CONFIRMED:
        return "refused", f"The order is {order.get_status_display().lower()}, and not confirmed."
    if line.fault:
        return "refused", line.fault
    try:
        parcel = Parcel.read(line.carrier, line.number, line.url)
    except NotPossible as refusal:
        return "refused", str(refusal)
    return _compare(parcel, shipped.get(order.pk))


def _compare(parcel: Parcel, shipped: Shipment | None) -> tuple[str, str]:
    if shipped is None:
        return "ship", "Will be marked as shipped."
    if parcel in (Parcel(), shipping.parcel_of(shipped)):
        return "same", "Is shipped already, as this line says."
    return "correct", "Is shipped already; gets this carrier, number and link."


def _find_orders(sale: Sale, lines: Iterable[Line]) -> dict[str, list[Order]]:
    """The orders that each name means; none for a name that means none."""
    names = {line.order for line in lines}
    ids = {name: ids for name in names if (ids := order_range(name))}
    exact = [first for first, last in ids.values() if first == last]
    by_id = Order.objects.filter(sale=sale).in_bulk(exact)
    found: dict[str, list[Order]] = {name: [] for name in names}
    for name, (first, last) in ids.items():
        if first == last:
            found[name] = [by_id[first]] if first in by_id else []
        else:
            found[name] = list(Order.objects.filter(sale=sale, pk__range=(first, last)))
    return found
