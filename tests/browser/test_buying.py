"""From the list to an order, as a shopper does it."""

import pytest
from playwright.sync_api import APIResponse, Page, Route, expect

from conftest import MakeSale
from orders import sale_lifecycle
from orders.finishing import finish_sale
from tests import stack
from tests.browser.conftest import Complaints, OpenPage
from tests.browser.seen import (
    address,
    answer,
    buy_button,
    hears_nothing,
    is_live,
    own,
    questions,
    sees_secured,
    sees_stock,
    stop_clock,
)

pytestmark = pytest.mark.browser


def test_a_click_ends_secured_and_every_page_sees_the_stock_fall(
    shop: str, open_page: OpenPage, make_sale: MakeSale
) -> None:
    sale = make_sale(stock=10)
    watching, buying = open_page(address(shop, sale)), open_page(shop)
    asked = questions(watching)
    buying.get_by_role("link", name=sale.name, exact=True).click()
    buy_button(buying).click()
    sees_secured(buying)
    sees_stock(buying, "9 left")
    sees_stock(watching, "9 left")
    assert buying.url == address(shop, sale)  # no other page was loaded
    assert asked == []  # the socket has brought it
    expect(buy_button(buying)).to_be_disabled()  # its ticket has bought all that it can
    expect(buy_button(watching)).to_be_enabled()


def test_a_double_click_makes_one_order(
    shop: str, open_page: OpenPage, make_sale: MakeSale
) -> None:
    sale = make_sale(limit=5)
    page = open_page(address(shop, sale))
    buy_button(page).dblclick()
    sees_secured(page)
    sees_stock(page, "9 left")
    assert sale.orders.count() == 1


def test_a_final_answer_is_not_replaced_by_a_late_place_in_line(
    shop: str, open_page: OpenPage, make_sale: MakeSale
) -> None:
    page = open_page(address(shop, make_sale()))
    held: list[tuple[Route, APIResponse]] = []
    page.route("**/buy", lambda route: held.append((route, route.fetch())))
    buy_button(page).click()
    sees_secured(page)
    [(route, in_line)] = held
    assert in_line.status == 202
    with page.expect_request_finished():
        route.fulfill(response=in_line)
    expect(page.locator("form.htmx-request")).to_have_count(0)
    sees_secured(page)


def test_a_click_whose_outcome_comes_by_the_socket_is_not_sent_again(
    shop: str, open_page: OpenPage, make_sale: MakeSale, complaints: Complaints
) -> None:
    complaints.expect("ERR_FAILED", "^htmx:")
    page = open_page(address(shop, make_sale()), clock=True)
    is_live(page)
    stop_clock(page)  # else it is sent again before the outcome comes, on a busy machine
    replies: list[APIResponse] = []

    def lose_the_reply(route: Route) -> None:
        replies.append(route.fetch())
        route.abort()

    page.route("**/buy", lose_the_reply)
    buy_button(page).click()
    sees_secured(page)
    expect(page.get_by_text("No answer yet")).to_have_count(0)
    page.clock.run_for(60_000)
    assert page.evaluate("tries.size") == 0
    assert len(replies) == 1


def test_a_click_whose_reply_is_lost_is_sent_again_and_buys_once(
    shop: str, open_page: OpenPage, make_sale: MakeSale, complaints: Complaints
) -> None:
    complaints.expect("ERR_FAILED", "^htmx:")
    sale = make_sale(limit=5)
    page = open_page(address(shop, sale), clock=True)
    hears_nothing(page)
    stop_clock(page)

    def lose_the_reply(route: Route) -> None:
        route.fetch()
        route.abort()

    page.route("**/buy", lose_the_reply, times=1)
    buy_button(page).click()
    expect(page.get_by_text("No answer yet")).to_be_visible()
    page.clock.resume()
    sees_secured(page)
    expect(page.get_by_text("No answer yet")).to_be_hidden()
    assert sale.orders.count() == 1


