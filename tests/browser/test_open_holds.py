"""Staff see on the dashboard who holds many units, and cancel these holds."""

import pytest
from playwright.sync_api import expect

from conftest import MakeSale
from dashboard.tests.staff import CORRECTS, employ
from inventory.models import Sale
from orders import replication, settlement
from tests.browser.conftest import OpenPage
from tests.browser.test_fulfilment import is_accessible
from tests.browser.test_layout import PHONE
from tests.browser.test_running_a_sale import desk, logged_in, sees_figure
from tests.cast import click

pytestmark = pytest.mark.browser

ATTACKER, OFFICE = "a3f9" * 4, "0ff1" * 4


def hold(sale: Sale, network: str, orders: int) -> None:
    for _ in range(orders):
        assert click(sale, network=network).code == "queued"
    settlement.settle(sale.pk)
    replication.replicate(sale.pk)


def test_an_attack_is_seen_and_ended(shop: str, open_page: OpenPage, make_sale: MakeSale) -> None:
    sale = make_sale(stock=9, hold=10)
    hold(sale, OFFICE, 4)
    staff = logged_in(employ((*CORRECTS, "orders.view_order")))
    page = open_page(f"{shop}/dashboard/", cookies=staff, **PHONE)
    sees_figure(page, sale, "crowded", "1")
    hold(sale, ATTACKER, 5)
    sees_figure(page, sale, "crowded", "2")
    sees_figure(page, sale, "kept", "9")
    sees_figure(page, sale, "left", "0")
    expect(desk(page, sale).locator(".networks li").first).to_contain_text(
        "5 holds, 5 units; 0 expired before"
    )
    is_accessible(page)

    desk(page, sale).get_by_role("link", name="a3f9").click()
    expect(page.locator("#result_list tbody tr")).to_have_count(5)
    page.locator("#action-toggle").check()
    page.get_by_label("Action:").select_option(label="Cancel order")
    page.get_by_role("button", name="Go").click()
    page.get_by_role("button", name="Cancel order").click()
    expect(page.get_by_text("is cancelled").first).to_be_visible()
    page.goto(f"{shop}/dashboard/")
    sees_figure(page, sale, "kept", "4")
    sees_figure(page, sale, "left", "5")
    expect(desk(page, sale).get_by_role("link", name="a3f9")).to_have_count(0)
