"""The life of a sale: create, schedule, open, pause, resume, end, and change its window,
limit, hold or standby.

Each function is one transaction: it locks the sale, raises its version, writes the audit, and after
the commit replicates to the gate. See `orders/changes.py` for the errors. `by` has at most 150
characters, `reason` 200.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from django.core.exceptions import ValidationError
from django.utils import timezone

from flashsale.database import bounded_transaction
from flashsale.moments import format_moment
from inventory import stock
from inventory.models import MOST_MINUTES, MOST_UNITS, Listing, Sale, Variant, sensible_moment
from inventory.names import find_each_in_any_case
from orders.audit_trail import Action, auditing, write_down
from orders.changes import NotPossible, change_sales, explain_refusals
from orders.draws import scheduling

Status = Sale.Status


def create(
    slug: str,
    name: str,
    opens_at: datetime,
    closes_at: datetime,
    *,
    skus: Sequence[str],
    limit: int = 1,
    hold_minutes: int = 0,
    ask: str = "",
    payment: str = "",
    terms: str = "",
    price_note: str = "",
    contact_days: int = 180,
    draw_at: datetime | None = None,
    standby: bool = False,
    entrants: str = "",
    per_address: int = 0,
    time_zone: str = "UTC",
    by: str,
    reason: str = "",
) -> Sale:
    """Create a draft that lists these variants, in this order. Shoppers do not see it until it is
    scheduled.

    Raises ValidationError for a malformed field, and NotPossible.
    """
    sale = Sale(
        slug=slug,
        name=name,
        opens_at=opens_at,
        closes_at=closes_at,
        limit=limit,
        hold_minutes=hold_minutes,
        ask=ask,
        payment=payment,
        terms=terms,
        price_note=price_note,
        contact_days=contact_days,
        draw_at=draw_at,
        standby=standby,
        entrants=entrants,
        per_address=per_address,
        time_zone=time_zone,
    )
    sale.full_clean(validate_constraints=False)
    with explain_refusals(), bounded_transaction():
        sale.save()
        for position, variant in enumerate(_find_variants(skus)):
            Listing.objects.create(sale=sale, variant=variant, position=position)
        write_down(Action.CREATED, sale, {}, by=by, reason=reason)
    return sale


def schedule(sale: int, *, by: str, reason: str = "", beacon: str = "") -> None:
    """Let a draft open and close by the clock, in its window. A draw is committed to, and to a round of
    `beacon` if one is named (`Draw.Beacon`)."""
    with (
        explain_refusals(),
        change_sales([sale]) as (locked,),
        auditing(Action.SCHEDULED, locked, by=by, reason=reason),
    ):
        _offer_variants(locked)
        _set_status(locked, Status.LIVE, {Status.DRAFT})
        scheduling.commit(locked, beacon)


def go_live(sale: int, *, by: str, reason: str = "", beacon: str = "") -> None:
    """Open a draft, or a scheduled sale before its opening, now. `beacon` as in `schedule`, for a draft."""
    with (
        explain_refusals(),
        change_sales([sale]) as (locked,),
        auditing(Action.OPENED, locked, by=by, reason=reason),
    ):
        _offer_variants(locked)
        if locked.status == Status.LIVE and locked.opens_at <= timezone.now():
            raise NotPossible("The sale is open already.")
        if locked.status == Status.DRAFT:
            scheduling.commit(locked, beacon)
        elif beacon:
            raise NotPossible("The sale is scheduled: how it draws is fixed.")
        _set_status(locked, Status.LIVE, {Status.DRAFT, Status.LIVE})
        locked.opens_at = min(locked.opens_at, _now_in_ms())


def pause(sale: int, *, by: str, reason: str = "") -> None:
    """Refuse every click from the moment this returns. Accepted purchases stay accepted."""
    with change_sales([sale]) as (locked,), auditing(Action.PAUSED, locked, by=by, reason=reason):
        _set_status(locked, Status.PAUSED, {Status.LIVE})


def resume(sale: int, *, by: str, reason: str = "") -> None:
    """Accept clicks again after a pause."""
    with change_sales([sale]) as (locked,), auditing(Action.RESUMED, locked, by=by, reason=reason):
        _set_status(locked, Status.LIVE, {Status.PAUSED})


def end(sale: int, *, by: str, reason: str = "") -> None:
    """Close the sale now, for good. Accepted purchases are still decided.

    Before its draw has begun, the draw is called off: the caretaker rejects all entries. A draw that has
    begun goes on to its end."""
    with change_sales([sale]) as (locked,), auditing(Action.ENDED, locked, by=by, reason=reason):
        _set_status(locked, Status.ENDED, {Status.LIVE, Status.PAUSED})
        # The window ends too, so that another sale of its variants may open from now on.
        soonest = locked.opens_at + timedelta(milliseconds=1)
        if locked.draw == Sale.Draw.OPEN:
            locked.draw = Sale.Draw.OFF
        elif locked.draw_at:  # it may lie ahead by this clock
            soonest = locked.draw_at
        locked.closes_at = min(locked.closes_at, max(_now_in_ms(), soonest))


def change_window(
    sale: int,
    *,
    opens_at: datetime | None = None,
    closes_at: datetime | None = None,
    by: str,
    reason: str = "",
) -> None:
    """Move the opening of a sale that has not opened, or the close of a sale that has not ended. A
    draft's window may change freely."""
    with (
        explain_refusals(),
        change_sales([sale]) as (locked,),
        auditing(Action.WINDOW, locked, by=by, reason=reason),
    ):
        if locked.status != Status.DRAFT:
            _refuse_ended(locked)
        if opens_at is not None and opens_at != locked.opens_at:
            if locked.status != Status.DRAFT and locked.opens_at <= timezone.now():
                raise NotPossible("The sale has opened: its opening cannot change.")
            locked.opens_at = opens_at
        if closes_at is not None and closes_at != locked.closes_at:
            if closes_at <= (now := timezone.now()):
                here = f"it is {format_moment(now, locked.time_zone)} in {locked.time_zone}"
                raise NotPossible(f"The close must lie ahead: {here}. To close it now, end it.")
            locked.closes_at = closes_at
        if locked.opens_at >= locked.closes_at:
            raise NotPossible("The sale must open before it closes.")
        if locked.draw_at and not locked.opens_at < locked.draw_at <= locked.closes_at:
            raise NotPossible("The draw must be after the opening, and not after the close.")
        for moment in (locked.opens_at, locked.closes_at):
            _require_sensible(moment)


