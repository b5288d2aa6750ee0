"""Names that are long, or written from right to left, on a phone and beside other text."""

import pytest
from playwright.sync_api import Page

from conftest import MakeSale
from inventory.models import Sale, Variant
from inventory.products import Product
from tests.browser.conftest import OpenPage
from tests.browser.seen import address, buy_button, sees_secured
from tests.cast import rename

pytestmark = pytest.mark.browser

ARABIC = "\u0645\u0631\u062d\u0628\u0627"

# Where a part of an element's text is drawn, from the left; of the first element that has it.
DRAWN_AT = """([selector, part]) => {
  for (const element of document.querySelectorAll(selector)) {
    const walk = document.createTreeWalker(element, NodeFilter.SHOW_TEXT);
    for (let node; (node = walk.nextNode()); ) {
      const at = node.data.indexOf(part);
      if (at < 0) continue;
      const range = document.createRange();
      range.setStart(node, at);
      range.setEnd(node, at + part.length);
      return range.getBoundingClientRect().left;
    }
  }
}"""

# What reaches over the edge of the window, or is cut off by an element that hides its overflow.
CUT_OFF = """() => [...document.querySelectorAll('main *, #content *')].filter((element) => {
  const box = element.getBoundingClientRect();
  if (!box.width || element.closest('.visually-hidden, .results, .scroll')) return false;
  return box.right > document.documentElement.clientWidth + 1;
}).map((element) => `${element.tagName}.${element.className}: ${element.textContent.slice(0, 20)}`)"""


def drawn_in_order(page: Page, selector: str, *parts: str) -> None:
    places = [page.evaluate(DRAWN_AT, [selector, part]) for part in parts]
    assert None not in places, (parts, places)
    assert places == sorted(places), (parts, places)


def test_a_name_from_right_to_left_reorders_nothing(
    shop: str, open_page: OpenPage, make_sale: MakeSale
) -> None:
    sale = make_sale()
    # From before such names were refused.
    rename(sale, f"\u202e{ARABIC}")
    sale.variants.update(option="42 - 43")
    page = open_page(address(shop, sale), viewport={"width": 1200, "height": 900})
    drawn_in_order(page, "h2 .option", "42", "43")
    buy_button(page).click()
    sees_secured(page)
    drawn_in_order(page, ".answer .outcome p", "42", "43", " is yours")
    page.goto(f"{shop}/orders/")
    drawn_in_order(page, "td.wide", "1", "42", "43")
    page.goto(f"{shop}/orders/{sale.orders.get().pk}/")
    drawn_in_order(page, "dd", "42", "43")


def nothing_is_cut_off(page: Page) -> None:
    for width in (320, 390, 700, 1280):
        page.set_viewport_size({"width": width, "height": 800})
        assert page.evaluate("innerWidth") == width
        assert page.evaluate(CUT_OFF) == [], (page.url, width)


@pytest.mark.parametrize("locale", ["de-DE", pytest.param("en-GB", marks=pytest.mark.deep)])
def test_the_longest_names_are_read_as_a_whole(
    shop: str, open_page: OpenPage, make_sale: MakeSale, locale: str
) -> None:
    sale = make_sale(stock={"one": 3, "two": 3, "three": 3}, limit=2)
    Sale.objects.filter(pk=sale.pk).update(name="N" * 120)
    one, two, three = sale.variants.order_by("pk")
    products = {name: Product.objects.create(name=name) for name in ("W" * 120, "V" * 120)}
    for variant, name, option in (
        (one, "W" * 120, "M" * 40),
        (two, "V" * 120, "M" * 40),
        (three, "V" * 120, "42"),
    ):
        Variant.objects.filter(pk=variant.pk).update(option=option, product=products[name])
    page = open_page(address(shop, sale), locale=locale)
    nothing_is_cut_off(page)
    buy_button(page).click()
    page.locator(".answer .outcome[data-status='confirmed']").wait_for()
    nothing_is_cut_off(page)
    for path in ("/", "/orders/", f"/orders/{sale.orders.get().pk}/"):
        page.goto(shop + path)
        nothing_is_cut_off(page)
