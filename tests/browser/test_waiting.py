"""Purchases that wait in the line: the page says so, and finds out what became of them."""

from collections import Counter

import pytest
from playwright.sync_api import Page, expect

from conftest import MakeSale
from inventory.gate import replica
from inventory.models import Sale
from orders import stock_changes
from orders.settlement import settle
from tests import stack
from tests.browser.conftest import Complaints, OpenPage
from tests.browser.seen import address, answer, buy_button, hears_nothing, own, sees_secured
from tests.cast import Shopper, promise_too_much, queue_up, run_caretaker

pytestmark = pytest.mark.browser


def is_in_line(page: Page) -> None:
    expect(answer(page, "queued")).to_contain_text("You are in line.")


def test_buying_needs_no_javascript(
    web: stack.Web, open_page: OpenPage, make_sale: MakeSale
) -> None:
    sale = make_sale()
    page = open_page(web.url, java_script_enabled=False)
    page.get_by_role("link", name=sale.name, exact=True).click()
    buy_button(page).click()
    is_in_line(page)
    order = page.url
    assert order.startswith(f"{web.url}/orders/")
    settle(sale.pk)
    sees_secured(page)  # the page has loaded itself again
    page.get_by_role("link", name="All your orders").click()
    expect(page.get_by_role("row", name="Shoe")).to_contain_text("Confirmed")
    assert f"{web.url}/orders/{sale.orders.get().pk}/" == order


def test_who_stands_in_line_is_shown_so_after_a_reload(
    web: stack.Web, open_page: OpenPage, make_sale: MakeSale
) -> None:
    sale = make_sale()
    page = open_page(address(web.url, sale))
    buy_button(page).click()
    is_in_line(page)
    page.reload()
    expect(own(page, "queued")).to_contain_text("You are in line.")
    settle(sale.pk)
    expect(own(page, "confirmed")).to_contain_text("Secured!")


def test_an_order_page_turns_final_by_itself(
    web: stack.Web, open_page: OpenPage, make_sale: MakeSale
) -> None:
    sale = make_sale()
    page = open_page(address(web.url, sale))
    buy_button(page).click()
    answer(page, "queued").get_by_role("link", name="Your order").click()
    is_in_line(page)
    settle(sale.pk)
    sees_secured(page)


def test_a_place_in_line_that_is_lost_with_redis_disk_is_taken_again(
    web: stack.Web, open_page: OpenPage, make_sale: MakeSale, complaints: Complaints
) -> None:
    complaints.expect("status of 503", "status of 404")  # while nobody knows of it
    sale = make_sale()
    page = open_page(address(web.url, sale))
    buy_button(page).click()
    is_in_line(page)
    with page.expect_response(lambda response: "x-own" in response.headers):
        page.evaluate("dispatchEvent(new Event('online'))")  # asks: the box must keep its ticket
    replica.remove([sale.pk])
    with stack.worker():
        sees_secured(page)
    assert sale.orders.count() == 1


def test_a_place_that_is_lost_and_cannot_be_taken_again_is_told_so(
    web: stack.Web, open_page: OpenPage, make_sale: MakeSale, complaints: Complaints
) -> None:
    complaints.expect("status of 503", "status of 404", "status of 409")
    sale = make_sale(stock=1)
    page = open_page(address(web.url, sale))
    buy_button(page).click()
    is_in_line(page)
    replica.remove([sale.pk])
    stock_changes.correct(sale.variants.get().pk, -1, by="staff", reason="broken")
    run_caretaker()
    expect(answer(page, "refused")).to_contain_text("Sold out")
    expect(page.get_by_role("button", name="Sold out")).to_be_disabled()
    assert not sale.orders.exists()


def test_an_order_page_says_that_a_place_in_line_was_lost(
    web: stack.Web, open_page: OpenPage, make_sale: MakeSale, complaints: Complaints
) -> None:
    complaints.expect("status of 503", "status of 404")
    sale = make_sale()
    page = open_page(address(web.url, sale))
    buy_button(page).click()
    answer(page, "queued").get_by_role("link", name="Your order").click()
    is_in_line(page)
    replica.remove([sale.pk])
    run_caretaker()
    expect(page.get_by_text("your place may be lost")).to_be_visible()


def left(web: stack.Web, sale: Sale) -> int:
    return int(Shopper(web.url).sale(sale)["products"][0]["stock"])


@pytest.mark.parametrize("live", [True, False])
@pytest.mark.deep
def test_who_was_promised_too_much_gets_a_form_that_buys_after_a_restock(
    web: stack.Web, open_page: OpenPage, make_sale: MakeSale, live: bool
) -> None:
    sale = make_sale(stock=1)
    page = open_page(address(web.url, sale))
    if not live:
        hears_nothing(page)
    queue_up(sale, 1)
    promise_too_much(sale, 2)
    buy_button(page).click()
    is_in_line(page)
    with stack.worker():
        expect(answer(page, "rejected")).to_contain_text("Not this time.")
        stock_changes.restock(sale.variants.get().pk, 1, by="tests")
        if not live:
            stack.wait_for(lambda: left(web, sale) == 1, "the server has heard of it")
            page.evaluate("dispatchEvent(new Event('online'))")  # it asks, once
        buy_button(page).click()
        sees_secured(page)
    assert Counter(sale.orders.values_list("status", flat=True)) == {"confirmed": 2, "rejected": 1}
