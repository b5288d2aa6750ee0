"""Staff find an order by what a shopper tells them, and cancel it."""

from uuid import uuid4

import pytest

from conftest import MakeSale
from dashboard.tests.admin_pages import CORRECT, RUN, Staff, asking, listed, page_of
from inventory.models import Sale
from orders import reconciliation, settlement
from orders.models import Order
from tests.cast import queue_up, stray


@pytest.fixture
def anna() -> Staff:
    return Staff.with_permissions(*RUN)


@pytest.fixture
def sold(make_sale: MakeSale) -> Sale:
    """A sale with three orders."""
    sale = make_sale(stock=3)
    queue_up(sale, 3)
    settlement.settle(sale.pk)
    return sale


def found(staff: Staff, wanted: object) -> set[str]:
    """The references of the orders that a search shows."""
    page = staff.browser.get(listed(Order), {"q": str(wanted)})
    return {order.reference for order in page.context["cl"].result_list}


def test_a_reference_finds_its_order_as_people_write_it(anna: Staff, sold: Sale) -> None:
    for order in sold.orders.all():
        assert found(anna, f" {order.reference.lower()} ") == {order.reference}


def test_whole_ids_find_an_order_and_what_a_shopper_bought(anna: Staff, sold: Sale) -> None:
    order = sold.orders.all()[0]
    assert found(anna, order.pk) == found(anna, order.shopper) == {order.reference}
    assert found(anna, order.shopper.hex) == {order.reference}
    assert found(anna, uuid4()) == set()


def test_a_sku_finds_the_orders_of_its_variant(anna: Staff, sold: Sale) -> None:
    sku = sold.variants.get().sku
    assert found(anna, sku) == {order.reference for order in sold.orders.all()}
    assert found(anna, "no-such-sku") == set()


def test_a_sku_that_looks_like_a_reference_is_found_as_well(
    anna: Staff, make_sale: MakeSale
) -> None:
    sale = make_sale(stock={"9-K7Q29FX": 1})
    [purchase] = queue_up(sale, 1)
    settlement.settle(sale.pk)
    assert found(anna, "9-K7Q29FX") == {Order.objects.get(pk=purchase).reference}


def test_the_orders_of_one_sale_are_listed(anna: Staff, sold: Sale) -> None:
    page = anna.browser.get(listed(Order), {"sale": sold.pk})
    assert {order.sale_id for order in page.context["cl"].result_list} == {sold.pk}
    assert anna.browser.get(listed(Order), {"sale": "many"}).status_code == 302


def test_the_newest_orders_of_a_sale_come_first(anna: Staff, sold: Sale) -> None:
    anna.confirms("restock", sold.variants.get(), units=1)
    [later] = queue_up(sold, 1)
    settlement.settle(sold.pk)
    page = anna.browser.get(listed(Order), {"sale": sold.pk})
    assert page.context["cl"].result_list[0].pk == later


def test_an_order_shows_its_reference_and_what_it_costs(anna: Staff, sold: Sale) -> None:
    order = sold.orders.all()[0]
    for page in (anna.opens(f"{listed(Order)}?q={order.pk}"), anna.opens(page_of(order))):
        assert order.reference in page
        assert "€129.00" in page


def test_an_order_whose_product_is_unknown_has_no_price(anna: Staff, make_sale: MakeSale) -> None:
    sale = make_sale()
    stray(sale, sku="unknown")
    settlement.settle(sale.pk)
    order = sale.orders.get()
    assert order.variant is None
    for page in (anna.opens(f"{listed(Order)}?sale={sale.pk}"), anna.opens(page_of(order))):
        assert order.reference in page
        assert "€" not in page


def test_a_cancelled_order_returns_its_unit_once(anna: Staff, sold: Sale) -> None:
    order = sold.orders.all()[0]
    assert anna.confirms("cancel", order, reason="asked for it") == [
        f"{order.reference} is cancelled."
    ]
    assert anna.confirms("cancel", order) == [
        f"{order.reference}: this was done before, and is done only once."
    ]
    assert sold.variants.get().stock == 1
    entry = sold.audit.filter(action="cancelled").get()
    assert (entry.actor, entry.reason, entry.order) == (anna.name, "asked for it", order.pk)
    assert reconciliation.verify(sold.pk).faults == {}


def test_several_orders_are_cancelled_at_once(anna: Staff, sold: Sale) -> None:
    said = anna.confirms("cancel", *sold.orders.all())
    assert len(said) == 3
    assert sold.variants.get().stock == 3
    assert reconciliation.verify(sold.pk).faults == {}


def test_a_rejected_order_is_not_cancelled(anna: Staff, make_sale: MakeSale) -> None:
    sale = make_sale(stock=1)
    queue_up(sale, 1)
    anna = Staff.with_permissions(*RUN, CORRECT)
    anna.confirms("correct", sale.variants.get(), units=-1, reason="stolen")
    settlement.settle(sale.pk)
    order = sale.orders.get()
    assert anna.confirms("cancel", order) == [
        f"{order.reference}: A rejected order cannot be cancelled."
    ]
    assert asking("cancel", order) not in anna.opens(page_of(order))


def test_not_more_than_a_hundred_are_asked_about_at_once(anna: Staff, make_sale: MakeSale) -> None:
    sale = make_sale(stock=101)
    queue_up(sale, 101)
    settlement.settle(sale.pk)
    everything = {"action": "cancel", "_selected_action": [sale.orders.all()[0].pk], "index": 0}
    said = anna.sends(f"{listed(Order)}?sale={sale.pk}", **everything, select_across=1)
    assert said == ["At most 100 at once."]


def test_an_order_is_never_edited(sold: Sale) -> None:
    root, order = Staff.superuser(), sold.orders.all()[0]
    assert root.browser.post(page_of(order), {"status": "cancelled"}).status_code == 403
    assert root.browser.post(f"{listed(Order)}add/", {}).status_code == 403
    assert root.browser.post(f"{listed(Order)}{order.pk}/delete/", {}).status_code == 403
    assert Order.objects.get(pk=order.pk).status == "confirmed"
