"""From the list to an order, as a shopper does it."""

import pytest
from playwright.sync_api import APIResponse, Route, expect

from conftest import MakeSale
from tests.browser.conftest import Complaints, OpenPage
from tests.browser.seen import (
    address,
    answer,
    buy_button,
    hears_nothing,
    questions,
    sees_secured,
    sees_stock,
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


def test_nor_by_the_late_reply_to_a_click_that_was_sent_twice(
    shop: str, open_page: OpenPage, make_sale: MakeSale, complaints: Complaints
) -> None:
    complaints.expect("ERR_FAILED", "^htmx:")
    page = open_page(address(shop, make_sale()))
    replies: list[APIResponse] = []

    def lose_the_first_reply(route: Route) -> None:
        replies.append(route.fetch())
        if len(replies) == 1:
            route.abort()
        else:
            route.fulfill(response=replies[0])

    page.route("**/buy", lose_the_first_reply)
    buy_button(page).click()
    sees_secured(page)  # by its socket
    with page.expect_request_finished(lambda request: request.method == "POST"):
        pass
    expect(page.get_by_text("No answer yet")).to_be_hidden()
    assert answer(page, "confirmed").count() == 1  # now, and not only after asking


def test_a_click_whose_reply_is_lost_is_sent_again_and_buys_once(
    shop: str, open_page: OpenPage, make_sale: MakeSale, complaints: Complaints
) -> None:
    complaints.expect("ERR_FAILED", "^htmx:")
    sale = make_sale(limit=5)
    page = open_page(address(shop, sale))
    hears_nothing(page)

    def lose_the_reply(route: Route) -> None:
        route.fetch()
        route.abort()

    page.route("**/buy", lose_the_reply, times=1)
    buy_button(page).click()
    expect(page.get_by_text("No answer yet")).to_be_visible()
    sees_secured(page)
    expect(page.get_by_text("No answer yet")).to_be_hidden()
    assert sale.orders.count() == 1


def test_a_page_of_the_proxy_before_us_is_no_answer(
    shop: str, open_page: OpenPage, make_sale: MakeSale, complaints: Complaints
) -> None:
    complaints.expect("status of 502")
    page = open_page(address(shop, make_sale()))
    gone = "<html><body><h1>502 Bad Gateway</h1></body></html>"
    page.route("**/buy", lambda route: route.fulfill(status=502, body=gone), times=1)
    buy_button(page).click()
    expect(page.get_by_text("No answer yet")).to_be_visible()
    sees_secured(page)


def test_a_keyboard_keeps_its_place(shop: str, open_page: OpenPage, make_sale: MakeSale) -> None:
    page = open_page(address(shop, make_sale()))
    buy_button(page).focus()
    page.keyboard.press("Enter")
    sees_secured(page)
    page.keyboard.press("Tab")
    expect(answer(page, "confirmed").get_by_role("link", name="Your order")).to_be_focused()


def test_a_second_tab_is_not_troubled_by_the_firsts_purchase(
    shop: str, open_page: OpenPage, make_sale: MakeSale
) -> None:
    sale = make_sale(limit=2)
    first = open_page(address(shop, sale))
    second = first.context.new_page()
    second.goto(address(shop, sale))
    buy_button(first).click()
    sees_secured(first)
    sees_stock(second, "9 left")
    expect(answer(second, "none")).to_have_count(1)
    buy_button(second).click()
    sees_secured(second)
    assert sale.orders.count() == 2
