"""Each page fits a small phone."""

import pytest
from playwright.sync_api import Page

from conftest import MakeSale
from inventory.models import Sale
from tests.browser.conftest import Complaints, OpenPage
from tests.browser.seen import address, buy_button, sees_secured

pytestmark = pytest.mark.browser

LONG_WORD = "Rindfleischetikettierungsüberwachungsaufgabenübertragungsgesetz"
PHONE = {"viewport": {"width": 360, "height": 740}, "is_mobile": True, "has_touch": True}


def fits(page: Page) -> None:
    widths = page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
    assert widths == [360, 360], page.url


def test_no_page_scrolls_sideways_on_a_phone(
    shop: str, open_page: OpenPage, make_sale: MakeSale, complaints: Complaints
) -> None:
    complaints.expect("status of 404")
    sale = make_sale(stock={"Donaudampfschifffahrtsgesellschaft": 3, "bag": 0})
    Sale.objects.filter(pk=sale.pk).update(name=LONG_WORD)
    sale.products.update(name=LONG_WORD, description=f"{LONG_WORD}{LONG_WORD}")
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
