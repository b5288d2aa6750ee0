"""The outcome of a purchase keeps the price at which it was sold."""

from conftest import MakeSale
from inventory.models import Variant
from orders import finishing, sale_lifecycle, settlement
from storefront import outcome
from tests.cast import queue_up


def test_an_order_keeps_its_price_when_the_variant_costs_more(make_sale: MakeSale) -> None:
    sale = make_sale(stock=5)
    [purchase] = queue_up(sale, 1)
    settlement.settle(sale.pk)
    sale_lifecycle.end(sale.pk, by="staff")
    assert finishing.finish_sale(sale.pk)
    Variant.objects.filter(sales=sale).update(price=99999)
    found = outcome._find_order(purchase)
    assert found is not None
    assert found.bought is not None
    assert (found.bought.unit_price, found.bought.currency) == (12900, "EUR")
