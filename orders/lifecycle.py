"""The life of a sale: every change by staff or by the clock, in one place.

Each is one transaction with the sale locked first, raises the sale's version, writes down who did it
and why (`by` and `reason`, 150 and 200 characters at most), and tells the gate and the pages after the
commit. Raises NotPossible, NotTold, DoesNotExist and, where PostgreSQL is away or a lock is held for
too long, django.db.DatabaseError.
"""

import logging
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from uuid import UUID

import redis
from django.core.exceptions import ValidationError
from django.db import IntegrityError
from django.utils import timezone

from flashsale.database import bounded_transaction
from flashsale.redis import clients
from inventory import stock
from inventory.constraint_messages import explain
from inventory.gate import replica
from inventory.gate.scripts import GateNotReady
from inventory.models import (
    MOST_UNITS,
    Listing,
    Product,
    Sale,
    StockMovement,
    sensible_moment,
)
from orders import replication
from orders.audit import Action, auditing, is_written_down, write_down
from orders.models import AuditEntry, Order

log = logging.getLogger(__name__)

Status = Sale.Status
Movement = StockMovement.Reason

MOST_MOVED = 1_000_000  # units in one change of stock


class NotPossible(Exception):
    """The sale or order is not in a state in which this can be done. Says why, for staff."""


class NotReplicated(Exception):
    """The change is committed, but clicks are not decided by it yet; the caretaker keeps telling."""


def create(
    slug: str,
    name: str,
    opens_at: datetime,
    closes_at: datetime,
    *,
    skus: Sequence[str],
    limit: int = 1,
    time_zone: str = "UTC",
    by: str,
    reason: str = "",
) -> Sale:
    """Makes a draft that lists these products. Nobody sees it until it is scheduled.

    Raises ValidationError for a malformed field, and NotPossible.
    """
    sale = Sale(
        slug=slug,
        name=name,
        opens_at=opens_at,
        closes_at=closes_at,
        limit=limit,
        time_zone=time_zone,
    )
    sale.full_clean(validate_constraints=False)
    with _explain_refusals(), bounded_transaction():
        sale.save()
        for position, product in enumerate(_products(skus)):
            Listing.objects.create(sale=sale, product=product, position=position)
        write_down(Action.CREATED, sale, {}, by=by, reason=reason)
    return sale


def schedule(sale: int, *, by: str, reason: str = "") -> None:
    """Lets a draft open and close by the clock, in its window."""
    with (
        _explain_refusals(),
        _changing([sale]) as (locked,),
        auditing(Action.SCHEDULED, locked, by=by, reason=reason),
    ):
        _offer_products(locked)
        _set_status(locked, Status.LIVE, {Status.DRAFT})


def go_live(sale: int, *, by: str, reason: str = "") -> None:
    """Opens a draft, or a sale that still waits for its opening, now."""
    with (
        _explain_refusals(),
        _changing([sale]) as (locked,),
        auditing(Action.OPENED, locked, by=by, reason=reason),
    ):
        _offer_products(locked)
        if locked.status == Status.LIVE and locked.opens_at <= timezone.now():
            raise NotPossible("The sale is open already.")
        _set_status(locked, Status.LIVE, {Status.DRAFT, Status.LIVE})
        locked.opens_at = min(locked.opens_at, _now())


def pause(sale: int, *, by: str, reason: str = "") -> None:
    """Refuses every click from when this returns. What was accepted stays accepted."""
    with _changing([sale]) as (locked,), auditing(Action.PAUSED, locked, by=by, reason=reason):
        _set_status(locked, Status.PAUSED, {Status.LIVE})


def resume(sale: int, *, by: str, reason: str = "") -> None:
    with _changing([sale]) as (locked,), auditing(Action.RESUMED, locked, by=by, reason=reason):
        _set_status(locked, Status.LIVE, {Status.PAUSED})


def end(sale: int, *, by: str, reason: str = "") -> None:
    """Closes it now, for good. What was accepted is still decided."""
    with _changing([sale]) as (locked,), auditing(Action.ENDED, locked, by=by, reason=reason):
        _set_status(locked, Status.ENDED, {Status.LIVE, Status.PAUSED})
        # Its window ends as well: its products may be in another sale's from now on.
        soonest = locked.opens_at + timedelta(milliseconds=1)
        locked.closes_at = min(locked.closes_at, max(_now(), soonest))


def change_window(
    sale: int,
    *,
    opens_at: datetime | None = None,
    closes_at: datetime | None = None,
    by: str,
    reason: str = "",
) -> None:
    """Moves the opening of a sale that has not opened, or the close of one that has not ended; of a
    draft anything."""
    with (
        _explain_refusals(),
        _changing([sale]) as (locked,),
        auditing(Action.WINDOW, locked, by=by, reason=reason),
    ):
        if locked.status != Status.DRAFT:
            _refuse_ended(locked)
        if opens_at is not None and opens_at != locked.opens_at:
            if locked.status != Status.DRAFT and locked.opens_at <= timezone.now():
                raise NotPossible("The sale has opened: its opening stands.")
            locked.opens_at = opens_at
        if closes_at is not None and closes_at != locked.closes_at:
            if closes_at <= timezone.now():
                raise NotPossible("The close must lie ahead. To close the sale now, end it.")
            locked.closes_at = closes_at
        if locked.opens_at >= locked.closes_at:
            raise NotPossible("It must open before it closes.")
        for moment in (locked.opens_at, locked.closes_at):
            _refuse_absurd(moment)


