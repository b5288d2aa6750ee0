"""What staff and the clock change shows on pages that are open."""

from zoneinfo import ZoneInfo

import pytest
from playwright.sync_api import expect

from conftest import MakeSale
from inventory.models import Sale
from orders import sale_lifecycle, stock_changes
from tests.browser.conftest import OpenPage
from tests.browser.seen import (
    address,
    buy_button,
    opens_soon,
    questions,
    sees_phase,
    sees_secured,
    sees_stock,
)

pytestmark = pytest.mark.browser


def test_what_is_sold_out_can_be_bought_again_after_a_restock(
    shop: str, open_page: OpenPage, make_sale: MakeSale
) -> None:
    sale = make_sale(stock=0)
    page = open_page(address(shop, sale))
    asked = questions(page)
    sees_stock(page, "Sold out")
    expect(buy_button(page)).to_be_disabled()
    stock_changes.restock(sale.variants.get().pk, 1, by="tests")
    sees_stock(page, "1 left")
    assert asked == []
    buy_button(page).click()
    sees_secured(page)


def test_a_pause_shows_and_ends(shop: str, open_page: OpenPage, make_sale: MakeSale) -> None:
    sale = make_sale()
    page = open_page(address(shop, sale))
    sale_lifecycle.pause(sale.pk, by="staff")
    sees_phase(page, "Paused")
    expect(buy_button(page)).to_be_disabled()
    sale_lifecycle.resume(sale.pk, by="staff")
    sees_phase(page, "Open")
    buy_button(page).click()
    sees_secured(page)


def test_a_click_in_a_pause_is_told_so(shop: str, open_page: OpenPage, make_sale: MakeSale) -> None:
    sale = make_sale()
    page = open_page(address(shop, sale), java_script_enabled=False)
    sale_lifecycle.pause(sale.pk, by="staff")
    buy_button(page).click()
    expect(page.get_by_role("status").filter(has_text="Try again")).to_contain_text(
        "The sale is paused."
    )
    sale_lifecycle.resume(sale.pk, by="staff")
    buy_button(page).click()
    sees_secured(page)


def test_a_sale_opens_on_the_page_that_waits_for_it(
    shop: str, open_page: OpenPage, make_sale: MakeSale
) -> None:
    sale = make_sale(opens_in=600)
    page = open_page(address(shop, sale))
    sees_phase(page, "Opens soon")
    expect(buy_button(page)).to_be_disabled()
    opens_soon(sale, seconds=3)
    sees_phase(page, "Open")
    buy_button(page).click()
    sees_secured(page)


def test_a_sale_closes_on_the_page_that_shows_it(
    shop: str, open_page: OpenPage, make_sale: MakeSale
) -> None:
    page = open_page(address(shop, make_sale(closes_in=500)), clock=True)
    sees_phase(page, "Open")
    page.clock.fast_forward(501_000)
    sees_phase(page, "Ended")
    expect(buy_button(page)).to_be_disabled()


def test_the_page_says_the_time_of_the_sale_and_the_readers_own(
    shop: str, open_page: OpenPage, make_sale: MakeSale
) -> None:
    sale = make_sale(opens_in=3600, closes_in=7200)
    Sale.objects.filter(pk=sale.pk).update(time_zone="Asia/Tokyo")
    opens = sale.opens_at.astimezone(ZoneInfo("Asia/Tokyo"))
    here = sale.opens_at.astimezone(ZoneInfo("America/New_York"))
    page = open_page(address(shop, sale), timezone_id="America/New_York")
    expect(page.locator("#state .when")).to_contain_text(f"{opens:%H:%M} (Asia/Tokyo, UTC+9)")
    expect(page.locator(".your-time")).to_contain_text(f"{here:%H:%M}")
    expect(page.locator(".your-time span")).to_be_visible()
    at_home = open_page(address(shop, sale), timezone_id="Asia/Tokyo")
    expect(at_home.locator("#state .when")).to_contain_text("Asia/Tokyo")
    expect(at_home.locator(".your-time span")).to_be_hidden()


# A browser that is older than the name Europe/Kyiv.
OLD = """
const Real = Intl.DateTimeFormat;
Intl.DateTimeFormat = function (locale, options) {
  if (options?.timeZone === "Europe/Kyiv") throw new RangeError("Invalid time zone: Europe/Kyiv");
  return new Real(locale, options);
};
Intl.DateTimeFormat.prototype = Real.prototype;
"""
# A machine whose zone the browser cannot find out.
LOST = """
const { resolvedOptions } = Intl.DateTimeFormat.prototype;
Intl.DateTimeFormat.prototype.resolvedOptions = function () {
  return { ...resolvedOptions.call(this), timeZone: "%s" };
};
"""


def test_a_browser_that_does_not_know_the_zone_of_the_sale_shows_its_offset_and_counts_down(
    shop: str, open_page: OpenPage, make_sale: MakeSale
) -> None:
    sale = make_sale(opens_in=500, closes_in=7200)
    Sale.objects.filter(pk=sale.pk).update(time_zone="Europe/Kyiv")
    page = open_page(address(shop, sale), script=OLD, clock=True, timezone_id="America/New_York")
    expect(page.locator("#state .when")).to_contain_text("(Europe/Kyiv, UTC+")
    expect(page.locator(".your-time span")).to_be_visible()
    page.clock.fast_forward(501_000)
    sees_phase(page, "Open")
    timer = page.get_by_role("timer")
    expect(timer).to_contain_text("Ends in")
    shown = timer.inner_text()
    expect(timer).not_to_have_text(shown, use_inner_text=True)


@pytest.mark.parametrize("unknown", ["Etc/Unknown", pytest.param("", marks=pytest.mark.deep)])
def test_a_browser_that_does_not_know_its_own_zone_claims_no_time_of_the_reader(
    shop: str, open_page: OpenPage, make_sale: MakeSale, unknown: str
) -> None:
    sale = make_sale(opens_in=3600, closes_in=7200)
    Sale.objects.filter(pk=sale.pk).update(time_zone="Asia/Tokyo")
    page = open_page(address(shop, sale), script=LOST % unknown, timezone_id="UTC")
    expect(page.get_by_role("timer")).to_contain_text("Opens in")
    expect(page.locator(".your-time span")).to_be_hidden()
