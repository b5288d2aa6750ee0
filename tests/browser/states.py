"""The states that shoppers' pages can be in, and how a page comes into each."""

from collections.abc import Callable
from dataclasses import dataclass

from playwright.sync_api import Page, expect

from conftest import MakeSale
from inventory.gate import replica
from inventory.models import Sale
from orders import cancellation, sale_lifecycle
from orders.settlement import settle
from tests import stack
from tests.browser.conftest import Complaints, OpenPage
from tests.browser.seen import address, answer, buy_button
from tests.cast import promise_too_much, queue_up

SIZES = {"shoe-42": 10, "shoe-43": 4, "shoe-44": 0}  # of one name: the options of one thing


@dataclass(frozen=True)
class Stage:
    """A shop in which nothing is settled unless a state asks for it."""

    url: str
    open_page: OpenPage
    make_sale: MakeSale
    complaints: Complaints
    locale: str = "en-GB"

    def at(self, path: str) -> Page:
        return self.open_page(self.url + path, locale=self.locale)

    def visit(self, sale: Sale) -> Page:
        return self.at(f"/sales/{sale.slug}/")


# --- The list and the page of a sale --------------------------------------------------------------


def list_of_sales(stage: Stage) -> Page:
    sale_lifecycle.end(stage.make_sale().pk, by="staff")
    sale_lifecycle.pause(stage.make_sale(opens_in=-120).pk, by="staff")
    stage.make_sale(opens_in=3600, closes_in=7200)
    page = stage.at("/")
    stack.wait_for(lambda: _is_listed(page, "upcoming"), "the list is read again")
    return page


def _is_listed(page: Page, phase: str) -> bool:
    """A process reads the list at most once a second."""
    page.reload()
    return page.locator(f".card[data-phase='{phase}']").count() > 0


def upcoming(stage: Stage) -> Page:
    page = stage.visit(stage.make_sale(opens_in=3600, closes_in=7200))
    expect(page.locator(".countdown")).to_be_visible()
    return page


def one_product(stage: Stage) -> Page:
    return stage.visit(stage.make_sale())


def products_with_options(stage: Stage) -> Page:
    page = stage.visit(stage.make_sale(stock={**SIZES, "bag": 30}, limit=3))
    page.get_by_role("radio").first.check()
    return page


def nearly_gone(stage: Stage) -> Page:
    return stage.visit(stage.make_sale(stock=3))


def sold_out(stage: Stage) -> Page:
    return stage.visit(stage.make_sale(stock=0))


def paused(stage: Stage) -> Page:
    sale = stage.make_sale()
    sale_lifecycle.pause(sale.pk, by="staff")
    return stage.visit(sale)


def ended(stage: Stage) -> Page:
    sale = stage.make_sale()
    sale_lifecycle.end(sale.pk, by="staff")
    return stage.visit(sale)


def with_a_message(stage: Stage) -> Page:
    return stage.at(f"/sales/{stage.make_sale(stock=0).slug}/?message=sold_out")


def offline(stage: Stage) -> Page:
    page = one_product(stage)
    stack.wait_for(lambda: page.evaluate("asking === undefined"), "its socket is open")
    page.context.set_offline(True)
    expect(page.locator(".connection")).to_be_visible()
    return page


# --- After a click --------------------------------------------------------------------------------


def in_line(stage: Stage) -> Page:
    return _bought(stage, stage.make_sale(limit=2))


def secured(stage: Stage) -> Page:
    sale = stage.make_sale(limit=2)
    page = _bought(stage, sale)
    settle(sale.pk)
    expect(answer(page, "confirmed")).to_be_visible()
    return page


def held(stage: Stage) -> Page:
    sale = stage.make_sale(limit=2, hold=10)
    page = _bought(stage, sale)
    settle(sale.pk)
    expect(page.locator(".hold .left")).to_be_visible()
    return page


def secured_elsewhere(stage: Stage) -> Page:
    page = secured(stage)
    page.reload()
    expect(page.locator(".own .outcome")).to_be_visible()
    return page


