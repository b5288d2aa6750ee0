"""Changes by staff of what shoppers see of a product and its variants.

From the moment that a sale is public, what its forms show is an offer: it does not change once the
sale has opened, and before that only if staff say that they mean it. Texts and pictures may change.
The one home of this rule; forms ask it under the locks that `lock_product_for_change` takes.
"""

import logging
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import partial

from django.db import DatabaseError, transaction
from django.utils import timezone

from flashsale.database import require_transaction, stop_preparing
from inventory import shown, stock
from inventory.models import Listing, Sale, Variant
from orders import changes

log = logging.getLogger(__name__)

# What pages show of the product besides, and may change at any time.
_SHOWN_BESIDES = ("description", "size_guide", "pictures")


class AskFirst(changes.NotPossible):
    """A public sale that has not opened lists the variant. The message says what a change means; the
    change is possible once staff have confirmed it."""


@dataclass(frozen=True)
class OnSale:
    """The variants of a product, and the unfinished sales that list them, locked."""

    variants: dict[int, Variant]  # by key
    listed: dict[int, Sale]  # by key
    listings: frozenset[tuple[int, int]]  # keys of sale and variant

    def sales(self, *variants: int) -> list[Sale]:
        """The sales that list one of these variants; of all if none is named."""
        keys = {sale for sale, variant in self.listings if not variants or variant in variants}
        return [self.listed[key] for key in sorted(keys)]


def lock_product_for_change(product: int) -> OnSale:
    """Lock the unfinished sales that list variants of the product, then its variants, until the
    transaction ends. Raises NotPossible if a sale has listed one meanwhile."""
    stop_preparing()
    before = _listings_of(product)
    selling = Sale.objects.select_for_update(no_key=True).filter(pk__in={s for s, _ in before})
    sales = {sale.pk: sale for sale in selling.order_by("pk")}
    variants = Variant.objects.filter(product=product).values_list("pk", flat=True)
    locked = {variant.pk: variant for variant in stock.lock(variants)}
    listings = _listings_of(product)
    if not {sale for sale, _ in listings} <= sales.keys():
        raise changes.NotPossible("The product was put into a sale just now. Please try again.")
    return OnSale(locked, sales, listings)


def _listings_of(product: int) -> frozenset[tuple[int, int]]:
    unfinished = Listing.objects.filter(variant__product=product, finished=False)
    return frozenset(unfinished.values_list("sale", "variant"))


def check_change(fields: Collection[str], sales: Iterable[Sale], *, confirmed: bool) -> None:
    """Raise NotPossible unless these fields of a variant may change now, and AskFirst if only after
    a confirmation. `sales` are those of `lock_product_for_change`."""
    offered = [name for name in shown.FIELDS if name in fields]
    if not offered:
        return
    words = ", ".join(offered)
    for sale in sales:
        phase = sale.phase(timezone.now())
        if phase == "upcoming" and not confirmed:
            raise AskFirst(
                f"“{sale}” is public. If you change this ({words}), pages that are open show it within"
                " seconds, and a form that still shows the old is refused. Confirm it to save it."
            )
        if phase not in ("draft", "upcoming"):
            raise changes.NotPossible(
                f"“{sale}” has opened: what it sells ({words}) cannot change until it is over and its"
                " last purchase is decided. Texts and pictures can."
            )


def announce_to_pages(fields: Collection[str], sales: Iterable[Sale]) -> None:
    """Raise the versions of the public ones among these locked sales if pages show one of these fields,
    and replicate after the commit: that is how pages learn of it."""
    require_transaction()
    if not {*shown.FIELDS, *_SHOWN_BESIDES} & set(fields):
        return
    for sale in sales:
        if sale.status != Sale.Status.DRAFT:
            sale.version += 1
            sale.save(update_fields=["version"])
            transaction.on_commit(partial(_replicate, sale.pk))


def _replicate(sale: int) -> None:
    try:
        changes.replicate_change(sale)
    except (changes.NotReplicated, DatabaseError) as late:  # the caretaker repeats it
        log.warning("sale %s: its pages learn late of a changed product (%s)", sale, late)
