"""Staff ship a sale with a phone: one order by hand, the others by the file that they have downloaded."""

import csv
from itertools import product
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from conftest import MakeSale
from dashboard.tests.staff import LOOKS, employ
from orders.models import Shipment
from tests.browser.conftest import OpenPage
from tests.browser.test_accessible import DESKTOP, SCHEMES, broken_rules, shown, too_small
from tests.browser.test_accessible import PHONE as PHONE_SIZE
from tests.browser.test_layout import LONG_SKU, PHONE, fits
from tests.browser.test_running_a_sale import logged_in
from tests.shipped import ANNA, give_contact, sell

pytestmark = pytest.mark.browser

STAFF = (*LOOKS, "orders.view_order", "orders.add_shipment", "accounts.view_contact")


def is_accessible(page: Page) -> None:
    """In each look; ends as a phone shows it."""
    for look in shown(page, product(SCHEMES, (DESKTOP, PHONE_SIZE))):
        assert broken_rules(page) == [], look
    assert too_small(page) == []
    fits(page)


def test_a_sale_is_shipped_with_a_phone(
    shop: str, open_page: OpenPage, make_sale: MakeSale, tmp_path: Path
) -> None:
    sale = make_sale(stock={LONG_SKU: 3})
    first, second, third = sell(sale, 3)
    give_contact(second.pk)
    page = open_page(f"{shop}/dashboard/", cookies=logged_in(employ(STAFF)), **PHONE)
    page.locator(f"#sale-{sale.pk}").get_by_role("link", name="Fulfilment").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text(sale.name)
    is_accessible(page)

    order = page.locator(f"#order-{first.pk}")
    order.get_by_label(f"Ship {first.reference}").click()
    order.get_by_label("Carrier").fill("DHL")
    order.get_by_label("Tracking number").fill("0034")
    is_accessible(page)
    order.get_by_role("button", name=f"Mark {first.reference} as shipped").click()
    expect(page.get_by_role("status")).to_have_text(f"{first.reference} is marked as shipped.")
    expect(page.locator("[data-figure=to-ship]")).to_have_text("2")

    with page.expect_download() as download:
        page.get_by_role("button", name="Download").click()
    download.value.save_as(file := tmp_path / "shipping.csv")
    with file.open(newline="", encoding="utf-8-sig") as lines:
        rows = list(csv.DictReader(lines))
    assert {row["order"]: row["name"] for row in rows} == {
        str(second.pk): ANNA.name,
        str(third.pk): "",
    }
    filled = tmp_path / "filled.csv"
    with filled.open("w", newline="", encoding="utf-8-sig") as lines:
        writer = csv.DictWriter(lines, rows[0], delimiter=";")
        writer.writeheader()
        writer.writerows({**row, "tracking_number": f"99{row['quantity']}"} for row in rows)

    page.get_by_label("List of parcels").set_input_files(filled)
    page.get_by_role("button", name="Preview").click()
    expect(page.locator("li[data-kind=ship]")).to_have_count(2)
    is_accessible(page)
    page.get_by_role("button", name="Ship 2 of 2").click()
    expect(page.locator("li[data-kind=done]")).to_have_count(2)
    is_accessible(page)
    page.get_by_role("link", name="Back to fulfilment").click()
    expect(page.locator(".empty")).to_have_text("Everything is shipped.")
    assert Shipment.objects.filter(order__sale=sale, tracking_number="991").count() == 2
