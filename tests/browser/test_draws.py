"""A draw on the page, in German on a phone: enter, change the entry, win or lose, wait in the queue."""

import pytest
from playwright.sync_api import Locator, Page, expect

from conftest import MakeSale
from orders.models import Order
from tests import stack
from tests.browser.conftest import OpenPage
from tests.browser.seen import address
from tests.cast import bring_draw_forward, skus

pytestmark = pytest.mark.browser

GERMAN_PHONE = {
    "locale": "de-DE",
    "viewport": {"width": 390, "height": 844},
    "is_mobile": True,
    "has_touch": True,
}
GERMAN_WITHOUT_SCRIPTS = {"locale": "de-DE", "java_script_enabled": False}


def outcome(page: Page, status: str) -> Locator:
    return page.locator(f".outcome[data-status={status}]")


def press(page: Page, words: str) -> None:
    page.get_by_role("button", name=words).click()


def enter(page: Page, sku: str = "") -> Order:
    """Enter the draw on a sale's page; with a choice if there is one."""
    if sku:
        page.locator(f"input[name=product][value='{sku}']").check()
    press(page, "An der Verlosung teilnehmen")
    return order_in(outcome(page, "waiting"))


def order_in(box: Locator) -> Order:
    expect(box).to_contain_text("Du nimmst an der Verlosung teil.")
    number = str(box.get_attribute("id")).removeprefix("purchase-")
    return Order.objects.get(pk=number)


def rank_of(order: Order) -> int:
    """Its rank, once it has its outcome."""
    stack.wait_for(lambda: _has_place(order), "it has its outcome")
    return order.lot.rank or 0


def _has_place(order: Order) -> bool:
    order.refresh_from_db()
    return order.place is not None


def winner_first(*entered: tuple[Page, Order]) -> list[tuple[Page, Order]]:
    return sorted(entered, key=lambda each: rank_of(each[1]))


def test_an_entry_is_changed_and_one_of_two_wins(
    shop: str, open_page: OpenPage, make_sale: MakeSale
) -> None:
    sale = make_sale(stock={"shoe-42": 1, "shoe-43": 1}, draw_in=3600, hold=10)
    small, large = skus(sale)
    first, second = (open_page(address(shop, sale), **GERMAN_PHONE) for _ in range(2))
    taken_back = enter(first, small)
    first.on("dialog", lambda dialog: dialog.accept())
    press(first, "Zurücknehmen")
    expect(outcome(first, "cancelled")).to_contain_text("nicht mehr in der Verlosung")
    pages = [(first, enter(first, large)), (second, enter(second, large))]
    bring_draw_forward(sale)
    (winner, won), (loser, lost) = winner_first(*pages)
    expect(outcome(winner, "held")).to_contain_text("ist für dich reserviert")
    expect(winner.locator(".hold .left")).to_be_visible()
    expect(outcome(loser, "rejected")).to_contain_text("Diesmal wurden andere gezogen.")
    winner.goto(f"{shop}/orders/{won.pk}/")
    expect(winner.locator(".story")).to_contain_text("Du wurdest gezogen: Rang 1 von 2.")
    loser.goto(f"{shop}/orders/{lost.pk}/")
    expect(loser.locator(".story")).to_contain_text("Dein Rang in der Verlosung: 2 von 2.")
    taken_back.refresh_from_db()
    assert (taken_back.status, taken_back.sku) == ("cancelled", small)


def test_who_has_lost_checks_the_draw(shop: str, open_page: OpenPage, make_sale: MakeSale) -> None:
    sale = make_sale(stock=1, draw_in=3600, hold=10)
    pages = [open_page(address(shop, sale), **GERMAN_PHONE) for _ in range(2)]
    entered = [(page, enter(page)) for page in pages]
    bring_draw_forward(sale)
    _, (loser, lost) = winner_first(*entered)
    outcome(loser, "rejected").get_by_role("link", name="Verlosung nachprüfen").click()
    # A process reads what is published at most once a second.
    stack.wait_for(lambda: _has(loser, "[data-draw-start]"), "the seed is on the page")
    expect(loser.locator(".own-lots")).to_contain_text("Rang: 2 von 2")
    loser.locator("[data-draw-start]").click()
    expect(loser.locator("[data-draw-result=ok]")).to_be_visible()
    expect(loser.locator("[data-draw-entry-is=ranked]")).to_contain_text("2")
    assert lost.status == "rejected"


def _has(page: Page, selector: str) -> bool:
    page.reload()
    return page.locator(selector).count() > 0


def test_what_a_winner_gives_back_goes_to_who_waits(
    shop: str, open_page: OpenPage, make_sale: MakeSale
) -> None:
    sale = make_sale(stock=1, draw_in=3600, hold=10, standby=True)
    pages = [open_page(address(shop, sale), **GERMAN_PHONE) for _ in range(2)]
    entered = [(page, enter(page)) for page in pages]
    bring_draw_forward(sale)
    (winner, _), (next_one, waiting) = winner_first(*entered)
    expect(outcome(next_one, "waiting")).to_contain_text("Du bist in der Warteschlange.")
    next_one.reload()
    expect(next_one.locator(".place")).to_have_text("Dein Platz in der Warteschlange: 1")
    winner.on("dialog", lambda dialog: dialog.accept())
    press(winner, "Zurückgeben")
    expect(outcome(winner, "cancelled")).to_be_visible()
    expect(outcome(next_one, "held")).to_contain_text("ist für dich reserviert")
    next_one.goto(f"{shop}/orders/{waiting.pk}/")
    expect(next_one.locator(".story")).to_contain_text("Dein Rang in der Verlosung: 2 von 2.")
    expect(next_one.locator(".story")).not_to_contain_text("gezogen")


def test_without_scripts(shop: str, open_page: OpenPage, make_sale: MakeSale) -> None:
    sale = make_sale(stock={"shoe-42": 1, "shoe-43": 1}, draw_in=3600, hold=10)
    small, large = skus(sale)
    page = open_page(address(shop, sale), **GERMAN_WITHOUT_SCRIPTS)
    page.locator(f"input[name=product][value='{small}']").check()
    press(page, "An der Verlosung teilnehmen")
    expect(outcome(page, "waiting")).to_contain_text("Du nimmst an der Verlosung teil.")
    press(page, "Zurücknehmen")
    expect(outcome(page, "cancelled")).to_contain_text("nicht mehr in der Verlosung")
    page.goto(address(shop, sale))
    page.locator(f"input[name=product][value='{large}']").check()
    press(page, "An der Verlosung teilnehmen")
    entry = order_in(outcome(page, "waiting"))
    bring_draw_forward(sale)
    assert rank_of(entry) == 1
    expect(outcome(page, "held")).to_contain_text(
        "ist für dich reserviert"
    )  # it loads itself again
    expect(page.locator(".story")).to_contain_text("Du wurdest gezogen: Rang 1 von 1.")
    assert entry.sku == large
