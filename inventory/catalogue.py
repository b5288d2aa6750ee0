"""What a sale's page says that the gate does not know: names, texts, pictures, prices."""

from dataclasses import dataclass

from django.db import connection

from inventory.models import Sale


@dataclass(frozen=True, slots=True)
class ProductCard:
    sku: str
    name: str
    option: str
    description: str
    picture: str  # its URL, or ""
    picture_text: str
    price: int  # minor units
    currency: str
    stock: int  # as PostgreSQL had it when the card was read


@dataclass(frozen=True, slots=True)
class SaleCard:
    """Times in ms since the epoch."""

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
    products: tuple[ProductCard, ...]

    def product(self, sku: str) -> ProductCard | None:
        return next((card for card in self.products if card.sku == sku), None)


def card(**which: str | int) -> SaleCard | None:
    """The card of one sale, by `slug` or `pk`; None for a draft, which nobody may see.

    Blocks: server processes call it in a thread, and the connection goes back to the pool.
    """
    try:
        sale = Sale.objects.exclude(status=Sale.Status.DRAFT).filter(**which).first()
        return _card(sale) if sale else None
    finally:
        connection.close()


def _card(sale: Sale) -> SaleCard:
    listings = sale.listings.select_related("product").order_by("position", "id")
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
        products=tuple(
            ProductCard(
                sku=product.sku,
                name=product.name,
                option=product.option,
                description=product.description,
                picture=product.picture.url if product.picture else "",
                picture_text=product.picture_text,
                price=product.price,
                currency=product.currency,
                stock=product.stock,
            )
            for product in (listing.product for listing in listings)
        ),
    )
