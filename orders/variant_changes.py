"""Changes by staff of what shoppers see of a variant.

From the moment that a sale is public, what its forms show is an offer: it does not change once the
sale has opened, and before that only if staff say that they mean it. Texts and pictures may change.
The one home of this rule; forms ask it under the locks that `lock_for_change` takes.
"""

import logging
from collections.abc import Collection, Iterable
from functools import partial

from django.db import DatabaseError, transaction
from django.utils import timezone

from flashsale.database import require_transaction
from inventory import shown
from inventory.models import Sale, Variant
from orders import changes

log = logging.getLogger(__name__)

# What pages show besides, and may change at any time.
_SHOWN_BESIDES = ("description", "picture", "picture_text")


class AskFirst(changes.NotPossible):
    """A public sale that has not opened lists the variant. The message says what a change means; the
    change is possible once staff have confirmed it."""


def lock_for_change(variant: int) -> tuple[Variant, list[Sale]]:
    """Lock the unfinished sales that list the variant, then the variant, until the transaction ends.

    Raises NotPossible if a sale has listed it meanwhile, and Variant.DoesNotExist.
    """
    require_transaction()
    selling = Sale.objects.select_for_update(no_key=True).filter(
        pk__in=changes.find_selling(variant)
    )
    sales = list(selling.order_by("pk"))
    return changes.lock_variant(variant, sales), sales


def check_change(fields: Collection[str], sales: Iterable[Sale], *, confirmed: bool) -> None:
    """Raise NotPossible unless these fields of a variant may change now, and AskFirst if only after
    a confirmation. `sales` are those of `lock_for_change`."""
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
