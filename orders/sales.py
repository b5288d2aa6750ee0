"""The life of a sale: every change by staff or by the clock, in one place.

Each is one transaction with the sale locked first, raises the sale's version, and tells the gate and
the pages after the commit.
"""

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from uuid import UUID

import redis
from django.utils import timezone

from flashsale.database import bounded
from inventory import gate, stock
from inventory.models import Product, Sale, StockMovement
from orders import telling
from orders.models import Order

log = logging.getLogger(__name__)

Status = Sale.Status


class NotPossible(Exception):
    """The sale or order is not in a state in which this can be done. Says why, for staff."""


class NotTold(Exception):
    """The change is committed, but clicks are not decided by it yet; the caretaker keeps telling."""


def go_live(sale: int) -> None:
    """Lets a draft open by the clock."""
    with _changing([sale]) as (locked,):
        # Locked as well, so that a restock is either before this or knows of this sale.
        stock.lock(locked.products.values_list("pk", flat=True))
        _set_status(locked, Status.LIVE, {Status.DRAFT})


def pause(sale: int) -> None:
    """Refuses every click from when this returns. What was accepted stays accepted."""
    _change_status(sale, Status.PAUSED, {Status.LIVE})


def resume(sale: int) -> None:
    _change_status(sale, Status.LIVE, {Status.PAUSED})


def end(sale: int) -> None:
    """Closes it now, for good."""
    _change_status(sale, Status.ENDED, {Status.LIVE, Status.PAUSED})


def change_limit(sale: int, limit: int) -> None:
    """Sets the units per shopper; what was bought under a greater limit stays bought."""
    with _changing([sale]) as (locked,):
        _refuse_ended(locked)
        locked.limit = limit


def restock(product: int, units: int, *, actor: str, note: str = "") -> None:
    """Adds units that have come in."""
    if units < 1:
        raise NotPossible("Only a positive number of units can come in.")
    with _changing(_selling(product)) as sales:
        locked = _lock_product(product, sales)
        reason = StockMovement.Reason.RECEIVED
        stock.move(locked, units, reason, told=sales, actor=actor, note=note)


def cancel(order: UUID, *, actor: str) -> bool:
    """Cancels a confirmed order; its units return to stock exactly once. False if it was cancelled before.

    Raises NotPossible for a rejected one, and Order.DoesNotExist.
    """
    seen = Order.objects.get(pk=order)
    if seen.product_id is None:
        raise NotPossible("A rejected order cannot be cancelled.")
    with _changing([seen.sale_id, *_selling(seen.product_id)]) as sales:
        product = _lock_product(seen.product_id, sales)
        locked = Order.objects.select_for_update(no_key=True).get(pk=order)
        if locked.status == Order.Status.CANCELLED:
            return False
        if locked.status != Order.Status.CONFIRMED:
            raise NotPossible("A rejected order cannot be cancelled.")
        locked.status = Order.Status.CANCELLED
        locked.version = next(sale.version for sale in sales if sale.pk == locked.sale_id)
        locked.save(update_fields=["status", "version"])
        reason = StockMovement.Reason.CANCELLED
        stock.move(product, locked.quantity, reason, told=sales, actor=actor, order=locked.pk)
    return True


def finish_all() -> None:
    """Finishes every sale that has ended and drained, so that its products may be sold elsewhere."""
    standing = gate.standing()
    unfinished = list(Sale.objects.filter(finished=False).exclude(status=Status.DRAFT))
    for sale in unfinished:
        if sale.ended():
            try:
                finish(sale.pk)
            except Exception:
                log.exception("sale %s could not be finished; it is tried again", sale.pk)
    # What an old copy of Redis has brought back, or an interrupted finish has left.
    gate.forget(standing - {sale.pk for sale in unfinished})


def finish(sale: int) -> bool:
    """Removes the gate of a sale that has ended and drained. False while it must stay.

    Under the sale's lock, so that no caretaker rebuilds what goes here. The gate goes first, by a
    script that looks at Redis' own clock and line: nothing can be accepted after it. A process killed
    before the commit leaves a sale without a gate, which is built again and finished in the next round.
    """
    with bounded():
        locked = Sale.objects.select_for_update(no_key=True).get(pk=sale)
        if not gate.purge(sale):
            return False
        locked.finished = True
        locked.status = Status.ENDED
        locked.version += 1
        locked.save(update_fields=["finished", "status", "version"])
    return True


# --- Helpers ----------------------------------------------------------------------------------


def _change_status(sale: int, to: Sale.Status, allowed: set[Sale.Status]) -> None:
    with _changing([sale]) as (locked,):
        _set_status(locked, to, allowed)


def _set_status(sale: Sale, to: Sale.Status, allowed: set[Sale.Status]) -> None:
    _refuse_ended(sale)
    if sale.status not in allowed:
        raise NotPossible(f"The sale is {sale.get_status_display().lower()}.")
    sale.status = to
    if to == Status.ENDED:
        # Its window ends as well: its products may be in another sale's from now on.
        soonest = sale.opens_at + timedelta(milliseconds=1)
        sale.closes_at = min(sale.closes_at, max(timezone.now(), soonest))


def _refuse_ended(sale: Sale) -> None:
    if sale.ended():
        raise NotPossible("The sale has ended.")


@contextmanager
def _changing(sales: Iterable[int]) -> Iterator[list[Sale]]:
    """These sales, locked by key and saved with a raised version; told after the commit."""
    with bounded():
        locked = list(
            Sale.objects.select_for_update(no_key=True).filter(pk__in=set(sales)).order_by("pk")
        )
        for sale in locked:
            sale.version += 1
        yield locked
        for sale in locked:
            sale.save()
    for sale in locked:
        _tell(sale.pk)


def _tell(sale: int) -> None:
    """A cold gate needs no telling: it accepts nothing until the caretaker has told it everything."""
    try:
        if telling.tell(sale) or not gate.view_now(sale).warm:
            return
    except gate.ColdGate:
        return
    except redis.RedisError as error:
        raise NotTold(f"The change is made, but sale {sale}'s gate cannot be reached.") from error
    raise NotTold(f"The change is made, but sale {sale}'s gate has not taken it over yet.")


def _selling(product: int) -> list[int]:
    """The unfinished sales that list this product: their gates must hear of its stock."""
    unfinished = Sale.objects.filter(listings__product=product, finished=False)
    return list(unfinished.values_list("pk", flat=True))


def _lock_product(product: int, sales: list[Sale]) -> Product:
    """The product, locked after its sales. Raises NotPossible if another sale has listed it since they
    were looked up: its gate would never hear of this change."""
    [locked] = stock.lock([product])
    if not set(_selling(product)) <= {sale.pk for sale in sales}:
        raise NotPossible("The product was put into a sale just now. Please try again.")
    return locked
