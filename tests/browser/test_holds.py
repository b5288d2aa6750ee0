"""A hold on the page: the time that is left, giving it back, and its end, in each tab."""

import pytest
from playwright.sync_api import Page, expect

from conftest import MakeSale
from inventory.models import Sale
from orders import confirmation
from tests.browser.conftest import OpenPage
from tests.browser.seen import address, answer, buy_button, sees_stock
from tests.cast import end_holds
from tests.stack import wait_for

pytestmark = pytest.mark.browser


def held(page: Page) -> None:
    """Buy on a sale's page, and see it held."""
    buy_button(page).click()
    expect(answer(page, "held")).to_contain_text("is held for you")


def another_tab(page: Page) -> Page:
    tab = page.context.new_page()
    tab.goto(page.url)
    return tab


def left(page: Page) -> int:
    """Seconds, as the page shows them."""
    text = page.locator(".hold .left strong").first.inner_text()
    hours, minutes, seconds = map(int, text.split(":"))
    return hours * 3600 + minutes * 60 + seconds


def test_the_page_counts_down_by_the_servers_clock(
    shop: str, open_page: OpenPage, make_sale: MakeSale
) -> None:
    page = open_page(address(shop, make_sale(hold=10)))
    expect(page.get_by_text("Held for 10 minutes")).to_be_visible()
    held(page)
    expect(page.locator(".hold progress")).to_be_visible()
    before = left(page)
    assert 540 < before <= 600
    wait_for(lambda: left(page) < before, "it counts down")
    # By the shop's clock, which is five minutes ahead of this browser's.
    page.evaluate("shopClock.measure(Date.now() + 300e3, Date.now(), Date.now())")
    wait_for(lambda: left(page) < before - 290, "it follows the shop's clock")
    expect(buy_button(page)).to_be_disabled()
    expect(buy_button(page)).to_contain_text("Held for you")


def test_a_hold_is_given_back_in_one_tab_and_the_other_sees_it(
    shop: str, open_page: OpenPage, make_sale: MakeSale
) -> None:
    page = open_page(address(shop, make_sale(stock=1, hold=10)))
    held(page)
    other, order = another_tab(page), another_tab(page)
    order.locator(".to-order").click()
    for tab in (other, order):
        expect(tab.locator(".outcome[data-status=held]")).to_be_visible()
        expect(tab.locator(".hold .left")).to_be_visible()
    page.on("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Give it back").click()
    for tab in (page, other, order):
        expect(tab.locator(".outcome[data-status=cancelled]")).to_contain_text("You gave")
        expect(tab.locator(".hold")).to_have_count(0)
    sees_stock(page, "1 left")


def test_a_click_that_is_not_meant_keeps_the_hold(
    shop: str, open_page: OpenPage, make_sale: MakeSale
) -> None:
    sale = make_sale(stock=1, hold=10)
    page = open_page(address(shop, sale))
    held(page)
    page.on("dialog", lambda dialog: dialog.dismiss())
    page.get_by_role("button", name="Give it back").click()
    expect(page.locator(".outcome[data-status=held]")).to_be_visible()
    assert sale.orders.get().status == "held"


def test_the_end_of_a_hold_is_seen_by_both_tabs(
    shop: str, open_page: OpenPage, make_sale: MakeSale
) -> None:
    sale = make_sale(stock=1, hold=10)
    page = open_page(address(shop, sale))
    held(page)
    other = another_tab(page)
    expect(other.locator(".outcome[data-status=held]")).to_be_visible()
    end_holds(sale)
    for tab in (page, other):
        expect(tab.locator(".outcome[data-status=expired]")).to_contain_text("The time is over.")
        sees_stock(tab, "1 left")


def test_a_page_that_hears_nothing_asks_what_became_of_it(
    shop: str, open_page: OpenPage, make_sale: MakeSale
) -> None:
    sale = make_sale(stock=1, hold=10)
    page = open_page(address(shop, sale))
    held(page)
    page.locator(".to-order").click()
    page.route_web_socket("**", lambda socket: socket.close())
    # The server still grants some seconds; while a payment is captured it grants as many as this takes.
    sale.orders.update(capturing=True)
    end_holds(sale, 1)
    page.reload()
    expect(page.locator(".hold .over")).to_be_visible()
    sale.orders.update(capturing=False)
    expect(page.locator(".outcome[data-status=expired]")).to_be_visible()


def test_a_confirmed_hold_is_seen_at_once(
    shop: str, open_page: OpenPage, make_sale: MakeSale
) -> None:
    sale = make_sale(stock=1, hold=10)
    page = open_page(address(shop, sale))
    held(page)
    confirmation.confirm_hold(sale.orders.get().pk)
    expect(page.locator(".outcome[data-status=confirmed]")).to_contain_text("is yours")


def test_without_scripts_it_says_until_when_and_is_given_back(
    shop: str, open_page: OpenPage, make_sale: MakeSale
) -> None:
    sale: Sale = make_sale(stock=1, hold=10)
    page = open_page(address(shop, sale), java_script_enabled=False)
    buy_button(page).click()
    expect(page.locator(".outcome[data-status=held]")).to_contain_text("Held until")
    expect(page.locator(".hold .left")).to_be_hidden()
    page.get_by_role("button", name="Give it back").click()
    expect(page.locator(".outcome[data-status=cancelled]")).to_be_visible()


def test_in_german(shop: str, open_page: OpenPage, make_sale: MakeSale) -> None:
    page = open_page(address(shop, make_sale(hold=10)), locale="de-DE")
    page.locator("form.buy button").click()
    expect(answer(page, "held")).to_contain_text("ist für dich reserviert")
    expect(answer(page, "held")).to_contain_text("Reserviert bis")
    expect(page.get_by_role("button", name="Zurückgeben")).to_be_visible()


def test_an_order_on_a_phone_has_no_link_to_itself(
    shop: str, open_page: OpenPage, make_sale: MakeSale
) -> None:
    """Rules for touch screens enlarge links: they must not bring back one that is hidden."""
    phone = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True}
    page = open_page(address(shop, make_sale(hold=10)), **phone)
    held(page)
    page.locator(".to-order").click()
    expect(page.locator(".outcome .give-back")).to_be_visible()
    for link in (".to-order", ".another"):
        expect(page.locator(link)).to_be_hidden()
