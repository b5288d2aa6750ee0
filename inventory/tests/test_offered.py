"""The units that a sale has offered: the full length of the bar beside the stock."""

from importlib import import_module

import pytest
from django.db import connection

from conftest import MakeSale
from inventory.models import Sale
from orders import cancellation, sale_lifecycle, stock_changes
from orders.settlement import settle
from storefront.catalogue import card, stock_level
from tests.cast import queue_up

what_was_offered = import_module("inventory.migrations.0008_what_was_offered")


def offered(sale: Sale) -> int:
    return sale.listings.get().offered


def test_a_sale_offers_what_is_in_stock_when_it_is_scheduled(make_sale: MakeSale) -> None:
    assert offered(make_sale(stock=10)) == 10


def test_what_comes_in_or_is_lost_is_counted_and_what_is_sold_is_not(make_sale: MakeSale) -> None:
    sale = make_sale(stock=10)
    variant = sale.variants.get().pk
    stock_changes.restock(variant, 5, by="staff")
    stock_changes.correct(variant, -2, by="staff", reason="broken")
    queue_up(sale, 4)
    settle(sale.pk)
    assert (offered(sale), sale.variants.get().stock) == (13, 9)


def test_what_a_cancelled_order_returns_was_offered_before(make_sale: MakeSale) -> None:
    sale = make_sale(stock=10)
    queue_up(sale, 1)
    settle(sale.pk)
    cancellation.cancel_order(sale.orders.get().pk, by="staff")
    assert offered(sale) == 10


def test_stock_that_comes_in_for_a_draft_is_offered_once(make_sale: MakeSale) -> None:
    sale = make_sale(stock=10, live=False)
    stock_changes.restock(sale.variants.get().pk, 5, by="staff")
    sale_lifecycle.schedule(sale.pk, by="staff")
    assert offered(sale) == 15


def test_what_older_sales_have_offered_is_counted_from_the_ledger(make_sale: MakeSale) -> None:
    sale = make_sale(stock=10)
    queue_up(sale, 4)
    settle(sale.pk)
    cancellation.cancel_order(sale.orders.all()[0].pk, by="staff")
    sale.listings.update(offered=0)
    with connection.cursor() as cursor:
        cursor.execute(what_was_offered._FROM_THE_LEDGER)
    assert offered(sale) == 10


def test_options_of_one_name_are_one_choice(make_sale: MakeSale) -> None:
    sale = make_sale(stock={"shoe-42": 1, "bag": 1, "shoe-43": 1})
    found = card(pk=sale.pk)
    assert found is not None
    names = [[variant.sku.rpartition("-")[0] for variant in choice] for choice in found.choices]
    assert names == [["shoe-42", "shoe-43"], ["bag"]]


@pytest.mark.parametrize(
    ("left", "of", "level"),
    [
        *[(0, 100, "none"), (1, 5, "last"), (5, 20, "last"), (10, 100, "last")],
        *[(1, 1, "many"), (5, 5, "many")],  # nothing has gone yet
        *[(11, 100, "few"), (25, 100, "few"), (26, 100, "many"), (6, 10, "many")],
    ],
)
def test_the_last_tenth_or_five_units_are_nearly_gone(left: int, of: int, level: str) -> None:
    assert stock_level(left, of) == level
