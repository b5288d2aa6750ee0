"""The life of a sale: every change by staff or by the clock, in one place.

Each is one transaction with the sale locked first, raises the sale's version, writes down who did it
and why (`by` and `reason`, 150 and 200 characters at most), and tells the gate and the pages after the
commit. Raises NotPossible, NotTold, DoesNotExist and, where PostgreSQL is away or a lock is held for
too long, django.db.DatabaseError.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from django.core.exceptions import ValidationError
from django.utils import timezone

from flashsale.database import bounded_transaction
from inventory import stock
from inventory.models import MOST_UNITS, Listing, Product, Sale, sensible_moment
from orders.audit import Action, auditing, write_down
from orders.changes import NotPossible, change_sales, explain_refusals

Status = Sale.Status


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
    with explain_refusals(), bounded_transaction():
        sale.save()
        for position, product in enumerate(_products(skus)):
            Listing.objects.create(sale=sale, product=product, position=position)
        write_down(Action.CREATED, sale, {}, by=by, reason=reason)
    return sale


def schedule(sale: int, *, by: str, reason: str = "") -> None:
    """Lets a draft open and close by the clock, in its window."""
    with (
        explain_refusals(),
        change_sales([sale]) as (locked,),
        auditing(Action.SCHEDULED, locked, by=by, reason=reason),
    ):
        _offer_products(locked)
        _set_status(locked, Status.LIVE, {Status.DRAFT})


def go_live(sale: int, *, by: str, reason: str = "") -> None:
    """Opens a draft, or a sale that still waits for its opening, now."""
    with (
        explain_refusals(),
        change_sales([sale]) as (locked,),
        auditing(Action.OPENED, locked, by=by, reason=reason),
    ):
        _offer_products(locked)
        if locked.status == Status.LIVE and locked.opens_at <= timezone.now():
            raise NotPossible("The sale is open already.")
        _set_status(locked, Status.LIVE, {Status.DRAFT, Status.LIVE})
        locked.opens_at = min(locked.opens_at, _now())


def pause(sale: int, *, by: str, reason: str = "") -> None:
    """Refuses every click from when this returns. What was accepted stays accepted."""
    with change_sales([sale]) as (locked,), auditing(Action.PAUSED, locked, by=by, reason=reason):
        _set_status(locked, Status.PAUSED, {Status.LIVE})


def resume(sale: int, *, by: str, reason: str = "") -> None:
    with change_sales([sale]) as (locked,), auditing(Action.RESUMED, locked, by=by, reason=reason):
        _set_status(locked, Status.LIVE, {Status.PAUSED})


def end(sale: int, *, by: str, reason: str = "") -> None:
    """Closes it now, for good. What was accepted is still decided."""
    with change_sales([sale]) as (locked,), auditing(Action.ENDED, locked, by=by, reason=reason):
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
        explain_refusals(),
        change_sales([sale]) as (locked,),
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
    with change_sales([sale]) as (locked,), auditing(Action.LIMIT, locked, by=by, reason=reason):
        _refuse_ended(locked)
        locked.limit = limit


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
