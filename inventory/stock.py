"""Changes of stock: every unit that moves leaves a row in the ledger.

Each function needs the products locked by the caller's transaction, and takes the sale that it belongs
to, if any, as already locked: sale, then products by key, then orders by key.
"""

from collections.abc import Iterable
from functools import lru_cache
from typing import Any
from uuid import UUID

from django.db.models import F
from django.db.models.functions import Greatest

from flashsale.database import Rows, Statement, require_transaction
from inventory.models import Listing, Product, Sale, StockMovement

Reason = StockMovement.Reason

# Parts of a statement: lowers the stock of locked products, `sold` so many `units` each, with the ledger.
# The new stock is computed where the row is, not here: should a lock ever be missing, the CHECK on the
# row still stops an oversell, and no update is lost.
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


def lock(products: Iterable[int]) -> list[Product]:
    """These products, locked in the one order that everybody keeps: by key."""
    require_transaction()
    return list(
        Product.objects.select_for_update(no_key=True).filter(pk__in=list(products)).order_by("pk")
    )


_SOLD = ("id", "sku", "price", "currency", "stock")


def lock_statement(sale: int, skus: Iterable[str]) -> Statement:
    """Locks those of the sale's products in the same order, for `locked` to read."""
    require_transaction()
    wanted = sorted(set(skus)) or [""]  # no product's
    statement, places = _locking_listed(len(wanted))
    given: dict[int | str, int | str] = {
        _A_SALE: sale,
        **{_a_sku(number): sku for number, sku in enumerate(wanted)},
    }
    return statement, [given[place] for place in places]


def read_locked(rows: Rows) -> list[Product]:
    """The products that were locked, with what settlement needs of them."""
    return [Product.from_db("default", _SOLD, row) for row in rows]


_A_SALE = -1


def _a_sku(number: int) -> str:
    return f"sku {number}"


@lru_cache(maxsize=128)
def _locking_listed(skus: int) -> tuple[str, tuple[Any, ...]]:
    """The statement, and what stands in the place of each value. Kept, for to build it takes the ORM longer
    than PostgreSQL to carry it out."""
    wanted = [_a_sku(number) for number in range(skus)]
    listed = Product.objects.filter(listings__sale=_A_SALE, sku__in=wanted).order_by("pk")
    rows = listed.only(*_SOLD).select_for_update(no_key=True, of=("self",))
    return rows.query.sql_with_params()


def offer(sale: Sale, products: Iterable[Product]) -> None:
    """What a locked draft lists is from now on the stock that it sells. The products are locked, too."""
    require_transaction()
    for product in products:
        Listing.objects.filter(sale=sale, product=product).update(offered=product.stock)


def move(
    product: Product,
    delta: int,
    reason: StockMovement.Reason,
    *,
    sales: Iterable[Sale] = (),
    actor: str = "",
    note: str = "",
    order: UUID | None = None,
) -> None:
    """Changes a locked product's stock by `delta` units, and says why in the ledger.

    `sales` are the locked sales of this change: the unfinished one among them, if any, is where the
    gate hears of it at its version.
    """
    require_transaction()
    sale = next((sale for sale in sales if not sale.finished), None)
    product.stock += delta
    product.save(update_fields=["stock"])
    if sale and reason != Reason.CANCELLED:  # what returns was offered before
        listed = Listing.objects.filter(sale=sale, product=product)
        listed.update(offered=Greatest(F("offered") + delta, 0))
    StockMovement.objects.create(
        product=product,
        delta=delta,
        balance=product.stock,
        reason=reason,
        actor=actor,
        note=note,
        order=order,
        sale=sale,
        sale_version=sale.version if sale else None,
    )
