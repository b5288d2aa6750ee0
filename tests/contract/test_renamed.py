"""Staff rename a product that was bought: the order goes on saying what was bought."""

import re
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from conftest import MakeSale
from dashboard.tests.admin_pages import RUN, Staff, asking, listed, page_of
from inventory.models import Sale, Variant
from orders import finishing, sale_lifecycle
from orders.models import Order
from orders.settlement import settle
from tests.cast import HTMX, PAGE, Shopper, rename
from tests.operators import here
from tests.stack import wait_for

WAS, IS_NOW = "Blue Runner", "Red Walker"


@dataclass
class Sold:
    shopper: Shopper
    sale: Sale
    order: Order

    def path(self) -> str:
        return f"/orders/{self.order.pk}/"

    def gets(self, path: str, headers: dict[str, str]) -> str:
        return self.shopper.client.get(path, headers=headers).text


@pytest.fixture
def sold(shopper: Shopper, make_sale: MakeSale) -> Sold:
    """An order whose product staff have renamed since, as the web process knows."""
    sale = make_sale()
    called(sale, WAS, "42")
    purchase = shopper.buy(sale).json()["purchase"]
    settle(sale.pk)
    called(sale, IS_NOW, "39")
    wait_for(lambda: names_on_page(shopper, sale) == {(IS_NOW, "39")}, "the page has the new name")
    return Sold(shopper, sale, Order.objects.get(pk=purchase))


def called(sale: Sale, name: str, option: str) -> None:
    rename(sale, name)
    Variant.objects.filter(sales=sale).update(option=option)


def names_on_page(shopper: Shopper, sale: Sale) -> set[tuple[str, str]]:
    return {(each["name"], each["option"]) for each in shopper.sale(sale)["products"]}


def staff_page(address: Callable[[Sold], str]) -> Callable[[Sold], str]:
    return lambda sold: Staff.with_permissions(*RUN).opens(address(sold))


def own_box_on_the_sales_page(sold: Sold) -> str:
    page = sold.gets(f"/sales/{sold.sale.slug}/", PAGE)
    box = re.search(rf'id="purchase-{sold.order.pk}".*?</div>', page, re.S)
    return box[0] if box else ""  # for a moment the page does not know what was bought


READERS: dict[str, Callable[[Sold], str]] = {
    "the order's page": lambda sold: sold.gets(sold.path(), PAGE),
    "the box of the outcome": lambda sold: sold.gets(sold.path(), HTMX),
    "the box on the sale's page": own_box_on_the_sales_page,
    "the list of own orders": lambda sold: sold.gets("/orders/", PAGE),
    "the list in admin": staff_page(lambda sold: f"{listed(Order)}?q={sold.order.pk}"),
    "a search by sku in admin": staff_page(lambda sold: f"{listed(Order)}?q={sold.order.sku}"),
    "the order in admin": staff_page(lambda sold: page_of(sold.order)),
    "the question before a cancellation": staff_page(lambda sold: asking("cancel", sold.order)),
    "order show": lambda sold: here("order", "show", str(sold.order.pk)).out,
    "order show --json": lambda sold: here("order", "show", str(sold.order.pk), "--json").out,
    "order cancel --dry-run": lambda sold: (
        here("order", "cancel", str(sold.order.pk), "--dry-run").err
    ),
    "the export": lambda sold: here("orders_export", "--sale", sold.sale.slug).out,
}


@pytest.mark.parametrize("reader", READERS)
def test_it_is_read_from_the_order(reader: str, sold: Sold) -> None:
    text = READERS[reader](sold)
    assert WAS in text
    assert "42" in text
    assert IS_NOW not in text


@pytest.mark.parametrize("path", ["order", "sale"])
def test_it_is_the_same_when_the_gate_is_gone(path: str, sold: Sold) -> None:
    sale_lifecycle.end(sold.sale.pk, by="staff")
    assert finishing.finish_sale(sold.sale.pk)
    shown = READERS["the order's page" if path == "order" else "the box on the sale's page"]

    def says_so() -> bool:
        text = shown(sold)
        return WAS in text and IS_NOW not in text

    wait_for(says_so, "the order says what was bought")