def test_a_page_of_the_proxy_before_us_is_no_answer(
    shop: str, open_page: OpenPage, make_sale: MakeSale, complaints: Complaints
) -> None:
    complaints.expect("status of 502")
    page = open_page(address(shop, make_sale()), clock=True)
    stop_clock(page)
    gone = "<html><body><h1>502 Bad Gateway</h1></body></html>"
    page.route("**/buy", lambda route: route.fulfill(status=502, body=gone), times=1)
    buy_button(page).click()
    expect(page.get_by_text("No answer yet")).to_be_visible()
    page.clock.resume()
    sees_secured(page)


def test_a_keyboard_keeps_its_place(shop: str, open_page: OpenPage, make_sale: MakeSale) -> None:
    page = open_page(address(shop, make_sale()))
    buy_button(page).focus()
    page.keyboard.press("Enter")
    sees_secured(page)
    page.keyboard.press("Tab")
    expect(answer(page, "confirmed").get_by_role("link", name="Your order")).to_be_focused()


def test_two_tabs_agree_on_what_was_bought(
    shop: str, open_page: OpenPage, make_sale: MakeSale
) -> None:
    sale = make_sale(limit=2)
    first = open_page(address(shop, sale))
    second = first.context.new_page()
    second.goto(address(shop, sale))
    buy_button(first).click()
    sees_secured(first)
    sees_stock(second, "9 left")
    expect(own(second, "confirmed")).to_contain_text("Secured!")
    buy_button(second).click()  # its own ticket is as good as before
    sees_secured(second)
    expect(own(first, "confirmed")).to_contain_text("Secured!")
    for page in (first, second):
        expect(page.get_by_role("link", name="Buy another")).to_have_count(0)
    assert sale.orders.count() == 2


def test_a_tab_whose_shopper_has_bought_all_in_another_says_so(
    shop: str, open_page: OpenPage, make_sale: MakeSale
) -> None:
    sale = make_sale(limit=1)
    first = open_page(address(shop, sale))
    second = first.context.new_page()
    second.goto(address(shop, sale))
    buy_button(first).click()
    expect(second.get_by_role("button", name="Limit reached")).to_be_disabled()


def test_the_page_knows_what_its_shopper_has_bought(
    shop: str, open_page: OpenPage, make_sale: MakeSale
) -> None:
    """After a reload, in a new tab, by the back button, and when the sale is finished."""
    sale = make_sale(limit=1)
    page = open_page(address(shop, sale))
    buy_button(page).click()
    sees_secured(page)
    page.reload()
    shows_its_purchase(page)
    page = page.context.new_page()
    page.goto(address(shop, sale))
    shows_its_purchase(page)
    page.get_by_role("link", name="Your order", exact=True).click()
    page.get_by_role("heading", name="Your order").wait_for()
    page.go_back()
    shows_its_purchase(page)
    sale_lifecycle.end(sale.pk, by="staff")
    stack.wait_for(lambda: finish_sale(sale.pk), "the sale is finished")
    expect(page.locator("#state .badge")).to_have_text("Ended")
    page.reload()
    shows_its_purchase(page)


def shows_its_purchase(page: Page) -> None:
    expect(page.locator(".outcome[data-status='confirmed']")).to_contain_text("Secured!")
    expect(page.locator("form.buy button")).to_be_disabled()


def test_an_option_is_chosen_and_bought(
    shop: str, open_page: OpenPage, make_sale: MakeSale
) -> None:
    sale = make_sale(stock={"shoe-42": 5, "shoe-43": 1, "shoe-44": 0}, limit=2)
    page = open_page(address(shop, sale))
    expect(page.get_by_role("radio")).to_have_count(3)
    page.get_by_role("radio", name="shoe-44").check()
    expect(page.get_by_role("button", name="Sold out")).to_be_disabled()
    page.get_by_role("radio", name="shoe-43").check()
    buy_button(page).click()
    sees_secured(page)
    expect(page.locator("[id^='stock-shoe-43']")).to_have_text("Sold out")
    assert sale.orders.get().variant == sale.variants.get(sku__startswith="shoe-43")


def test_without_a_choice_nothing_is_sent(
    shop: str, open_page: OpenPage, make_sale: MakeSale
) -> None:
    page = open_page(address(shop, make_sale(stock={"shoe-42": 5, "shoe-43": 1})))
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.method))
    buy_button(page).click()
    assert page.evaluate("document.querySelector('form.buy').matches(':invalid')")
    assert "POST" not in sent
