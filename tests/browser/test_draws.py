"""A draw on the page, in German on a phone: enter, change the entry, win or lose, wait in the queue."""

from collections.abc import Iterator
from uuid import uuid4

import pytest
from django.core.cache import cache
from playwright.sync_api import Locator, Page, expect

from accounts.models import SignInCode
from conftest import MakeSale
from orders.models import Order
from tests import stack
from tests.browser.conftest import SLOW_PATIENCE, Complaints, OpenPage
from tests.browser.seen import address
from tests.browser.test_accessible import LOOKS, broken_rules, shown
from tests.browser.test_sign_in import sign_in_by_code
from tests.cast import bring_draw_forward, skus
from tests.checkouts import ANNA, sale_with_checkout

pytestmark = pytest.mark.browser

GERMAN_PHONE = {
    "locale": "de-DE",
    "viewport": {"width": 390, "height": 844},
    "is_mobile": True,
    "has_touch": True,
}
GERMAN_WITHOUT_SCRIPTS = {"locale": "de-DE", "java_script_enabled": False}


@pytest.fixture(autouse=True)
def nothing_to_renew(complaints: Complaints) -> None:
    """A push may replace the box before the answer to its button comes: then htmx finds the facts beside
    the fresh form nowhere, and they are as they were."""
    complaints.expect("htmx:oobErrorNoTarget, #(pictures|facts)-")


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
    # It loads itself again, once a minute.
    expect(outcome(page, "held")).to_be_visible(timeout=SLOW_PATIENCE)
    expect(page.locator(".story")).to_contain_text("Du wurdest gezogen: Rang 1 von 1.")
    assert entry.sku == large


def test_axe_finds_nothing(shop: str, open_page: OpenPage, make_sale: MakeSale) -> None:
    sale = make_sale(stock=1, draw_in=3600, hold=10)
    page, other = (open_page(address(shop, sale), locale="de-DE") for _ in range(2))
    entered = [(each, enter(each)) for each in (page, other)]
    passed(page, "entered")
    page.goto(f"{address(shop, sale)}draw/")
    passed(page, "the draw's page before it")
    bring_draw_forward(sale)
    for each, order in winner_first(*entered):
        each.goto(f"{shop}/orders/{order.pk}/")
        expect(each.locator(".story")).to_be_visible()
        passed(each, f"rank {rank_of(order)}")
    page.goto(f"{address(shop, sale)}draw/")
    stack.wait_for(lambda: _has(page, "[data-draw-start]"), "the seed is on the page")
    page.locator(".own-lots summary").click()
    page.locator("[data-draw-start]").click()
    expect(page.locator("[data-draw-result=ok]")).to_be_visible()
    passed(page, "the draw's page, checked")


def passed(page: Page, state: str) -> None:
    found = [(look, broken_rules(page)) for look in shown(page, LOOKS)]
    assert not any(broken for _, broken in found), (state, found)


@pytest.fixture
def shop_with_mail(no_worker: None) -> Iterator[str]:
    """It could send mail; the test takes the code before a worker does."""
    cache.clear()
    SignInCode.objects.all().delete()
    with stack.Web.running(EMAIL_URL="smtp://127.0.0.1:9") as web:
        yield web.url


def test_from_the_code_in_a_mail_to_the_payment(
    shop_with_mail: str,
    worker: stack.Process,
    open_page: OpenPage,
    make_sale: MakeSale,
    complaints: Complaints,
) -> None:
    complaints.expect("status of 403")  # the click before signing in
    sale = sale_with_checkout(
        make_sale,
        stock={"shoe-42": 1, "shoe-43": 1},
        payment="demo",
        entrants="email",
        draw_in=3600,
    )
    small, large = skus(sale)
    page = open_page(address(shop_with_mail, sale), **GERMAN_PHONE)
    page.locator(f"input[name=product][value='{small}']").check()
    press(page, "An der Verlosung teilnehmen")
    expect(outcome(page, "refused")).to_contain_text("bestätigter E-Mail")
    sign_in_by_code(page, f"anna-{uuid4().hex[:12]}@shop.example")
    worker.start()
    enter(page, small)
    page.on("dialog", lambda dialog: dialog.accept())
    press(page, "Zurücknehmen")
    expect(outcome(page, "cancelled")).to_be_visible()
    won = enter(page, large)
    bring_draw_forward(sale)
    assert rank_of(won) == 1
    outcome(page, "held").get_by_role("link", name="Zur Kasse").click()
    for name in ("email", "name", "street", "postcode", "city"):
        page.locator(f"#id_{name}").fill(ANNA[name])
    press(page, "bezahlen")
    page.locator("button[value=pay]").click()
    expect(outcome(page, "confirmed")).to_contain_text("gehört dir")
    won.refresh_from_db()
    assert (won.status, won.sku) == ("confirmed", large)
