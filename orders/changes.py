"""Changes by staff: lock the sales, change them in one transaction, then replicate to their gates.

All changes of sales, stock and orders by staff go through `change_sales` and share its errors:
NotPossible, NotReplicated, DoesNotExist, and django.db.DatabaseError if PostgreSQL is away or a
lock is held too long.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager

import redis
from django.db import IntegrityError

from flashsale.database import bounded_transaction, read_clock
from flashsale.redis.refusals import refusal
from inventory import stock
from inventory.constraint_messages import explain
from inventory.gate import replica
from inventory.gate.scripts import GateNotReady
from inventory.models import Sale, Variant
from orders import outbox, replication
from orders.allotment import add_waiting
from orders.models import Order


class NotPossible(Exception):
    """The sale, variant or order is in a state that does not allow the change. The message says
    why, for staff."""


class NotReplicated(Exception):
    """The change is committed, but its gate does not have it yet. The caretaker replicates it
    later."""


class DoneBefore(Exception):
    """Leave a transaction because the same request was carried out before: no version is raised."""


@contextmanager
def change_sales(sales: Iterable[int]) -> Iterator[list[Sale]]:
    """Open a transaction, lock these sales by key and raise their versions. Save them at the end,
    and replicate after the commit."""
    with change_unreplicated(sales) as locked:
        yield locked
    for sale in locked:
        replicate_change(sale.pk)


@contextmanager
def change_unreplicated(sales: Iterable[int]) -> Iterator[list[Sale]]:
    """Like `change_sales`; the caller replicates after the commit."""
    sales = set(sales)
    with bounded_transaction():
        locked = list(
            Sale.objects.select_for_update(no_key=True).filter(pk__in=sales).order_by("pk")
        )
        if missing := sales - {sale.pk for sale in locked}:
            raise Sale.DoesNotExist(f"There is no sale {missing}.")
        before = [vars(sale).copy() for sale in locked]
        for sale in locked:
            sale.version += 1
        yield locked
        for sale, was in zip(locked, before, strict=True):
            _save(sale, was)


_COUNTERS = frozenset({"version", "held", "confirmed", "waiting"})


def _save(sale: Sale, was: dict[str, object]) -> None:
    """Save a locked sale. Mostly only its counters have changed: others wait for the lock, and texts of
    kilobytes need not be written again."""
    changed = {name for name, value in vars(sale).items() if was.get(name) != value}
    sale.save(update_fields=changed if changed <= _COUNTERS else None)


def replicate_change(sale: int) -> None:
    """Replicate a committed change of the sale to its gate. Raises NotReplicated.

    Skip a gate that is not ready: it accepts no click before the caretaker has rebuilt it."""
    try:
        if replication.replicate(sale) or not replica.read_view(sale).ready:
            return
    except GateNotReady:
        return
    except redis.RedisError as error:
        refused = refusal(error)
        fault = f"cannot be written to ({refused.why})" if refused else "cannot be reached"
        raise NotReplicated(
            f"The change is made, but Redis {fault}: clicks do not follow it yet."
        ) from error
    raise NotReplicated(
        "The change is made, but the gate does not have it yet: clicks will follow."
    )


def find_selling(variant: int) -> list[int]:
    """The unfinished sales that list this variant: their gates need its stock."""
    unfinished = Sale.objects.filter(listings__variant=variant, finished=False)
    return list(unfinished.values_list("pk", flat=True))


def lock_variant(variant: int, sales: list[Sale]) -> Variant:
    """Lock the variant, inside the transaction in which `sales` were locked.

    Raises NotPossible if another sale has listed it since the sales were looked up: the gate of
    that sale would never get this change.
    """
    locked = next(iter(stock.lock([variant])), None)
    if locked is None:
        raise Variant.DoesNotExist(f"There is no product {variant}.")
    if not set(find_selling(variant)) <= {sale.pk for sale in sales}:
        raise NotPossible("The product was put into a sale just now. Please try again.")
    return locked


def lock_variants(variants: Collection[int], sales: Iterable[Sale]) -> list[Variant]:
    """Lock several variants, as `lock_variant` does. Unknown keys are left out."""
    locked = stock.lock(variants)
    selling = Sale.objects.filter(listings__variant__in=variants, finished=False)
    if not set(selling.values_list("pk", flat=True)) <= {sale.pk for sale in sales}:
        raise NotPossible("A product was put into a sale just now. Please try again.")
    return locked


def refuse_during_draw(sale: Sale) -> None:
    """Raises NotPossible while the draw of a locked sale runs. From its time until each entry has its
    outcome it is fixed who takes part, and what can be won: the beacon is known soon after, also while the
    sale is paused."""
    due = sale.draw == Sale.Draw.OPEN and sale.draw_at is not None and sale.draw_at <= read_clock()
    if due or sale.draw in (Sale.Draw.CLOSED, Sale.Draw.FROZEN):
        raise NotPossible("The draw is under way. This is possible again when it is done.")


def check_arrow(order: Order, to: Order.Status) -> None:
    """Raises NotPossible if the order cannot get this status."""
    if not order.may_become(to):
        was = order.get_status_display().lower()
        raise NotPossible(
            f"{'An' if was[0] == 'e' else 'A'} {was} order cannot be {to.label.lower()}."
        )


def take_arrow(orders: Sequence[Order], to: Order.Status, sale: Sale) -> None:
    """Give locked orders their next status, in the version of their locked sale, and tell of it. The
    caller moves the units. Raises NotPossible if one of them has no such arrow."""
    for order in orders:
        check_arrow(order, to)
    if sale.has_checkout and to in outbox.OF_ARROWS:
        outbox.tell([order.pk for order in orders], outbox.OF_ARROWS[to])
    for order in orders:
        count_orders(sale, order.status, -1, order.sku)
        count_orders(sale, to, 1, order.sku)
        # Whatever a payment comes to, it keeps no hold any more; `revive` begins a capture of its own.
        order.status, order.version, order.capturing = to, sale.version, False
    changed = {"status": to, "version": sale.version, "capturing": False}
    Order.objects.filter(pk__in=[order.pk for order in orders]).update(**changed)


def count_orders(sale: Sale, status: str, orders: int, sku: str) -> None:
    """Count so many orders of one variant more, or less, of a status that the sale counts."""
    if status == Order.Status.WAITING:
        sale.waiting = add_waiting(sale.waiting, {sku: orders})
    elif status == Order.Status.HELD:
        sale.held += orders
    elif status == Order.Status.CONFIRMED:
        sale.confirmed += orders


@contextmanager
def explain_refusals() -> Iterator[None]:
    """Turn an IntegrityError of PostgreSQL into NotPossible, with a message for staff."""
    try:
        yield
    except IntegrityError as refusal:
        raise NotPossible(explain(refusal)) from refusal