def change_limit(sale: int, limit: int, *, by: str, reason: str = "") -> None:
    """Set the units per shopper. Orders made under a greater limit stay."""
    if not 1 <= limit <= MOST_UNITS:
        raise NotPossible(f"The limit must be a number from 1 to {MOST_UNITS:,}.")
    with change_sales([sale]) as (locked,), auditing(Action.LIMIT, locked, by=by, reason=reason):
        _refuse_ended(locked)
        locked.limit = limit


def change_hold(sale: int, minutes: int, *, by: str, reason: str = "") -> None:
    """Set the minutes for which units are held. Of a sale that is public they can only grow: for
    shoppers who click from now on."""
    if not 0 <= minutes <= MOST_MINUTES:
        raise NotPossible(f"The hold must be a number of minutes from 0 to {MOST_MINUTES:,}.")
    with (
        explain_refusals(),
        change_sales([sale]) as (locked,),
        auditing(Action.HOLD, locked, by=by, reason=reason),
    ):
        if locked.status != Status.DRAFT:
            _refuse_ended(locked)
            was = locked.hold_minutes
            if minutes != was and (was == 0 or minutes < was):
                raise NotPossible("The sale is public: its hold can only become longer.")
        locked.hold_minutes = minutes


def change_standby(sale: int, standby: bool, *, by: str, reason: str = "") -> None:
    """Let who comes too late wait in order, or not. Of a sale that is public it can only be switched on:
    for clicks from now on, and for who is not drawn."""
    with (
        explain_refusals(),
        change_sales([sale]) as (locked,),
        auditing(Action.STANDBY, locked, by=by, reason=reason),
    ):
        _refuse_ended(locked)
        if locked.standby == standby:
            raise NotPossible(f"Standby is {'on' if standby else 'off'} already.")
        if locked.status != Status.DRAFT and not standby:
            raise NotPossible("The sale is public: its standby stays on.")
        locked.standby = standby


# --- Helpers ----------------------------------------------------------------------------------


def _set_status(sale: Sale, to: Sale.Status, allowed: set[Sale.Status]) -> None:
    _refuse_ended(sale)
    if sale.status not in allowed:
        raise NotPossible(f"The sale is {sale.get_status_display().lower()}.")
    sale.status = to


def _offer_variants(sale: Sale) -> None:
    # Locked, so that a restock either commits before this or finds this sale.
    variants = stock.lock(sale.variants.values_list("pk", flat=True))
    if not variants:
        raise NotPossible("The sale has no products.")
    if len({variant.currency for variant in variants}) > 1:
        raise NotPossible("The prices of a sale must be in one currency.")
    if sale.status == Status.DRAFT:
        stock.offer(sale, variants)


def _require_sensible(moment: datetime) -> None:
    try:
        sensible_moment(moment)
    except ValidationError as error:
        raise NotPossible(" ".join(error.messages)) from error


def _refuse_ended(sale: Sale) -> None:
    if sale.ended():
        raise NotPossible("The sale has ended.")


def _now_in_ms() -> datetime:
    """The time, rounded down to the gate's milliseconds: rounded up it would be ahead of the gate's
    clock."""
    now = timezone.now()
    return now.replace(microsecond=now.microsecond // 1000 * 1000)


def _find_variants(skus: Sequence[str]) -> list[Variant]:
    """The variants, in the order of `skus`, whatever the case."""
    found = find_each_in_any_case(Variant.objects.all(), "sku", skus)
    unknown = [sku for sku in skus if sku not in found]
    if unknown:
        raise NotPossible(f"There is no product {', '.join(unknown)}.")
    return [found[sku] for sku in skus]
