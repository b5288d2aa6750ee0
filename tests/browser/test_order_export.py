"""Staff who have never seen a terminal click a button, and get a file that a spreadsheet opens."""

import csv
from pathlib import Path

import pytest

from conftest import MakeSale
from dashboard.order_export import LABEL
from dashboard.tests.admin_pages import RUN, listed, page_of
from dashboard.tests.staff import LOOKS, employ
from inventory.models import Sale
from orders import settlement
from orders.models import Order
from tests.browser.conftest import OpenPage
from tests.browser.test_running_a_sale import logged_in
from tests.cast import queue_up

pytestmark = pytest.mark.browser


@pytest.fixture
def sold(make_sale: MakeSale) -> Sale:
    sale = make_sale(stock=3)
    queue_up(sale, 2)
    settlement.settle(sale.pk)
    return sale


def test_a_click_downloads_the_orders(
    shop: str, open_page: OpenPage, sold: Sale, tmp_path: Path
) -> None:
    page = open_page("about:blank", cookies=logged_in(employ([*RUN, *LOOKS])))
    for where, within in (
        (page_of(sold), "main"),
        (f"{listed(Order)}?sale={sold.pk}", "main"),
        ("/dashboard/", f"#sale-{sold.pk}"),
    ):
        page.goto(shop + where)
        button = page.locator(within).get_by_role("link", name=LABEL)
        with page.expect_download() as download:
            button.click()
        assert download.value.suggested_filename.startswith(f"orders-{sold.slug}-")
        download.value.save_as(file := tmp_path / "orders.csv")
        assert file.read_bytes().startswith(b"\xef\xbb\xbf")
        with file.open(newline="", encoding="utf-8-sig") as lines:
            orders = {row["order"] for row in csv.DictReader(lines)}
        assert orders == {str(order.pk) for order in sold.orders.all()}
