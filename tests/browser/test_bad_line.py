"""A shopper on a bad line, before a server that goes away: the page keeps its ticket and ends with the
right answer, untouched."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, Request, Route, expect

from conftest import MakeSale
from tests import stack
from tests.browser.conftest import SLOW_PATIENCE, Complaints, OpenPage
from tests.browser.seen import address, answer, buy_button, is_live, sees_secured, stop_clock

pytestmark = pytest.mark.browser

GONE = ("ERR_", "^htmx:", "WebSocket connection to .* failed", "object Event")
STEP = 50  # milliseconds of the page's clock


def clicks(page: Page) -> list[str]:
    """Fills up with the clicks that were sent."""
    sent: list[str] = []

    def note(request: Request) -> None:
        if request.method == "POST":
            sent.append(request.url)

    page.on("request", note)
    return sent


def first(answers: list[Callable[[Route], None]]) -> Callable[[Route], None]:
    """Answers so often by these, and then as the shop does."""

    def handle(route: Route) -> None:
        (answers.pop(0) if answers else Route.continue_)(route)

    return handle


def busy(route: Route) -> None:
    route.fulfill(status=503, headers={"Retry-After": "4"}, body="busy")


@pytest.mark.deep
@pytest.mark.usefixtures("no_worker")
def test_the_server_is_killed_and_started_again_while_a_shopper_is_in_line(
    open_page: OpenPage, make_sale: MakeSale, complaints: Complaints
) -> None:
    complaints.expect(*GONE)
    sale = make_sale()
    with stack.Web.running() as web:
        page = open_page(address(web.url, sale))
        buy_button(page).click()
        expect(answer(page, "queued")).to_contain_text("You are in line.")
        web.kill()
        expect(page.get_by_text("The live connection is lost")).to_be_visible()
        web.start()
        stack.wait_for(web.ready, "the server is back")
        with stack.worker():
            sees_secured(page, SLOW_PATIENCE)
            expect(page.get_by_text("The live connection is lost")).to_be_hidden(
                timeout=SLOW_PATIENCE
            )
    assert sale.orders.count() == 1


@pytest.mark.usefixtures("no_worker")
def test_a_click_into_a_server_that_is_gone_is_kept_until_it_is_back(
    open_page: OpenPage, make_sale: MakeSale, complaints: Complaints
) -> None:
    complaints.expect(*GONE)
    sale = make_sale(limit=5)
    with stack.Web.running() as web, stack.worker():
        page = open_page(address(web.url, sale))
        web.kill()
        buy_button(page).click()
        expect(page.get_by_role("button", name="Sending…")).to_be_visible()
        web.start()
        sees_secured(page, SLOW_PATIENCE)
    assert sale.orders.count() == 1


def test_a_click_without_a_network_is_sent_when_it_is_back(
    shop: str, open_page: OpenPage, make_sale: MakeSale, complaints: Complaints
) -> None:
    complaints.expect(*GONE)
    sale = make_sale(limit=5)
    page = open_page(address(shop, sale))
    is_live(page)
    page.context.set_offline(True)
    buy_button(page).click()
    expect(page.get_by_text("No answer yet")).to_be_visible()
    expect(page.get_by_text("You are offline")).to_be_visible()
    page.context.set_offline(False)
    sees_secured(page)
    expect(page.get_by_text("You are offline")).to_be_hidden(timeout=SLOW_PATIENCE)
    expect(page.get_by_text("No answer yet")).to_be_hidden()
    assert sale.orders.count() == 1


def test_a_busy_shop_is_asked_again_no_sooner_than_it_says(
    shop: str, open_page: OpenPage, make_sale: MakeSale, complaints: Complaints
) -> None:
    complaints.expect("status of 503")
    sale = make_sale(limit=5)
    page = open_page(address(shop, sale), clock=True)
    sent = clicks(page)
    page.route("**/buy", first([busy]))
    stop_clock(page)
    buy_button(page).click()
    expect(page.get_by_text("Very busy right now")).to_be_visible()
    page.clock.run_for(3900)
    expect(page.get_by_text("Very busy right now")).to_be_visible()
    assert len(sent) == 1
    page.clock.run_for(200)
    sees_secured(page)
    assert len(sent) == 2
    assert sale.orders.count() == 1


def test_a_lost_click_is_sent_again_less_and_less_often(
    shop: str, open_page: OpenPage, make_sale: MakeSale, complaints: Complaints
) -> None:
    complaints.expect(*GONE)
    page = open_page(address(shop, make_sale()), clock=True)
    sent = clicks(page)
    page.route("**/buy", first([Route.abort] * 3))
    stop_clock(page)
    buy_button(page).click()
    for count, (soonest, latest) in enumerate([(750, 1250), (1500, 2500), (3000, 5000)], 1):
        knows_that_it_is_lost(page, count)
        waited = soonest - 2 * STEP
        page.clock.run_for(waited)
        assert len(sent) == count
        while len(sent) == count:  # no longer: the wait for the next click may have begun by then
            assert waited <= latest + STEP
            page.clock.run_for(STEP)
            waited += STEP
    sees_secured(page)
    assert len(sent) == 4


def knows_that_it_is_lost(page: Page, times: int) -> None:
    known = f"[...tries.values()].some(({{ count }}) => count === {times})"
    stack.wait_for(lambda: page.evaluate(known), "the page knows that its click is lost")


def test_a_button_that_is_pressed_again_on_a_slow_line_sends_one_click(
    shop: str, open_page: OpenPage, make_sale: MakeSale
) -> None:
    sale = make_sale(limit=5)
    page = open_page(address(shop, sale))
    sent = clicks(page)
    held: list[Route] = []
    page.route("**/buy", lambda route: held.append(route))
    buy_button(page).click()
    expect(page.get_by_role("button", name="Sending…")).to_be_visible()  # at once
    for _ in range(3):
        buy_button(page).click(force=True)  # it says that it is off
    for route in held:
        route.continue_()
    sees_secured(page)
    assert len(sent) == 1
    assert sale.orders.count() == 1
