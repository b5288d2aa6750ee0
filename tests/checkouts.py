"""Sales with a checkout, and what shoppers type there."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

from conftest import MakeSale
from inventory.models import Sale
from orders import sale_lifecycle
from orders.models import Order
from orders.settlement import settle
from orders.tickets import new_purchase
from tests.cast import Shopper, click, run_caretaker

TERMS = "# Terms\n\nYou may send it back within **14 days**."
ANNA = {
    "email": "anna@example.com",
    "country": "DE",
    "name": "Anna Öz",
    "street": "Hauptstr. 1",
    "postcode": "50667",
    "city": "Köln",
}

MakeOrder = Callable[..., Order]


def sale_with_checkout(make_sale: MakeSale, ask: str = "address", **rules: Any) -> Sale:
    """A sale that holds for ten minutes; `rules` are columns of its row, beside `stock`, `limit`,
    `draw_in` and `price`."""
    made = {name: rules.pop(name) for name in ("stock", "limit", "draw_in") if name in rules}
    sale = make_sale(hold=10, live=False, **made)
    if "price" in rules:
        sale.variants.update(price=rules.pop("price"))
    zone = {"time_zone": "Europe/Berlin"}
    Sale.objects.filter(pk=sale.pk).update(**{"ask": ask, **zone, **rules})
    sale_lifecycle.schedule(sale.pk, by="staff")
    run_caretaker()
    sale.refresh_from_db()
    return sale


def held_by(shopper: Shopper, sale: Sale) -> Order:
    """What the shopper buys there now."""
    purchase = shopper.buy(sale).json()["purchase"]
    settle(sale.pk)
    return sale.orders.get(pk=purchase)


def page_of(order: UUID) -> str:
    return f"/orders/{order}/checkout/"


def held_order(sale: Sale, shopper: UUID) -> Order:
    """What the shopper has bought there, without a browser."""
    purchase = new_purchase(sale.pk)
    assert click(sale, purchase, shopper).code == "queued"
    settle(sale.pk)
    return sale.orders.get(pk=purchase)
