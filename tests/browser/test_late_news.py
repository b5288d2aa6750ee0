"""What comes late, twice, or in the wrong order changes nothing that the page knows better."""

import pytest
from playwright.sync_api import APIResponse, Page, Route, WebSocketRoute, expect

from conftest import MakeSale
from inventory.models import Sale, Variant
from inventory.products import Product
from orders import cancellation, sale_lifecycle
from tests import stack
from tests.browser.conftest import SLOW_PATIENCE, Complaints, OpenPage
from tests.browser.seen import (
    address,
    answer,
    buy_button,
    hears_nothing,
    own,
    sees_phase,
    sees_secured,
    stop_clock,
)
from tests.cast import Shopper, forms, promise_too_much, queue_up

pytestmark = pytest.mark.browser

ASKS = "dispatchEvent(new Event('online'))"


def test_what_is_sent_again_is_what_was_clicked(
    shop: str, open_page: OpenPage, make_sale: MakeSale, complaints: Complaints
) -> None:
    complaints.expect("ERR_FAILED", "^htmx:")
    sale = make_sale(stock={"shoe-42": 5, "shoe-43": 5}, limit=5)
    page = open_page(address(shop, sale))
    page.route("**/buy", lambda route: route.abort())
    page.get_by_role("radio", name="shoe-42").check()
    buy_button(page).click()
    expect(page.get_by_text("No answer yet")).to_be_visible()
    for held in (".options", ".quantity"):
        assert page.locator(held).evaluate("field => field.inert")
    page.unroute("**/buy")
    sees_secured(page)
    assert sale.orders.get().variant == sale.variants.get(sku__startswith="shoe-42")


def test_a_limit_that_is_lowered_under_what_was_typed_lets_the_rest_be_bought(
    shop: str, open_page: OpenPage, make_sale: MakeSale
) -> None:
    sale = make_sale(limit=5)
    page = open_page(address(shop, sale))
    page.get_by_role("spinbutton", name="Quantity").fill("4")
    sale_lifecycle.change_limit(sale.pk, 1, by="staff")
    expect(page.get_by_role("spinbutton", name="Quantity")).to_have_count(0)
    buy_button(page).click()
    sees_secured(page)
    assert sale.orders.get().quantity == 1


def test_a_pause_does_not_lose_the_keyboards_place(
    shop: str, open_page: OpenPage, make_sale: MakeSale
) -> None:
    sale = make_sale()
    page = open_page(address(shop, sale))
    buy_button(page).focus()
    sale_lifecycle.pause(sale.pk, by="staff")
    sees_phase(page, "Paused")
    page.keyboard.press("Enter")  # is off
    sale_lifecycle.resume(sale.pk, by="staff")
    sees_phase(page, "Open")
    page.keyboard.press("Enter")
    sees_secured(page)
    assert sale.orders.count() == 1


def shopper_of(page: Page, shop: str) -> Shopper:
    """Who is on the page, without it: another browser window."""
    shopper = Shopper(shop)
    for cookie in page.context.cookies():
        shopper.client.cookies.set(cookie["name"], cookie["value"])
    return shopper


def held_reply(page: Page, url: str) -> list[tuple[Route, APIResponse]]:
    """Holds what the page's next question is answered, until a test lets it go."""
    held: list[tuple[Route, APIResponse]] = []
    page.route(url, lambda route: held.append((route, route.fetch())), times=1)
    page.evaluate(ASKS)
    stack.wait_for(lambda: page.evaluate("true") and held, "the question is asked")
    return held


def test_a_late_reply_does_not_undo_a_newer_frame(
    shop: str, open_page: OpenPage, make_sale: MakeSale
) -> None:
    sale = make_sale()
    page = open_page(address(shop, sale))
    [(route, says_open)] = held_reply(page, address(shop, sale))
    sale_lifecycle.pause(sale.pk, by="staff")
    sees_phase(page, "Paused")
    page.evaluate(
        "document.addEventListener('htmx:afterOnLoad', () => (document.body.id = 'read'))"
    )
    route.fulfill(response=says_open)
    expect(page.locator("body#read")).to_be_attached()
    sees_phase(page, "Paused")


def test_a_cancelled_order_stays_cancelled(
    shop: str, open_page: OpenPage, make_sale: MakeSale
) -> None:
    sale = make_sale()
    page = open_page(address(shop, sale))
    buy_button(page).click()
    sees_secured(page)
    [(route, says_secured)] = held_reply(page, address(shop, sale))
    cancellation.cancel_order(sale.orders.get().pk, by="staff")
    expect(answer(page, "cancelled")).to_be_visible()
    page.evaluate(
        "document.addEventListener('htmx:afterOnLoad', () => (document.body.id = 'read'))"
    )
    route.fulfill(response=says_secured)
    expect(page.locator("body#read")).to_be_attached()
    expect(answer(page, "cancelled")).to_be_visible()


def test_what_happened_while_the_socket_was_gone_is_asked_for(
    shop: str, open_page: OpenPage, make_sale: MakeSale
) -> None:
    sale = make_sale()
    page = open_page(address(shop, sale))
    sockets: list[WebSocketRoute] = []

    def connect(socket: WebSocketRoute) -> None:
        sockets.append(socket)
        socket.connect_to_server()

    page.route_web_socket("**/ws/**", connect)
    page.reload()
    stack.wait_for(lambda: page.evaluate("asking === undefined"), "its socket is open")
    shopper = shopper_of(page, shop)
    sockets[0].close(code=1012)
    shopper.buy(sale)
    expect(own(page, "confirmed")).to_contain_text("Secured!", timeout=SLOW_PATIENCE)


