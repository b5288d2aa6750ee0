"""Browsers that keep no cookies, and newcomers whose browser opens two pages at once."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, Playwright, expect

from bench.chromium import ARGUMENTS
from conftest import MakeSale
from tests.browser.conftest import Complaints, OpenPage, watched
from tests.browser.proxy import Proxy
from tests.browser.seen import address, buy_button

pytestmark = pytest.mark.browser

BLOCKED = {"profile": {"default_content_setting_values": {"cookies": 2}}}  # in the settings
NEEDED = "needs a cookie"


@pytest.fixture
def page_without_cookies(
    driver: Playwright, program: Path, complaints: Complaints, tmp_path: Path
) -> Iterator[Page]:
    """A page of a browser whose settings block all cookies."""
    (tmp_path / "Default").mkdir()
    (tmp_path / "Default" / "Preferences").write_text(json.dumps(BLOCKED))
    context = watched(
        driver.chromium.launch_persistent_context(
            tmp_path, executable_path=program, args=ARGUMENTS, locale="en-GB"
        )
    )
    complaints.expect("status of 403")
    complaints.listen_to(context)
    yield context.pages[0]
    context.close()
    assert complaints.unexpected == []


def test_a_browser_without_cookies_is_told_once_that_they_are_needed(
    page_without_cookies: Page, shop: str, make_sale: MakeSale
) -> None:
    page, sale = page_without_cookies, make_sale()
    scripts = page.context.new_cdp_session(page)
    for off in (False, True):
        scripts.send("Emulation.setScriptExecutionDisabled", {"value": off})
        page.goto(address(shop, sale))
        for _ in range(2):  # not less after the second click, nor twice
            with page.expect_response("**/buy") as answer:
                buy_button(page).click()
            assert ("hx-request" in answer.value.request.headers) != off
            expect(page.get_by_text(NEEDED)).to_have_count(1)
            expect(page.get_by_text(NEEDED)).to_be_visible()
            expect(buy_button(page)).to_contain_text("Buy now")
    assert page.context.cookies() == []
    assert not sale.orders.exists()


class BothAtOnce(Proxy):
    """Passes the requests for two pages on when both have arrived."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self._both = asyncio.Barrier(2)

    async def _pass_on(
        self,
        head: bytes,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        is_socket: bool,
    ) -> None:
        if head.startswith(b"GET /sales/") and b"HX-Request" not in head:
            assert b"Cookie:" not in head
            await self._both.wait()
        await super()._pass_on(head, reader, writer, is_socket)


@pytest.mark.parametrize(
    ("tab", "scripts"),
    [
        pytest.param(0, True, id="first tab, with scripts"),
        pytest.param(1, False, id="second tab, without scripts"),
        pytest.param(0, False, id="first tab, without scripts", marks=pytest.mark.deep),
        pytest.param(1, True, id="second tab, with scripts", marks=pytest.mark.deep),
    ],
)
def test_a_newcomer_with_two_tabs_buys_with_one_click_in_either(
    tab: int, scripts: bool, shop: str, open_page: OpenPage, make_sale: MakeSale
) -> None:
    sale = make_sale(limit=2)
    with BothAtOnce(shop).running() as proxy:
        first = open_page("about:blank", java_script_enabled=scripts)
        tabs = [first, first.context.new_page()]
        # Of one address a browser would ask for the second page after the first has come.
        for number, page in enumerate(tabs):
            page.evaluate(
                "address => { location.href = address }",
                f"{address(proxy.url, sale)}?from={number}",
            )
        for page in tabs:
            expect(buy_button(page)).to_be_visible()
        names = [cookie["name"] for cookie in first.context.cookies()]
        assert len(names) == 3, "the pages were not two first pages"
        buy_button(tabs[tab]).click()
        expect(tabs[tab].locator(".outcome[data-status='confirmed']")).to_contain_text("Secured!")
        assert sale.orders.count() == 1
