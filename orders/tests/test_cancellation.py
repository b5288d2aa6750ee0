"""A cancelled order returns its units once, and they are sold again."""

import pytest

from conftest import MakeSale
from inventory.gate import replica
from inventory.models import Listing, Sale
from orders import cancellation, finishing, reconciliation, sale_lifecycle, settlement
from tests.cast import queue_up, skus, stocked


def test_a_cancelled_order_returns_its_units_once_and_can_be_bought_again(
    make_sale: MakeSale,
) -> None:
    sale = make_sale(stock=1)
    [purchase] = queue_up(sale, 1)
    settlement.settle(sale.pk)
    assert cancellation.cancel_order(purchase, by="staff")
    assert not cancellation.cancel_order(purchase, by="staff")
    assert sale.variants.get().stock == 1
    assert replica.read_answer(sale.pk, purchase.hex)[0] is not None
    assert len(queue_up(sale, 1)) == 1
    assert reconciliation.verify(sale.pk).faults == {}


def test_a_cancelled_order_of_a_finished_sale_is_sold_by_the_next(make_sale: MakeSale) -> None:
    sale = make_sale(stock=1)
    [purchase] = queue_up(sale, 1)
    settlement.settle(sale.pk)
    sale_lifecycle.end(sale.pk, by="staff")
    finishing.finish_sale(sale.pk)
    other = make_sale(live=False, opens_in=60)
    Listing.objects.create(sale=other, variant=sale.variants.get(), position=9)
    with pytest.raises(Exception, match="fixed"):
        Listing.objects.create(sale=Sale.objects.get(pk=sale.pk), variant=stocked("late", 1))
    cancellation.cancel_order(purchase, by="staff")
    assert sale.variants.get().stock == 1
    assert skus(other)[-1] == sale.variants.get().sku
    assert reconciliation.verify(sale.pk).faults == {}
