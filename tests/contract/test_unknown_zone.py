"""A sale whose time zone this machine does not know: `tzdata` drops names, and distributions leave old
ones out. Each page and command shows its times in UTC; none fails."""

import pytest

from conftest import MakeSale
from dashboard.tests.admin_pages import Staff, listed, page_of
from inventory.models import Sale
from ops.doctor import sales
from orders import settlement
from orders.models import AuditEntry, Order
from tests.cast import Shopper, queue_up
from tests.operators import here

HTML = {"Accept": "text/html"}
NOWHERE = "US/Pacific-New"  # a name until 2020


@pytest.fixture
def sale(make_sale: MakeSale) -> Sale:
    made = make_sale(stock=3)
    Sale.objects.filter(pk=made.pk).update(time_zone=NOWHERE)
    made.refresh_from_db()
    return made


def test_shoppers_pages_show_utc(sale: Sale, shopper: Shopper) -> None:
    purchase = shopper.buy(sale).json()["purchase"]
    settlement.settle(sale.pk)
    pages = ("/", f"/sales/{sale.slug}/", f"/orders/{purchase}/", "/orders/")
    shown = {page: shopper.client.get(page, headers=HTML) for page in pages}
    assert {page: answer.status_code for page, answer in shown.items()} == dict.fromkeys(pages, 200)
    assert all(f"({NOWHERE}, UTC)" in shown[page].text for page in pages[1:])
    assert shopper.client.get(f"/sales/{sale.slug}/calendar.ics").status_code == 200


def test_staff_and_operators_read_utc(sale: Sale) -> None:
    queue_up(sale, 1)
    settlement.settle(sale.pk)
    order = Order.objects.get(sale=sale)
    root = Staff.superuser().browser
    addresses = [
        *map(listed, (Sale, Order, AuditEntry)),
        page_of(sale),
        page_of(order),
        "/dashboard/",
    ]
    statuses = {address: root.get(address).status_code for address in addresses}
    assert statuses == dict.fromkeys(addresses, 200)
    for words in (
        ("sale", "list"),
        ("sale", "show", sale.slug),
        ("order", "show", str(order.pk)),
        ("orders_export", "--sale", sale.slug),
        ("stock", "show", sale.variants.get().sku),
    ):
        ran = here(*words)
        assert ran.code == 0, (words, ran.err)


def test_the_doctor_names_it(sale: Sale) -> None:
    Sale.objects.exclude(pk=sale.pk).filter(time_zone=NOWHERE).update(time_zone="UTC")
    [finding] = sales.check_time_zones()
    assert (finding.state, sale.slug in finding.seen) == ("warning", True)
    Sale.objects.filter(pk=sale.pk).update(time_zone="Europe/Berlin")
    assert [finding.state for finding in sales.check_time_zones()] == ["ok"]
