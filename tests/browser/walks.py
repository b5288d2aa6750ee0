"""Two ways through the shop on one page each, which come by most of what shoppers see."""

from collections.abc import Callable, Iterator

from playwright.sync_api import Page, expect

from inventory.models import Sale
from orders import cancellation, sale_lifecycle
from orders.settlement import settle
from tests.browser.seen import address, answer, buy_button, own
from tests.browser.states import SIZES, Stage, list_of_sales
from tests.cast import promise_too_much, queue_up

Step = tuple[str, Page]


def to_an_order(stage: Stage) -> Iterator[Step]:
    yield "list", (page := list_of_sales(stage))
    sale = stage.make_sale(stock={**SIZES, "bag": 30}, limit=3)
    page.goto(address(stage.url, sale))
    page.get_by_role("radio").first.check()
    yield "options", page
    _buy(page)
    yield "in line", page
    settle(sale.pk)
    expect(answer(page, "confirmed")).to_be_visible()
    yield "secured", page
    page.reload()
    expect(own(page, "confirmed")).to_be_visible()
    yield "secured before", page
    page.locator(".to-order").first.click()
    expect(page.locator("article.order")).to_be_visible()
    yield "order", page
    cancellation.cancel_order(sale.orders.get().pk, by="staff")
    expect(answer(page, "cancelled")).to_be_visible()
    yield "cancelled", page
    page.goto(f"{stage.url}/orders/")
    yield "orders", page
    stage.complaints.expect("status of 404")
    page.goto(f"{stage.url}/sales/nowhere/")
    yield "no such sale", page


def through_a_sale(stage: Stage) -> Iterator[Step]:
    """Of which this shopper gets nothing."""
    sale = stage.make_sale(opens_in=3600, closes_in=7200)
    page = stage.visit(sale)
    expect(page.locator(".countdown")).to_be_visible()
    yield "upcoming", page
    sale_lifecycle.go_live(sale.pk, by="staff")
    _sees_phase(page, "open")
    yield "open", page
    queue_up(sale, 8)
    settle(sale.pk)
    expect(page.locator(".stock[data-left='2']")).to_be_visible()
    yield "nearly gone", page
    sale_lifecycle.pause(sale.pk, by="staff")
    _sees_phase(page, "paused")
    yield "paused", page
    sale_lifecycle.resume(sale.pk, by="staff")
    _sees_phase(page, "open")
    _is_promised_too_much(page, sale)
    yield "rejected", page
    page.goto(f"{stage.url}/sales/{sale.slug}/?message=sold_out")
    yield "message", page
    sale_lifecycle.end(sale.pk, by="staff")
    _sees_phase(page, "ended")
    yield "ended", page
    page.context.set_offline(True)
    expect(page.locator(".connection")).to_be_visible()
    yield "offline", page


def _is_promised_too_much(page: Page, sale: Sale) -> None:
    queue_up(sale, 2)
    promise_too_much(sale, 3)
    _buy(page)
    settle(sale.pk)
    expect(page.locator(".buying > [role=status] > [data-status='rejected']")).to_be_visible()


def _buy(page: Page) -> None:
    buy_button(page).click()
    expect(answer(page, "queued")).to_be_visible()


def _sees_phase(page: Page, phase: str) -> None:
    expect(page.locator(f"#state[data-phase={phase}]")).to_be_visible()


WALKS: dict[str, Callable[[Stage], Iterator[Step]]] = {
    "en-GB": to_an_order,
    "de-DE": through_a_sale,
}
