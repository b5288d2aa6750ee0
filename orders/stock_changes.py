"""Changes of stock by staff: units that arrive, and corrections.

Each is one transaction: it locks the sales that list the variant, then the variant, and writes the
ledger and the audit. See `orders/changes.py` for the errors. `by` has at most 150 characters,
`reason` 200.
"""

from uuid import UUID

from inventory import stock
from inventory.models import StockMovement, Variant
from orders.audit_trail import Action, auditing, is_written_down
from orders.changes import (
    DoneBefore,
    NotPossible,
    change_sales,
    find_selling,
    lock_variant,
    refuse_during_draw,
)
from orders.models import AuditEntry

Movement = StockMovement.Reason

MOST_MOVED = 1_000_000  # units in one change


def receive_first(variant: Variant, units: int, *, by: str, reason: str = "") -> None:
    """Give a new variant its first units, in the transaction that inserts it, before others can see it."""
    _refuse_too_many(units)
    with auditing(Action.RESTOCKED, variant, by=by, reason=reason):
        stock.move(variant, units, Movement.RECEIVED, actor=by, note=reason)


def restock(
    variant: int, units: int, *, by: str, reason: str = "", key: UUID | None = None
) -> bool:
    """Add units that have arrived. False if the form with this key was carried out before."""
    if units < 1:
        raise NotPossible("A restock adds at least one unit.")
    return _move(variant, units, Action.RESTOCKED, Movement.RECEIVED, by, reason, key)


def correct(variant: int, units: int, *, by: str, reason: str, key: UUID | None = None) -> bool:
    """Add or remove units that were miscounted, broken or lost.

    After a removal, purchases that wait in the line may be rejected. A draw that is under way allows
    none, because its winners are bound to the stock when it was frozen. False if the form with this
    key was carried out before.
    """
    if not reason.strip():
        raise NotPossible("A correction needs a reason.")
    if units == 0:
        raise NotPossible("A correction adds or removes at least one unit.")
    return _move(variant, units, Action.CORRECTED, Movement.CORRECTED, by, reason, key)


def _move(
    variant: int,
    units: int,
    action: AuditEntry.Action,
    movement: StockMovement.Reason,
    by: str,
    reason: str,
    key: UUID | None,
) -> bool:
    _refuse_too_many(units)
    try:
        with change_sales(find_selling(variant)) as sales:
            locked = lock_variant(variant, sales)
            if is_written_down(key):
                raise DoneBefore
            check_left(locked, units)
            if units < 0:
                for each in sales:
                    refuse_during_draw(each)
            sale = next(iter(sales), None)
            with auditing(action, locked, by=by, reason=reason, sale=sale, key=key):
                stock.move(locked, units, movement, sales=sales, actor=by, note=reason)
    except DoneBefore:
        return False
    return True


def check_left(variant: Variant, units: int) -> None:
    """Raises NotPossible if fewer units are left than `units`, which are negative, would remove."""
    if variant.stock + units < 0:
        raise NotPossible(f"Only {variant.stock} units are in stock.")


def _refuse_too_many(units: int) -> None:
    if abs(units) > MOST_MOVED:
        raise NotPossible(f"One change moves at most {MOST_MOVED:,} units. Is the number right?")
