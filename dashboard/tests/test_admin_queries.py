"""A list asks PostgreSQL a few questions, however many rows it shows."""

from django.db import connection
from django.test.utils import CaptureQueriesContext

from conftest import MakeSale
from dashboard.tests.admin_pages import CORRECT, RUN, WRITE, Staff, asking, listed, page_of
from inventory.models import Sale, StockMovement, Variant
from orders import cancellation, settlement, stock_changes
from orders.models import AuditEntry, Order
from tests.cast import queue_up

MOST = 15

LISTS = (Variant, Sale, Order, StockMovement, AuditEntry)


def busy(make_sale: MakeSale) -> Sale:
    """A sale of which every list has some rows, about three variants."""
    sale = make_sale(stock={"shoe": 30, "bag": 30, "cap": 30})
    for variant in sale.variants.all():
        queue_up(sale, 3, sku=variant.sku)
        settlement.settle(sale.pk)
        stock_changes.restock(variant.pk, 1, by="anna")
        price = {"before": {"price": 100}, "after": {"price": 12900}}
        AuditEntry.objects.create(action="edited", subject=variant.sku, variant=variant, **price)
    for order in sale.orders.all()[:3]:
        cancellation.cancel_order(order.pk, by="anna")
    return sale


def test_a_list_asks_few_questions_and_no_more_for_more_rows(make_sale: MakeSale) -> None:
    anna = Staff.with_permissions(*RUN, CORRECT)
    busy(make_sale)
    few = {model: asked(anna, listed(model)) for model in LISTS}
    busy(make_sale)
    busy(make_sale)
    assert {model: asked(anna, listed(model)) for model in LISTS} == few
    assert max(few.values()) <= MOST, few


def test_a_search_for_an_order_asks_few_questions(make_sale: MakeSale) -> None:
    anna, order = Staff.with_permissions(*RUN), busy(make_sale).orders.all()[0]
    for wanted in (order.reference, order.pk, order.shopper, "shoe"):
        assert asked(anna, f"{listed(Order)}?q={wanted}") <= MOST


def test_the_page_that_asks_about_many_asks_no_more_than_about_one(make_sale: MakeSale) -> None:
    anna, orders = Staff.with_permissions(*RUN), busy(make_sale).orders.all()
    one, many = asking("cancel", orders[0]), asking("cancel", *orders)
    assert asked(anna, one) == asked(anna, many) <= MOST


def test_a_draft_asks_no_more_for_more_variants(make_sale: MakeSale) -> None:
    anna = Staff.with_permissions(*RUN, *WRITE)
    few, many = (make_sale(live=False, stock={f"{n}-{i}": 1 for i in range(n)}) for n in (2, 12))
    asked(anna, page_of(few))  # what a process remembers is asked once
    assert asked(anna, page_of(few)) == asked(anna, page_of(many)) <= MOST


def asked(staff: Staff, address: str) -> int:
    with CaptureQueriesContext(connection) as queries:
        staff.opens(address)
    return len(queries)
