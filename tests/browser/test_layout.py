"""Each page fits a small phone."""

import pytest
from playwright.sync_api import Page, expect

from conftest import MakeSale
from inventory.models import Sale
from inventory.products import Product
from tests.browser.conftest import Complaints, OpenPage
from tests.browser.seen import address, buy_button, sees_secured

pytestmark = pytest.mark.browser

LONG_SKU = "Donaudampfschifffahrtsgesellschaft"
WIDE_TABLE = f"|{'size|' * 12}\n|{'-|' * 12}\n|{'42.5|' * 12}"
LONG_WORD = "Rindfleischetikettierungsüberwachungsaufgabenübertragungsgesetz"
PHONE = {"viewport": {"width": 360, "height": 740}, "is_mobile": True, "has_touch": True}


def fits(page: Page) -> None:
    widths = page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
    assert widths == [360, 360], page.url


def test_no_page_scrolls_sideways_on_a_phone(
    shop: str, open_page: OpenPage, make_sale: MakeSale, complaints: Complaints
) -> None:
    complaints.expect("status of 404")
    sale = make_sale(stock={LONG_SKU: 3, f"{LONG_SKU}-b": 0})
    Sale.objects.filter(pk=sale.pk).update(name=LONG_WORD)
    texts = {"name": LONG_WORD, "description": f"{LONG_WORD}{LONG_WORD}", "size_guide": WIDE_TABLE}
    Product.objects.filter(variants__sales=sale).update(**texts)
    page = open_page(shop, **PHONE)
    fits(page)
    page.goto(address(shop, sale))
    fits(page)
    page.get_by_role("radio").first.check()
    buy_button(page).click()
    sees_secured(page)
    fits(page)
    for path in ("/orders/", f"/orders/{sale.orders.get().pk}/", "/nowhere/", "/sales/nowhere/"):
        page.goto(shop + path)
        fits(page)
    page.goto(f"{address(shop, sale)}?message=sold_out")
    fits(page)


def test_an_order_is_printed_without_the_shop_around_it(
    shop: str, open_page: OpenPage, make_sale: MakeSale
) -> None:
    sale = make_sale()
    page = open_page(address(shop, sale))
    buy_button(page).click()
    sees_secured(page)
    page.get_by_role("link", name="Your order", exact=True).click()
    printing = page.get_by_role("button", name="Print")
    page.evaluate("print = () => document.body.dataset.printed = 'yes'")
    printing.click()
    expect(page.locator("body")).to_have_attribute("data-printed", "yes")
    page.emulate_media(media="print")
    expect(page.locator(".reference")).to_have_text(sale.orders.get().reference)
    expect(page.get_by_role("navigation")).to_have_count(0)
    expect(printing).to_be_hidden()
