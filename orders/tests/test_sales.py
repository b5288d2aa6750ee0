"""The life of a sale: what staff do holds from when it returns, and the books balance."""

import pytest
from django.db import IntegrityError

from conftest import MakeSale
from inventory import gate
from inventory.models import Listing, Sale
from orders import books, caretaker, sales, settlement
from tests.cast import queue_up, skus, stocked


def test_a_pause_refuses_and_a_resume_sells_again(make_sale: MakeSale) -> None:
    sale = make_sale(stock=5)
    sales.pause(sale.pk)
    assert queue_up(sale, 1) == []
    sales.resume(sale.pk)
    assert len(queue_up(sale, 1)) == 1


def test_ended_is_final(make_sale: MakeSale) -> None:
    sale = make_sale()
    sales.end(sale.pk)
    for change in (sales.resume, sales.pause, sales.go_live, sales.end):
        with pytest.raises(sales.NotPossible):
            change(sale.pk)


def test_a_restock_makes_a_sold_out_sale_buyable_again(make_sale: MakeSale) -> None:
    sale = make_sale(stock=1)
    queue_up(sale, 1)
    settlement.settle(sale.pk)
    assert queue_up(sale, 1) == []
    sales.restock(sale.products.get().pk, 2, actor="staff")
    assert len(queue_up(sale, 3)) == 2


@pytest.mark.parametrize("units", [0, -5])
def test_only_a_positive_number_comes_in(make_sale: MakeSale, units: int) -> None:
    with pytest.raises(sales.NotPossible):
        sales.restock(make_sale().products.get().pk, units, actor="staff")


def test_a_cancelled_order_returns_its_units_once_and_can_be_bought_again(
    make_sale: MakeSale,
) -> None:
    sale = make_sale(stock=1)
    [purchase] = queue_up(sale, 1)
    settlement.settle(sale.pk)
    assert sales.cancel(purchase, actor="staff")
    assert not sales.cancel(purchase, actor="staff")
    assert sale.products.get().stock == 1
    assert gate.one_answer(sale.pk, purchase.hex)[0] is not None
    assert len(queue_up(sale, 1)) == 1
    assert books.verify(sale.pk).faults == {}


def test_a_greater_limit_lets_the_same_shopper_buy_more(make_sale: MakeSale) -> None:
    sale = make_sale(stock=5, limit=1)
    assert queue_up(sale, 1, quantity=2) == []
    sales.change_limit(sale.pk, 2)
    assert len(queue_up(sale, 1, quantity=2)) == 1
    sales.change_limit(sale.pk, 1)
    sale.refresh_from_db()
    assert (sale.limit, sale.greatest_limit) == (1, 2)


def test_an_ended_sale_is_finished_when_its_line_is_empty(make_sale: MakeSale) -> None:
    sale = make_sale(stock=5)
    product = sale.products.get()
    queue_up(sale, 1)
    sales.end(sale.pk)
    sales.finish_all()
    assert not Sale.objects.get(pk=sale.pk).finished  # somebody waits
    settlement.settle(sale.pk)
    sales.finish_all()
    assert Sale.objects.get(pk=sale.pk).finished
    assert sale.pk not in gate.standing()
    caretaker.look_after_all()
    assert sale.pk not in gate.standing()
    other = make_sale(live=False, opens_in=60)
    Listing.objects.create(sale=other, product=product)  # its products may be sold again


def test_a_product_cannot_be_in_two_unfinished_sales(make_sale: MakeSale) -> None:
    sale, other = make_sale(), make_sale(live=False, opens_in=7200, closes_in=9000)
    with pytest.raises(IntegrityError):
        Listing.objects.create(sale=other, product=sale.products.get())


def test_a_cancelled_order_of_a_finished_sale_is_sold_by_the_next(make_sale: MakeSale) -> None:
    sale = make_sale(stock=1)
    [purchase] = queue_up(sale, 1)
    settlement.settle(sale.pk)
    sales.end(sale.pk)
    sales.finish(sale.pk)
    other = make_sale(live=False, opens_in=60)
    Listing.objects.create(sale=other, product=sale.products.get(), position=9)
    with pytest.raises(Exception, match="fixed"):
        Listing.objects.create(sale=Sale.objects.get(pk=sale.pk), product=stocked("late", 1))
    sales.cancel(purchase, actor="staff")
    assert sale.products.get().stock == 1
    assert skus(other)[-1] == sale.products.get().sku
    assert books.verify(sale.pk).faults == {}


def test_what_is_left_of_a_finished_sales_gate_is_cleared_away(make_sale: MakeSale) -> None:
    """A caretaker has marked the gate again just after it was removed."""
    sale = make_sale(stock=5)
    sales.end(sale.pk)
    assert sales.finish(sale.pk)
    gate.cool([sale.pk], "a mark")
    sales.finish_all()
    assert sale.pk not in gate.standing()


def test_a_sale_that_is_ended_before_it_opens_leaves_its_window_free(make_sale: MakeSale) -> None:
    sale = make_sale(opens_in=600, closes_in=3600)
    sales.end(sale.pk)
    sales.finish_all()
    other = make_sale(live=False, opens_in=700, closes_in=3600)
    Listing.objects.create(sale=other, product=sale.products.get(), position=9)
