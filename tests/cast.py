"""Who and what appears in tests: a few shoppers and products, everywhere the same."""

import re
from dataclasses import dataclass, field
from uuid import UUID

import httpx
from django.db import transaction

from inventory import stock
from inventory.models import Product, Sale, StockMovement


def stocked(sku: str, units: int) -> Product:
    """A product with that many units, all in the ledger."""
    with transaction.atomic():
        product = Product.objects.create(sku=sku, name="Shoe", option=sku, price=12900, currency="EUR")
        if units:
            stock.move(product, units, StockMovement.Reason.RECEIVED, actor="tests")
    return product


def skus(sale: Sale) -> list[str]:
    return list(sale.listings.values_list("product__sku", flat=True))


JSON = {"Accept": "application/json"}
HTMX = {"HX-Request": "true"}
PAGE = {"Accept": "text/html"}


@dataclass
class Shopper:
    """A browser of its own: keeps its cookie, asks for pages, buys."""

    url: str
    client: httpx.Client = field(init=False)

    def __post_init__(self) -> None:
        self.client = httpx.Client(base_url=self.url, timeout=15, follow_redirects=False)

    def sale(self, sale: Sale) -> dict[str, object]:
        answer = self.client.get(f"/sales/{sale.slug}/", headers=JSON)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def ticket(self, sale: Sale) -> str:
        return str(self.sale(sale)["ticket"])

    def buy(
        self,
        sale: Sale,
        ticket: str | None = None,
        headers: dict[str, str] | None = None,
        **fields: object,
    ) -> httpx.Response:
        """One click; for the first product of the sale and one unit unless `fields` say otherwise."""
        form = {"ticket": self.ticket(sale) if ticket is None else ticket, "product": skus(sale)[0]}
        form.update({name: str(value) for name, value in fields.items()})
        return self.client.post(f"/sales/{sale.slug}/buy", data=form, headers=headers or JSON)

    def order(self, purchase: str, headers: dict[str, str] | None = None) -> httpx.Response:
        return self.client.get(f"/orders/{purchase}/", headers=headers or JSON)


def forms(html: str) -> list[dict[str, str]]:
    """The hidden fields of each form of a page."""
    found = []
    for form in re.findall(r"<form.*?</form>", html, re.S):
        found.append(dict(re.findall(r'name="(\w+)" value="([^"]*)"', form)))
    return found


def purchase_of(html: str) -> UUID:
    match = re.search(r'id="purchase-([0-9a-f-]{36})"', html)
    assert match
    return UUID(match[1])
