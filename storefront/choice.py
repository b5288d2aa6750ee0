"""What a form of the sale's page offers, as its template reads it."""

from dataclasses import dataclass

from storefront.catalogue import ProductCard, VariantCard


@dataclass(frozen=True, slots=True)
class Choice:
    """One form and its ticket: a product with one variant, or with several to choose from."""

    variants: tuple[VariantCard, ...]
    ticket: str
    purchase: str
    shown: str  # the digest of what the form shows, in hex
    own: str = ""  # the shopper's earlier purchases of these variants, rendered
    chosen: str = ""  # the sku of the option that is preselected
    outcome: str = ""  # the answer to the form before, rendered, if it is shown where answers are

    @property
    def first(self) -> VariantCard:
        return self.variants[0]

    @property
    def product(self) -> ProductCard:
        return self.first.product

    @property
    def key(self) -> str:
        """Makes the ids of the form's elements unique on the page."""
        return self.first.sku

    @property
    def several(self) -> bool:
        return len(self.variants) > 1

    @property
    def prices_differ(self) -> bool:
        return len({variant.price for variant in self.variants}) > 1

    @property
    def cheapest(self) -> int:
        return min(variant.price for variant in self.variants)
