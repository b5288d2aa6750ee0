"""Changes of products by programs: what a form of admin does, as one call."""

from collections.abc import Sequence
from typing import NamedTuple

from django.core.files.base import ContentFile

from flashsale.database import bounded_transaction
from inventory.models import Variant
from inventory.products import Picture, Product
from orders.audit_trail import Action, write_down
from orders.changes import explain_refusals
from orders.stock_changes import receive_first


class NewVariant(NamedTuple):
    sku: str
    option: str
    units: int


class NewPicture(NamedTuple):
    file: "ContentFile[bytes]"  # as `inventory.pictures.reencode` gives it
    text: str


def create_product(
    product: Product,
    variants: Sequence[NewVariant],
    pictures: Sequence[NewPicture],
    *,
    price: int,
    currency: str,
    by: str,
    reason: str = "",
) -> None:
    """Save a product with its variants and pictures, in this order. `price` is in minor units.

    Raises ValidationError for a malformed field, and NotPossible.
    """
    product.full_clean(validate_constraints=False)
    with explain_refusals(), bounded_transaction():
        product.save()
        write_down(Action.CREATED, product, {}, by=by, reason=reason)
        for position, new in enumerate(variants):
            variant = Variant(product=product, sku=new.sku, option=new.option, position=position)
            variant.price, variant.currency = price, currency
            variant.full_clean()
            variant.save()
            write_down(Action.CREATED, variant, {}, by=by, reason=reason)
            if new.units:
                receive_first(variant, new.units, by=by, reason=reason)
        for position, picture in enumerate(pictures):
            shown = Picture(product=product, position=position, text=picture.text)
            shown.file = picture.file
            shown.full_clean()
            shown.save()
