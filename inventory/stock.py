"""Changes of stock: every movement of units has a row in the ledger.

All functions must run in the transaction of the change. Locks are taken in one order everywhere:
sales by key, then variants by key, then orders by key. `offer` and `move` need sale and variants
locked.
"""

from collections.abc import Iterable
from functools import lru_cache
from typing import Any
from uuid import UUID

from django.db.models import F
from django.db.models.functions import Greatest

from flashsale.database import Rows, Statement, require_transaction
from inventory import shown
from inventory.models import Listing, Sale, StockMovement, Variant

Reason = StockMovement.Reason
_OFFERED_BEFORE = (Reason.CANCELLED, Reason.EXPIRED, Reason.SOLD)

# Part of settlement's statement: lowers the stock of each locked variant in `sold` by its `units`,
# and writes the ledger. PostgreSQL computes the new stock from the row: even without the lock, the
# CHECK on the row would stop an oversell and no update would be lost.
SELLING = """
taken AS (
    SELECT * FROM unnest(%(sold)s::bigint[], %(units)s::integer[]) AS t (product, units)
), lowered AS (
    UPDATE inventory_product AS p SET stock = p.stock - taken.units
    FROM taken WHERE p.id = taken.product
    RETURNING p.id, taken.units, p.stock
), noted AS (
    INSERT INTO inventory_stockmovement
        (product_id, delta, balance, reason, note, sale_id, sale_version, "order", actor, at)
    SELECT id, -units, stock, 'sold', '', %(sale)s, %(version)s, NULL, '', now() FROM lowered
)
"""


def lock(variants: Iterable[int]) -> list[Variant]:
    """Lock these variants, in the order of their keys. Unknown keys are left out."""
    require_transaction()
    return list(
        Variant.objects.select_for_update(no_key=True).filter(pk__in=list(variants)).order_by("pk")
    )


_SOLD = ("id", "stock", *shown.FIELDS)


def lock_statement(sale: int, skus: Iterable[str]) -> Statement:
    """The statement that locks the sale's variants with these skus, by key; `read_locked` reads its
    rows."""
    require_transaction()
    wanted = sorted(set(skus)) or [""]  # "": no variant
    statement, placeholders = _locking_listed(len(wanted))
    values: dict[int | str, int | str] = {
        _A_SALE: sale,
        **{_a_sku(number): sku for number, sku in enumerate(wanted)},
    }
    return statement, [values[each] for each in placeholders]


def read_locked(rows: Rows) -> list[Variant]:
    """The locked variants, with the fields that settlement needs."""
    return [Variant.from_db("default", _SOLD, row) for row in rows]


_A_SALE = -1


def _a_sku(number: int) -> str:
    return f"sku {number}"


@lru_cache(maxsize=128)
def _locking_listed(skus: int) -> tuple[str, tuple[Any, ...]]:
    """The statement for so many skus, and a placeholder for each of its values. Kept, because the
    ORM takes longer to build it than PostgreSQL to run it."""
    wanted = [_a_sku(number) for number in range(skus)]
    listed = Variant.objects.filter(listings__sale=_A_SALE, sku__in=wanted).order_by("pk")
    rows = listed.only(*_SOLD).select_for_update(no_key=True, of=("self",))
    return rows.query.sql_with_params()


def offer(sale: Sale, variants: Iterable[Variant]) -> None:
    """Set the units that a draft offers to the stock of its variants. Sale and variants must be
    locked."""
    require_transaction()
    for variant in variants:
        Listing.objects.filter(sale=sale, variant=variant).update(offered=variant.stock)


def move(
    variant: Variant,
    delta: int,
    reason: StockMovement.Reason,
    *,
    sales: Iterable[Sale] = (),
    actor: str = "",
    note: str = "",
    order: UUID | None = None,
) -> None:
    """Change a locked variant's stock by `delta` units, and write the ledger.

    `sales` are the locked sales of this change. The ledger names the unfinished one among them, if
    any, and its version, with which the gate gets the new stock. Units that are sold are of a sale
    in any case.
    """
    require_transaction()
    sales = list(sales)
    sale = next((sale for sale in sales if not sale.finished), None)
    if sale is None and reason == Reason.SOLD:
        sale = sales[0]
    variant.stock += delta
    variant.save(update_fields=["stock"])
    if sale and reason not in _OFFERED_BEFORE:
        listed = Listing.objects.filter(sale=sale, variant=variant)
        listed.update(offered=Greatest(F("offered") + delta, 0))
    StockMovement.objects.create(
        variant=variant,
        delta=delta,
        balance=variant.stock,
        reason=reason,
        actor=actor,
        note=note,
        order=order,
        sale=sale,
        sale_version=sale.version if sale else None,
    )
