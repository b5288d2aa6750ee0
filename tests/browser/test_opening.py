"""Pages that wait for the opening: right by the shop's clock, and silent at that moment."""

import re
import time

import pytest
from django.utils import timezone
from playwright.sync_api import Browser, Page, Request, expect

from conftest import MakeSale
from orders import sale_lifecycle
from tests import stack
from tests.browser.conftest import Complaints, OpenPage, watched
from tests.browser.seen import (
    address,
    buy_button,
    hears_nothing,
    opens_soon,
    sees_phase,
    sees_secured,
)

pytestmark = pytest.mark.browser


def counts_down(page: Page) -> None:
    timer = page.get_by_role("timer")
    expect(timer).to_have_text(re.compile(r"Opens in\s00:0\d:\d\d"), use_inner_text=True)


def everything_sent(page: Page) -> list[str]:
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.url))
    return sent


@pytest.mark.deep
def test_a_page_whose_socket_is_silent_opens_by_itself_and_asks_nobody(
    shop: str, open_page: OpenPage, make_sale: MakeSale
) -> None:
    sale = make_sale(opens_in=500)
    page = open_page(address(shop, sale), clock=True)
    hears_nothing(page)
    counts_down(page)
    page.wait_for_load_state("networkidle")
    sent = everything_sent(page)
    expect(buy_button(page)).to_be_disabled()
    sale_lifecycle.go_live(sale.pk, by="staff")
    page.clock.fast_forward(501_000)
    sees_phase(page, "Open")
    expect(buy_button(page)).to_be_enabled()
    assert sent == []
    buy_button(page).click()
    sees_secured(page)


def test_it_closes_by_itself_too(shop: str, open_page: OpenPage, make_sale: MakeSale) -> None:
    sale = make_sale(opens_in=200, closes_in=400)
    page = open_page(address(shop, sale), clock=True)
    hears_nothing(page)
    sees_phase(page, "Opens soon")
    page.clock.fast_forward(201_000)
    sees_phase(page, "Open")
    expect(page.get_by_role("link", name="Put it in your calendar")).to_have_count(0)
    page.clock.fast_forward(201_000)
    sees_phase(page, "Ended")
    expect(page.get_by_role("button", name="Sale over")).to_be_disabled()


@pytest.mark.parametrize("wrong_by", [-3_600_000, 3_600_000])
@pytest.mark.deep
def test_the_shops_clock_counts_and_not_the_browsers(
    shop: str, open_page: OpenPage, make_sale: MakeSale, wrong_by: int
) -> None:
    sale = make_sale(opens_in=500)
    wrong = f"const right = Date.now; Date.now = () => right() + {wrong_by};"
    page = open_page(address(shop, sale), script=wrong)
    hears_nothing(page)
    counts_down(page)
    before = page.locator("#state").get_attribute("data-until")
    opens_soon(sale, seconds=5)

    def knows_the_new_time() -> bool:
        page.reload()  # the web process learns it a moment later
        return page.locator("#state").get_attribute("data-until") != before

    stack.wait_for(knows_the_new_time, "the page is told the new time")
    sees_phase(page, "Open")
    buy_button(page).click()
    sees_secured(page)  # nobody was told that it has not opened


def test_a_machine_that_slept_asks_once_for_the_time(
    shop: str, open_page: OpenPage, make_sale: MakeSale
) -> None:
    page = open_page(address(shop, make_sale(opens_in=500)))
    hears_nothing(page)
    counts_down(page)
    with page.expect_response(lambda response: "x-now" in response.headers):
        page.evaluate("(() => { const right = Date.now; Date.now = () => right() + 7200000; })()")
    counts_down(page)
    assert page.evaluate("Math.abs(shopClock.now() - (Date.now() - 7200000))") < 5000


def test_a_sale_that_is_paused_at_its_opening_says_so_and_comes_back(
    shop: str, open_page: OpenPage, make_sale: MakeSale
) -> None:
    sale = make_sale(opens_in=500)
    page = open_page(address(shop, sale), clock=True)
    sees_phase(page, "Opens soon")
    sale_lifecycle.pause(sale.pk, by="staff")  # while the page waits
    expect(page.locator("#state template[data-phase=paused]")).to_be_attached()
    page.clock.fast_forward(501_000)
    sees_phase(page, "Paused")
    expect(page.locator("#state")).to_contain_text("opens again by itself")
    sale_lifecycle.resume(sale.pk, by="staff")
    sale_lifecycle.go_live(sale.pk, by="staff")
    sees_phase(page, "Open")
    buy_button(page).click()
    sees_secured(page)


@pytest.mark.timeout(400)
@pytest.mark.parametrize("waiting", [4, pytest.param(200, marks=pytest.mark.deep)])
def test_pages_that_wait_send_nothing_when_it_opens(
    shop: str, chromium: Browser, complaints: Complaints, make_sale: MakeSale, waiting: int
) -> None:
    sale = make_sale(stock=1000, opens_in=600)
    context = watched(
        chromium.new_context(
            locale="en-GB", viewport={"width": 320, "height": 240}, reduced_motion="reduce"
        )
    )
    complaints.listen_to(context)
    pages = [context.new_page() for _ in range(waiting)]
    for page in pages:
        page.goto(address(shop, sale), wait_until="domcontentloaded")
    sent: list[str] = []

    def note(request: Request) -> None:
        sent.append(request.url)

    began = time.monotonic()
    for page in pages:
        sees_phase(page, "Opens soon")
    opens_soon(sale, seconds=5 + 3 * (time.monotonic() - began))
    moment = str(round(sale.opens_at.timestamp() * 1000))
    for page in pages:
        expect(page.locator("#state")).to_have_attribute("data-until", moment)
    assert timezone.now() < sale.opens_at, "the machine is too slow for so many pages"
    context.on("request", note)
    # That may be later than a page is waited for.
    pages[0].wait_for_timeout(max(0.0, (sale.opens_at - timezone.now()).total_seconds() * 1000))
    for page in pages:
        sees_phase(page, "Open")
        expect(buy_button(page)).to_be_enabled()
    print(f"{waiting} waiting pages sent {len(sent)} requests at the opening")
    assert sent == []
    context.close()
    assert complaints.unexpected == []


def test_the_waiting_page_has_a_calendar_entry(
    shop: str, open_page: OpenPage, make_sale: MakeSale
) -> None:
    page = open_page(address(shop, make_sale(opens_in=600)))
    with page.expect_download() as download:
        page.get_by_role("link", name="Put it in your calendar").click()
    assert download.value.path().read_text().startswith("BEGIN:VCALENDAR")
