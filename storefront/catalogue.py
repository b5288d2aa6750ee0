"""The part of a sale's page that PostgreSQL has and the gate has not: names, texts, pictures, prices."""

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, field

from django.utils.safestring import SafeString

from inventory.gate.entries import CHANGED
from inventory.models import Sale
from inventory.names import find_in_any_case
from inventory.products import Picture, Product
from inventory.shown import digest_of, digest_together
from orders.draws import steps
from orders.models import Draw
from storefront.draw_state import DrawCard
from storefront.markdown import render_markdown
from storefront.rendered import Rendered


@dataclass(frozen=True, slots=True)
class PictureCard:
    url: str
    text: str
    width: int | None  # pixels
    height: int | None
    widths: str = ""  # the same picture in several widths, for `<img srcset>`, or ""
    smallest: str = ""  # the URL of its smallest copy


@dataclass(frozen=True, slots=True)
class ProductCard:
    id: int
    name: str
    description: SafeString  # HTML
    size_guide: SafeString  # HTML
    pictures: tuple[PictureCard, ...]


@dataclass(frozen=True, slots=True)
class VariantCard:
    sku: str
    name: str  # its product's
    option: str
    price: int  # minor units
    currency: str
    stock: int  # units, when the card was read
    offered: int  # units that the sale has offered so far
    product: ProductCard


@dataclass(frozen=True, slots=True)
class Shown:
    """Digests of what the pages made from a card show (`inventory/shown.py`). Computed once per card."""

    sale: bytes  # all variants, as programs read them: one ticket for all
    look: str  # the same with texts and pictures, in hex: pages compare it with theirs
    _forms: dict[str, tuple[bytes, str]]  # by sku: the form that offers it; itself, in hex

    @classmethod
    def of(cls, choices: Iterable[tuple[VariantCard, ...]]) -> "Shown":
        forms: dict[str, tuple[bytes, str]] = {}
        looks = []
        for variants in choices:
            form = digest_together(map(digest_of, variants))
            forms |= {variant.sku: (form, digest_of(variant).hex()) for variant in variants}
            looks += [text.encode() for text in _texts(variants[0].product)]
        sale = digest_together(form for form, _ in forms.values())
        look = digest_together([sale, *(digest_together([text]) for text in looks)])
        return cls(sale, look.hex(), forms)

    def form_of(self, sku: str) -> bytes:
        """The digest of the form that offers this variant. Raises KeyError if none does."""
        return self._forms[sku][0]

    def at_click(self, sku: str, ticket: bytes) -> str:
        """The digest, in hex, that settlement compares with the clicked variant. CHANGED if the form,
        whose ticket has the digest `ticket`, showed something else than this card."""
        form, variant = self._forms.get(sku, (b"", CHANGED))
        return variant if ticket in (form, self.sale) else CHANGED


def _texts(product: ProductCard) -> list[str]:
    pictures = (
        text
        for picture in product.pictures
        for text in (picture.url, picture.text, picture.widths, picture.smallest)
    )
    return [product.description, product.size_guide, *pictures]


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
    hold_minutes: int = 0  # for which units are held; 0: they are sold at once
    ask: str = ""  # at the checkout: `email` or `address`
    payment: str = ""  # the provider's name
    price_note: str = ""
    entrants: str = ""  # who may buy: `email` or `code`; "": anyone
    draw: str = ""  # `Sale.draw`
    draw_at: int = 0  # 0: no draw
    standby: bool = False
    waiting: Mapping[str, int] = field(default_factory=dict)  # waiting orders by sku
    lottery: DrawCard | None = None  # None: no draw, or not scheduled yet
    # Rendered from this card, and gone with it.
    fragments: dict[Hashable, Rendered] = field(
        init=False, repr=False, compare=False, default_factory=dict
    )
    shown: Shown = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "shown", Shown.of(self.choices))

    def variant(self, sku: str) -> VariantCard | None:
        return next((card for card in self.variants if card.sku == sku), None)

    @property
    def choices(self) -> list[tuple[VariantCard, ...]]:
        """The variants in groups: those of one product are options of one choice."""
        by_product: dict[int, list[VariantCard]] = {}
        for card in self.variants:
            by_product.setdefault(card.product.id, []).append(card)
        return [tuple(cards) for cards in by_product.values()]


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
    listings = sale.listings.select_related("variant__product").order_by("position", "id")
    listings = listings.prefetch_related("variant__product__pictures")
    products: dict[int | None, ProductCard] = {}
    variants = []
    for listing in listings:
        variant = listing.variant
        if variant.product_id not in products:
            products[variant.product_id] = _product_card(variant.product)
        card = VariantCard(
            sku=variant.sku,
            name=variant.name,
            option=variant.option,
            price=variant.price,
            currency=variant.currency,
            stock=variant.stock,
            offered=listing.offered,
            product=products[variant.product_id],
        )
        variants.append(card)
    return SaleCard(
        id=sale.pk,
        slug=sale.slug,
        name=sale.name,
        status=sale.status,
        opens_at=round(sale.opens_at.timestamp() * 1000),
        closes_at=round(sale.closes_at.timestamp() * 1000),
        time_zone=sale.time_zone,
        limit=sale.limit,
        hold_minutes=sale.hold_minutes,
        ask=sale.ask,
        payment=sale.payment,
        price_note=sale.price_note,
        entrants=sale.entrants,
        draw=sale.draw,
        draw_at=round(sale.draw_at.timestamp() * 1000) if sale.draw_at else 0,
        standby=sale.standby,
        waiting=sale.waiting,
        lottery=_draw_card(sale),
        version=sale.version,
        finished=sale.finished,
        variants=tuple(variants),
    )


def _draw_card(sale: Sale) -> DrawCard | None:
    draw = Draw.objects.filter(pk=sale.pk).first() if sale.draw else None
    return DrawCard.of(draw, steps.hindrance(sale)) if draw else None


def _product_card(product: Product | None) -> ProductCard:
    assert product, "a trigger gives each variant a product"
    return ProductCard(
        id=product.pk,
        name=product.name,
        description=render_markdown(product.description),
        size_guide=render_markdown(product.size_guide),
        pictures=tuple(_picture_card(picture) for picture in product.pictures.all()),
    )


def _picture_card(picture: Picture) -> PictureCard:
    return PictureCard(
        url=picture.file.url,
        text=picture.text,
        width=picture.file_width,
        height=picture.file_height,
        widths=picture.file.srcset,
        smallest=picture.file.smallest,
    )
