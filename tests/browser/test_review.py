"""Staff review a draw with a phone: they see who entered many times, and set those entries aside."""

import pytest
from playwright.sync_api import expect

from conftest import MakeSale
from dashboard.tests.staff import RUNS, employ
from orders.models import Order
from tests.browser.conftest import OpenPage
from tests.browser.test_fulfilment import is_accessible
from tests.browser.test_layout import LONG_SKU, PHONE
from tests.browser.test_running_a_sale import desk, logged_in, sees_figure
from tests.draws import enter, make_draw
from tests.shipped import give_contact

pytestmark = pytest.mark.browser

STAFF = (*RUNS, "orders.view_order", "accounts.view_contact")


def test_a_draw_is_reviewed_with_a_phone(
    shop: str, open_page: OpenPage, make_sale: MakeSale
) -> None:
    sale = make_draw(make_sale, stock={LONG_SKU: 2}, hold=60)
    entries = enter(sale, ["192.0.2.1"] * 4 + ["192.0.2.2"])
    for entry in entries[3:]:
        give_contact(entry)
    page = open_page(f"{shop}/dashboard/", cookies=logged_in(employ(STAFF)), **PHONE)
    sees_figure(page, sale, "entries", "5 for 2 units")
    is_accessible(page)

    desk(page, sale).get_by_role("link", name="Review").click()
    expect(page.locator(".groups li")).to_contain_text(["4 orders of 4 shoppers, 4 units"])
    page.get_by_role("link", name="Compare contacts").click()
    expect(page.locator("section:has(#contacts) .groups li")).to_have_count(2)
    is_accessible(page)

    page.get_by_role("link", name="Network").click()
    page.get_by_label("Why").fill("One person, four browsers.")
    is_accessible(page)
    page.get_by_role("button", name="Set all aside but the earliest").click()
    expect(page.get_by_role("status")).to_contain_text("the chosen entries are set aside")
    page.get_by_role("link", name="Back to the review").click()
    expect(page.get_by_text("3 entries. The published file")).to_be_visible()
    is_accessible(page)
    left = Order.objects.filter(sale=sale, status="waiting").order_by("accepted_at")
    assert list(left.values_list("pk", flat=True)) == [entries[0], entries[4]]