def change_limit(sale: int, limit: int, *, by: str, reason: str = "") -> None:
    """Sets the units per shopper; what was bought under a greater limit stays bought."""
    if not 1 <= limit <= MOST_UNITS:
        raise NotPossible(f"A limit is a number from 1 to {MOST_UNITS:,}.")
    with _changing([sale]) as (locked,), auditing(Action.LIMIT, locked, by=by, reason=reason):
        _refuse_ended(locked)
        locked.limit = limit


def restock(
    product: int, units: int, *, by: str, reason: str = "", key: UUID | None = None
) -> bool:
    """Adds units that have come in. False if the form with this key has added them before."""
    if units < 1:
        raise NotPossible("Only a positive number of units can come in.")
    return _move(product, units, Action.RESTOCKED, Movement.RECEIVED, by, reason, key)


def correct(product: int, units: int, *, by: str, reason: str, key: UUID | None = None) -> bool:
    """Adds or takes away units that were counted wrongly, broken or lost; the reason is kept.

    Purchases that wait in the line may be rejected by it. False if the form with this key has done it
    before.
    """
    if not reason.strip():
        raise NotPossible("A correction needs a reason.")
    if units == 0:
        raise NotPossible("A correction of no units is none.")
    return _move(product, units, Action.CORRECTED, Movement.CORRECTED, by, reason, key)


def cancel(order: UUID, *, by: str, reason: str = "") -> bool:
    """Cancels a confirmed order; its units return to stock exactly once. False if it was cancelled before.

    Raises NotPossible for a rejected one, and Order.DoesNotExist.
    """
    try:
        _cancel(order, by, reason)
    except _DoneBefore:
        return False
    return True


def finish_all() -> None:
    """Finishes every sale that has ended and drained, so that its products may be sold elsewhere."""
    unfinished = Sale.objects.filter(finished=False).exclude(status=Status.DRAFT)
    for server, share in clients.group_by_server(unfinished.values_list("pk", flat=True)):
        try:
            standing = replica.list_gates(server)
        except redis.RedisError as error:
            log.warning("a server of the gates is away, its sales are finished later: %s", error)
            continue
        try:
            _forget_ghosts(standing)
        except Exception:
            log.exception("old gates could not be removed; it is tried again")
        for sale in unfinished.filter(pk__in=share):
            if sale.ended():
                try:
                    finish(sale.pk)
                except Exception:
                    log.exception("sale %s could not be finished; it is tried again", sale.pk)


def _forget_ghosts(standing: set[int]) -> None:
    """Removes what an old copy of Redis has brought back, or an interrupted finish has left. Each under its
    sale's lock, for a draft may be scheduled just now."""
    selling = Sale.objects.filter(finished=False).exclude(status=Status.DRAFT)
    for ghost in standing - set(selling.values_list("pk", flat=True)):
        with bounded_transaction():
            sale = Sale.objects.filter(pk=ghost).select_for_update(no_key=True).first()
            if sale is None or sale.finished or sale.status == Status.DRAFT:
                replica.remove([ghost])


def finish(sale: int) -> bool:
    """Removes the gate of a sale that has ended and drained. False while it must stay.

    Under the sale's lock, so that no caretaker rebuilds what goes here. The gate goes first, by a
    script that looks at Redis' own clock and line: nothing can be accepted after it. A process killed
    before the commit leaves a sale without a gate, which is built again and finished in the next round.
    """
    with bounded_transaction():
        locked = Sale.objects.select_for_update(no_key=True).get(pk=sale)
        # Staff may have moved its close, which the gate need not have heard yet.
        if not locked.ended() or not replica.purge_gate(sale):
            return False
        locked.finished = True
        locked.status = Status.ENDED
        locked.version += 1
        locked.save(update_fields=["finished", "status", "version"])
    return True


# --- Helpers ----------------------------------------------------------------------------------


def _set_status(sale: Sale, to: Sale.Status, allowed: set[Sale.Status]) -> None:
    _refuse_ended(sale)
    if sale.status not in allowed:
        raise NotPossible(f"The sale is {sale.get_status_display().lower()}.")
    sale.status = to


def _offer_products(sale: Sale) -> None:
    # Locked as well, so that a restock is either before this or knows of this sale.
    products = stock.lock(sale.products.values_list("pk", flat=True))
    if not products:
        raise NotPossible("The sale has no products.")
    if len({product.currency for product in products}) > 1:
        raise NotPossible("The prices of a sale must be in one currency.")
    if sale.status == Status.DRAFT:
        stock.offer(sale, products)


