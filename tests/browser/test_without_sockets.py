"""Where a proxy lets no sockets through, pages ask; where it does again, they are live again."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import WebSocketRoute, expect

from conftest import MakeSale
from orders import stock_changes
from tests.browser.conftest import SLOW_PATIENCE, Complaints, OpenPage
from tests.browser.proxy import Proxy
from tests.browser.seen import address, buy_button, is_live, sees_secured, sees_stock

pytestmark = pytest.mark.browser

HINT = "The live connection is lost"


@pytest.fixture
def proxy(shop: str, complaints: Complaints) -> Iterator[Proxy]:
    complaints.expect("WebSocket connection to .* failed", "htmx:wsError", "object Event")
    with Proxy(shop).running() as proxy:
        yield proxy


@pytest.mark.deep
def test_a_page_without_a_socket_ends_secured_and_keeps_its_stock_up_to_date(
    proxy: Proxy, open_page: OpenPage, make_sale: MakeSale
) -> None:
    proxy.refuse_sockets()
    sale = make_sale()
    page = open_page(address(proxy.url, sale))
    expect(page.get_by_text(HINT)).to_be_visible()
    buy_button(page).click()
    sees_secured(page)
    stock_changes.restock(sale.variants.get().pk, 90, by="tests")
    sees_stock(page, "99 left", SLOW_PATIENCE)


def test_a_page_is_brought_up_to_date_when_its_socket_is_back(
    proxy: Proxy, open_page: OpenPage, make_sale: MakeSale, complaints: Complaints
) -> None:
    complaints.expect("ERR_FAILED")
    sale = make_sale()
    page = open_page(address(proxy.url, sale))
    is_live(page)
    expect(page.get_by_text(HINT)).to_be_hidden()
    proxy.refuse_sockets()
    expect(page.get_by_text(HINT)).to_be_visible()
    proxy.pass_sockets()
    expect(page.get_by_text(HINT)).to_be_hidden(timeout=SLOW_PATIENCE)
    # Only the socket can bring it: the page asks once more after it was gone.
    page.route(address(proxy.url, sale), lambda route: route.abort())
    stock_changes.restock(sale.variants.get().pk, 90, by="tests")
    sees_stock(page, "100 left")


@pytest.mark.deep
def test_a_socket_that_a_proxy_says_goodbye_to_is_opened_again(
    shop: str, open_page: OpenPage, make_sale: MakeSale
) -> None:
    page = open_page(address(shop, make_sale()))
    seen: list[WebSocketRoute] = []

    def end_the_first(socket: WebSocketRoute) -> None:
        seen.append(socket)
        socket.connect_to_server()
        if len(seen) == 1:
            socket.close(code=1001)  # going away, as a proxy says that is set up anew

    page.route_web_socket("**/ws/**", end_the_first)
    page.reload()
    expect(page.get_by_text(HINT)).to_be_visible()
    expect(page.get_by_text(HINT)).to_be_hidden(timeout=SLOW_PATIENCE)


def test_going_from_page_to_page_speaks_of_no_lost_connection(
    shop: str, open_page: OpenPage, make_sale: MakeSale
) -> None:
    sale = make_sale()
    page = open_page(address(shop, sale))
    page.add_init_script(_PATIENT + _REMEMBER_HINTS)
    for _ in range(3):
        page.goto(address(shop, sale))
        page.goto(shop)
    assert page.evaluate("sessionStorage.hints") is None


# A busy machine opens no socket within the pause after which a page speaks of it.
_PATIENT = """
const later = setTimeout;
window.setTimeout = (work, pause, ...given) => later(work, pause === 2000 ? 60_000 : pause, ...given);
"""
_REMEMBER_HINTS = """
document.addEventListener("DOMContentLoaded", () => {
  const hint = document.querySelector(".connection");
  if (!hint) return;
  const look = () => { if (!hint.hidden) sessionStorage.hints = "shown"; };
  look();
  new MutationObserver(look).observe(hint, { attributes: true });
});
"""
