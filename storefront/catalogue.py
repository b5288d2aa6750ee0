"""The part of a sale's page that PostgreSQL has and the gate has not: names, texts, pictures, prices."""

from collections.abc import Hashable
from dataclasses import dataclass, field

from inventory.models import Sale
from inventory.names import find_in_any_case
from storefront.rendered import Rendered


@dataclass(frozen=True, slots=True)
class VariantCard:
    sku: str
    name: str
    option: str
    description: str
    picture: str  # its URL, or ""
    picture_text: str
    price: int  # minor units
    currency: str
    stock: int  # units, when the card was read
    offered: int  # units that the sale has offered so far
    picture_set: str = ""  # the same picture in several widths, for `<img srcset>`, or ""


@dataclass(frozen=True, slots=True)
class SaleCard:
    """One sale with its variants, as read from PostgreSQL. Times in ms since 1970."""

    id: int
    slug: str
    name: str
    status: str
    opens_at: int
    closes_at: int
    time_zone: str
    limit: int
    version: int
    finished: bool
    variants: tuple[VariantCard, ...]
    # Rendered from this card, and gone with it.
    fragments: dict[Hashable, Rendered] = field(
        init=False, repr=False, compare=False, default_factory=dict
    )

    def variant(self, sku: str) -> VariantCard | None:
        return next((card for card in self.variants if card.sku == sku), None)

    @property
    def choices(self) -> list[tuple[VariantCard, ...]]:
        """The variants in groups: those with the same name are options of one choice."""
        by_name: dict[str, list[VariantCard]] = {}
        for card in self.variants:
            by_name.setdefault(card.name, []).append(card)
        return [tuple(cards) for cards in by_name.values()]


def stock_level(left: int, offered: int) -> str:
    """How much of the offer is left: `none`, `last` (a tenth, or 5 units), `few` (a quarter) or
    `many`."""
    if left == 0:
        return "none"
    if left * 10 <= offered or (left <= 5 and left < offered):
        return "last"
    return "few" if left * 4 <= offered else "many"


def card(*, pk: int | None = None, slug: str | None = None) -> SaleCard | None:
    """Read the card of one sale, by `pk` or by `slug` in any case; None for a draft, which is not public.

    Blocks: server processes call it in a thread.
    """
    public = Sale.objects.exclude(status=Sale.Status.DRAFT)
    sale = public.filter(pk=pk).first() if pk else find_in_any_case(public, "slug", slug or "")
    return _card(sale) if sale else None


def _card(sale: Sale) -> SaleCard:
    listings = sale.listings.select_related("variant").order_by("position", "id")
    return SaleCard(
        id=sale.pk,
        slug=sale.slug,
        name=sale.name,
        status=sale.status,
        opens_at=round(sale.opens_at.timestamp() * 1000),
        closes_at=round(sale.closes_at.timestamp() * 1000),
        time_zone=sale.time_zone,
        limit=sale.limit,
        version=sale.version,
        finished=sale.finished,
        variants=tuple(
            VariantCard(
                sku=variant.sku,
                name=variant.name,
                option=variant.option,
                description=variant.description,
                picture=variant.picture.url if variant.picture else "",
                picture_text=variant.picture_text,
                price=variant.price,
                currency=variant.currency,
                stock=variant.stock,
                offered=offered,
                picture_set=variant.picture.srcset if variant.picture else "",
            )
            for variant, offered in ((listing.variant, listing.offered) for listing in listings)
        ),
    )