def _refuse_absurd(moment: datetime) -> None:
    try:
        sensible_moment(moment)
    except ValidationError as error:
        raise NotPossible(" ".join(error.messages)) from error


def _refuse_ended(sale: Sale) -> None:
    if sale.ended():
        raise NotPossible("The sale has ended.")


def _now() -> datetime:
    """To the millisecond, as the gate counts, and never ahead of its clock by rounding."""
    now = timezone.now()
    return now.replace(microsecond=now.microsecond // 1000 * 1000)


def _products(skus: Sequence[str]) -> list[Product]:
    """In the order in which they were named."""
    found = Product.objects.in_bulk(list(skus), field_name="sku")
    unknown = [sku for sku in skus if sku not in found]
    if unknown:
        raise NotPossible(f"There is no product {', '.join(unknown)}.")
    return [found[sku] for sku in skus]


class _DoneBefore(Exception):
    """Leaves a transaction in which nothing was to be changed: nothing is saved, and nobody told."""


def _cancel(order: UUID, by: str, reason: str) -> None:
    seen = Order.objects.get(pk=order)
    if seen.product_id is None:
        raise NotPossible("A rejected order cannot be cancelled.")
    with _changing([seen.sale_id, *_selling(seen.product_id)]) as sales:
        product = _lock_product(seen.product_id, sales)
        # The sale's lock alone would do: whoever comes without it still meets one cancellation.
        locked = Order.objects.select_for_update(no_key=True).get(pk=order)
        if locked.status == Order.Status.CANCELLED:
            raise _DoneBefore
        if not locked.may_become(Order.Status.CANCELLED):
            raise NotPossible(f"A {locked.get_status_display().lower()} order cannot be cancelled.")
        sale = next(sale for sale in sales if sale.pk == locked.sale_id)
        with auditing(Action.CANCELLED, locked, by=by, reason=reason, sale=sale):
            locked.status = Order.Status.CANCELLED
            locked.version = sale.version
            locked.save(update_fields=["status", "version"])
            sale.confirmed -= 1
            returned = Movement.CANCELLED
            stock.move(product, locked.owned, returned, told=sales, actor=by, order=locked.pk)


def _move(
    product: int,
    units: int,
    action: AuditEntry.Action,
    movement: StockMovement.Reason,
    by: str,
    reason: str,
    key: UUID | None,
) -> bool:
    """False if the form with this key has moved them before."""
    if abs(units) > MOST_MOVED:
        raise NotPossible(f"More than {MOST_MOVED:,} units at once are taken for a slip.")
    try:
        with _changing(_selling(product)) as sales:
            locked = _lock_product(product, sales)
            if is_written_down(key):
                raise _DoneBefore
            if locked.stock + units < 0:
                raise NotPossible(f"Only {locked.stock} units are in stock.")
            sale = next(iter(sales), None)
            with auditing(action, locked, by=by, reason=reason, sale=sale, key=key):
                stock.move(locked, units, movement, told=sales, actor=by, note=reason)
    except _DoneBefore:
        return False
    return True


@contextmanager
def _explain_refusals() -> Iterator[None]:
    """What PostgreSQL refuses by a rule, as the reason for which it is not possible."""
    try:
        yield
    except IntegrityError as refusal:
        raise NotPossible(explain(refusal)) from refusal


@contextmanager
def _changing(sales: Iterable[int]) -> Iterator[list[Sale]]:
    """These sales, locked by key and saved with a raised version; told after the commit."""
    sales = set(sales)
    with bounded_transaction():
        locked = list(
            Sale.objects.select_for_update(no_key=True).filter(pk__in=sales).order_by("pk")
        )
        if missing := sales - {sale.pk for sale in locked}:
            raise Sale.DoesNotExist(f"There is no sale {missing}.")
        for sale in locked:
            sale.version += 1
        yield locked
        for sale in locked:
            sale.save()
    for sale in locked:
        _replicate(sale.pk)


def _replicate(sale: int) -> None:
    """A cold gate needs no telling: it accepts nothing until the caretaker has told it everything."""
    try:
        if replication.replicate(sale) or not replica.read_view(sale).ready:
            return
    except GateNotReady:
        return
    except redis.RedisError as error:
        raise NotReplicated(
            "The change is made, but Redis cannot be reached: clicks do not follow it yet."
        ) from error
    raise NotReplicated(
        "The change is made, but the gate has not taken it over yet: clicks will follow."
    )


def _selling(product: int) -> list[int]:
    """The unfinished sales that list this product: their gates must hear of its stock."""
    unfinished = Sale.objects.filter(listings__product=product, finished=False)
    return list(unfinished.values_list("pk", flat=True))


def _lock_product(product: int, sales: list[Sale]) -> Product:
    """The product, locked after its sales. Raises NotPossible if another sale has listed it since they
    were looked up: its gate would never hear of this change."""
    locked = next(iter(stock.lock([product])), None)
    if locked is None:
        raise Product.DoesNotExist(f"There is no product {product}.")
    if not set(_selling(product)) <= {sale.pk for sale in sales}:
        raise NotPossible("The product was put into a sale just now. Please try again.")
    return locked