def refused(stage: Stage) -> Page:
    """Over the limit, on a page that has not heard of the first purchase."""
    sale = stage.make_sale()
    first = stage.visit(sale)
    page = first.context.new_page()
    page.route_web_socket("**/ws/**", lambda socket: None)
    page.goto(address(stage.url, sale))
    _buy(first)
    stage.complaints.expect("status of 409")
    buy_button(page).click()
    expect(answer(page, "refused")).to_be_visible()
    return page


def rejected(stage: Stage) -> Page:
    """The gate promised more than there was."""
    sale = stage.make_sale(stock=1)
    page = stage.visit(sale)
    queue_up(sale, 1)
    promise_too_much(sale, 2)
    _buy(page)
    settle(sale.pk)
    # Above a fresh form, on a fresh ticket.
    expect(page.locator(".buying > [role=status] > [data-status='rejected']")).to_be_visible()
    return page


def unanswered(stage: Stage) -> Page:
    stage.complaints.expect("ERR_FAILED", "^htmx:")
    page = one_product(stage)
    page.route("**/buy", lambda route: route.abort())
    buy_button(page).click()
    expect(page.locator(".no-answer .notice")).to_be_visible()
    return page


def _bought(stage: Stage, sale: Sale) -> Page:
    page = stage.visit(sale)
    _buy(page)
    return page


def _buy(page: Page) -> None:
    buy_button(page).click()
    expect(answer(page, "queued")).to_be_visible()


# --- Orders ---------------------------------------------------------------------------------------


def order_in_line(stage: Stage) -> Page:
    return _at_its_order(in_line(stage))


def order_secured(stage: Stage) -> Page:
    return _at_its_order(secured(stage))


def order_cancelled(stage: Stage) -> Page:
    sale = stage.make_sale(limit=2)
    page = _bought(stage, sale)
    settle(sale.pk)
    cancellation.cancel_order(sale.orders.get().pk, by="staff")
    expect(answer(page, "cancelled")).to_be_visible()
    return _at_its_order(page)


def no_orders(stage: Stage) -> Page:
    return stage.at("/orders/")


def own_orders(stage: Stage) -> Page:
    """One rejected, one cancelled, one confirmed."""
    page = rejected(stage)
    for keeps in (False, True):
        sale = stage.make_sale()
        page.goto(address(stage.url, sale))
        _buy(page)
        settle(sale.pk)
        if not keeps:
            cancellation.cancel_order(sale.orders.get().pk, by="staff")
    page.goto(f"{stage.url}/orders/")
    expect(page.locator("tbody tr")).to_have_count(3)
    return page


def _at_its_order(page: Page) -> Page:
    page.locator(".to-order").first.click()
    expect(page.locator("article.order")).to_be_visible()
    return page


# --- Nothing there, and trying again --------------------------------------------------------------


def not_found(stage: Stage) -> Page:
    stage.complaints.expect("status of 404")
    return stage.at("/nowhere/")


def no_such_sale(stage: Stage) -> Page:
    stage.complaints.expect("status of 404")
    return stage.at("/sales/nowhere/")


def to_be_tried_again(stage: Stage) -> Page:
    """A plain form, sent to a gate that has forgotten everything."""
    stage.complaints.expect("status of 503")
    sale = stage.make_sale()
    page = stage.visit(sale)
    replica.remove([sale.pk])
    with page.expect_navigation():
        page.locator("form.buy").evaluate("form => HTMLFormElement.prototype.submit.call(form)")
    expect(page.locator(".message form.buy")).to_be_visible()
    return page


STATES: dict[str, Callable[[Stage], Page]] = {
    state.__name__: state
    for state in (
        *(list_of_sales, upcoming, one_product, products_with_options, nearly_gone, sold_out),
        *(paused, ended, with_a_message, offline),
        *(in_line, held, secured, secured_elsewhere, refused, rejected, unanswered),
        *(order_in_line, order_secured, order_cancelled, no_orders, own_orders),
        *(not_found, no_such_sale, to_be_tried_again),
    )
}