def forms_of(sale: Sale, shop: str) -> int:
    return len(forms(Shopper(shop).client.get(address(shop, sale)).text))


def test_a_form_whose_options_were_parted_still_gets_a_fresh_ticket(
    shop: str, open_page: OpenPage, make_sale: MakeSale, complaints: Complaints
) -> None:
    complaints.expect("status of 403")
    sale = make_sale(stock={"shoe-42": 5, "shoe-43": 5})
    page = open_page(address(shop, sale))
    hears_nothing(page)
    boots = Product.objects.create(name="Boot")
    Variant.objects.filter(pk=sale.variants.get(sku__startswith="shoe-42").pk).update(product=boots)
    stack.wait_for(lambda: forms_of(sale, shop) == 2, "the page of others has two forms")
    page.context.clear_cookies()
    page.get_by_role("radio", name="shoe-43").check()
    buy_button(page).click()
    expect(page.get_by_text("The shop needs a cookie")).to_be_visible()
    buy_button(page).click()
    sees_secured(page)


def test_nobody_waits_for_days_because_a_proxy_says_so(
    shop: str, open_page: OpenPage, make_sale: MakeSale, complaints: Complaints
) -> None:
    complaints.expect("status of 503")
    page = open_page(address(shop, make_sale()), clock=True)
    stop_clock(page)
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.method))
    days = {"Retry-After": "3000000"}
    page.route("**/buy", lambda route: route.fulfill(status=503, headers=days, body=""), times=1)
    buy_button(page).click()
    expect(page.get_by_text("Very busy right now")).to_be_visible()
    page.clock.run_for(50_000)
    assert sent.count("POST") == 1
    page.clock.run_for(15_000)
    page.clock.resume()
    sees_secured(page)
    assert sent.count("POST") == 2


def test_an_earlier_rejection_leaves_the_form_alone(
    shop: str, open_page: OpenPage, make_sale: MakeSale
) -> None:
    sale = make_sale(stock=1, limit=5)
    page = open_page(address(shop, sale))
    hears_nothing(page)
    ticket = page.locator("[name=ticket]").input_value()
    queue_up(sale, 1)
    promise_too_much(sale, 2)
    rejected = shopper_of(page, shop).buy(sale).json()["purchase"]
    stack.wait_for(lambda: sale.orders.filter(status="rejected").exists(), "it is rejected")
    with page.expect_response(lambda response: "x-own" in response.headers):
        page.evaluate(ASKS)
    expect(page.locator(f"[id='purchase-{rejected}'][data-status=rejected]")).to_be_visible()
    with page.expect_response(lambda response: "x-own" in response.headers):
        page.evaluate(ASKS)
    page.wait_for_load_state("networkidle")
    assert page.locator("[name=ticket]").input_value() == ticket


@pytest.mark.deep
def test_a_page_that_could_not_learn_what_was_bought_asks_until_it_can(
    shop: str, open_page: OpenPage, make_sale: MakeSale
) -> None:
    sale = make_sale(limit=2)
    page = open_page(address(shop, sale))
    shopper_of(page, shop).buy(sale)
    expect(own(page, "confirmed")).to_contain_text("Secured!")  # else the socket brings it later
    unknown: list[str] = []
    known: list[str] = []
    redis_answers = False

    def not_known_at_first(route: Route) -> None:
        if route.request.is_navigation_request():
            route.continue_()
            return
        reply = route.fetch()
        if redis_answers:
            known.append(route.request.url)
            route.fulfill(response=reply)
        else:
            unknown.append(route.request.url)
            route.fulfill(response=reply, body="", headers={**reply.headers, "x-own": "no"})

    page.add_init_script(LOADED_WITHOUT_KNOWING)
    page.route(address(shop, sale), not_known_at_first)
    page.reload()
    stack.wait_for(lambda: page.evaluate("true") and unknown, "the page has asked")
    expect(page.locator(".outcome[data-status=confirmed]")).to_have_count(0)
    redis_answers = True
    expect(own(page, "confirmed")).to_contain_text("Secured!", timeout=SLOW_PATIENCE)
    assert len(known) == 1


# As the server would have made the page, before its scripts run.
LOADED_WITHOUT_KNOWING = """
document.addEventListener("readystatechange", () => {
  if (document.readyState !== "interactive") return;
  document.querySelector("[data-own]").dataset.own = "no";
  for (const list of document.querySelectorAll(".own")) list.replaceChildren();
});
"""


def test_a_page_says_when_it_has_given_up_and_can_still_be_asked(
    shop: str, open_page: OpenPage, make_sale: MakeSale, complaints: Complaints
) -> None:
    complaints.expect("ERR_FAILED", "^htmx:")
    sale = make_sale()
    page = open_page(address(shop, sale), clock=True)
    page.route("**/buy", lambda route: route.abort())
    buy_button(page).click()

    def given_up() -> bool:
        page.clock.run_for(20_000)  # longer than its longest pause
        return page.get_by_text("Still no answer").is_visible()

    stack.wait_for(given_up, "the page has tried thirty times", 60)
    page.unroute("**/buy")
    buy_button(page).click()
    sees_secured(page)
    assert sale.orders.count() == 1
