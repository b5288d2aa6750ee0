"""The checkout in a browser: phone and desktop, without scripts, with the keyboard, on a bad line."""

import pytest
from playwright.sync_api import Page, expect

from conftest import MakeSale
from inventory.models import Sale
from orders import cancellation, confirmation
from orders.models import Order
from tests.browser.conftest import Complaints, OpenPage
from tests.browser.seen import address, answer, buy_button
from tests.browser.test_accessible import DESKTOP, PHONE, barriers, tab_to
from tests.cast import end_holds
from tests.checkouts import TERMS, page_of, sale_with_checkout

pytestmark = pytest.mark.browser

FIELDS = {
    "E-mail address": "anna@example.com",
    "First and last name": "Anna Öz",
    "Street and house number": "Hauptstr. 1",
    "Postcode": "50667",
    "City": "Köln",
}


@pytest.fixture
def sale(make_sale: MakeSale) -> Sale:
    return sale_with_checkout(make_sale)


def at_checkout(shop: str, open_page: OpenPage, sale: Sale, **options: object) -> Page:
    """Buy, and go to the checkout."""
    page = open_page(address(shop, sale), **options)
    with page.expect_response("**/buy"):
        buy_button(page).click()
    if options.get("java_script_enabled", True):
        expect(answer(page, "held")).to_be_visible()
    else:
        expect(page.locator("[data-status=held]")).to_be_visible()
    page.goto(shop + page_of(order_of(sale).pk))
    return page


def order_of(sale: Sale) -> Order:
    return sale.orders.get()


def fill_in(page: Page, **others: str) -> None:
    for label, text in (FIELDS | others).items():
        page.get_by_label(label, exact=True).fill(text)


def send(page: Page) -> None:
    page.get_by_role("button", name="Confirm the order").click()


def kept(page: Page) -> int:
    """So much of what was typed the browser keeps."""
    number: int = page.evaluate(
        "Object.keys(sessionStorage).filter((key) => key.startsWith('checkout:')).length"
    )
    return number


@pytest.mark.parametrize(
    "viewport",
    [pytest.param(PHONE, id="phone", marks=pytest.mark.deep), pytest.param(DESKTOP, id="desktop")],
)
def test_a_shopper_gives_an_address_and_has_the_order(
    viewport: dict[str, int], shop: str, open_page: OpenPage, sale: Sale
) -> None:
    page = at_checkout(shop, open_page, sale, viewport=viewport)
    expect(page.locator(".hold .left")).to_be_visible()
    wide = page.evaluate("document.documentElement.scrollWidth - innerWidth")
    assert wide <= 0
    fill_in(page)
    assert kept(page) == 1
    send(page)
    expect(page).to_have_url(f"{shop}/orders/{order_of(sale).pk}/")
    expect(answer(page, "confirmed")).to_contain_text("is yours")
    assert kept(page) == 0
    page.goto(shop + page_of(order_of(sale).pk))
    expect(page.get_by_text("50667 Köln")).to_be_visible()
    assert barriers(page, "en-GB") == {}


@pytest.mark.parametrize("locale", ["en-GB", pytest.param("de-DE", marks=pytest.mark.deep)])
def test_nothing_stands_in_the_way(
    locale: str, shop: str, open_page: OpenPage, make_sale: MakeSale, complaints: Complaints
) -> None:
    sale = sale_with_checkout(make_sale, terms=TERMS, price_note="incl. 19 % VAT")
    page = at_checkout(shop, open_page, sale, locale=locale)
    assert barriers(page, locale) == {}
    complaints.expect("status of 422")
    page.locator(".act button").click()
    expect(page.locator(".faults")).to_be_visible()
    assert barriers(page, locale) == {}
    confirmation.confirm_hold(order_of(sale).pk)


def test_what_is_wrong_is_listed_and_each_line_leads_to_its_field(
    shop: str, open_page: OpenPage, sale: Sale, complaints: Complaints
) -> None:
    page = at_checkout(shop, open_page, sale)
    complaints.expect("status of 422")
    fill_in(page, **{"E-mail address": "anna", "City": ""})
    send(page)
    summary = page.get_by_role("alert")
    expect(summary).to_be_focused()
    expect(summary.get_by_role("link")).to_have_text(["E-mail address", "City"])
    summary.get_by_role("link", name="City").click()
    city = page.get_by_label("City")
    expect(city).to_be_focused()
    expect(city).to_have_accessible_description("Please fill this in.")
    expect(page.get_by_label("First and last name")).to_have_value("Anna Öz")


def test_what_was_typed_survives_a_reload_and_a_lost_connection(
    shop: str, open_page: OpenPage, sale: Sale, complaints: Complaints
) -> None:
    page = at_checkout(shop, open_page, sale)
    page.get_by_label("Country").select_option("US")
    expect(page.get_by_label("ZIP code")).to_be_visible()
    page.get_by_label("First and last name").fill("Anna Öz")
    page.get_by_label("State").select_option("CA")
    page.get_by_label("ZIP code").fill("95014")
    page.reload()
    for label, text in {
        "First and last name": "Anna Öz",
        "State": "CA",
        "ZIP code": "95014",
    }.items():
        expect(page.get_by_label(label)).to_have_value(text)
    expect(page.get_by_label("Country")).to_have_value("US")
    complaints.expect("ERR_INTERNET_DISCONNECTED", "chrome-error", "WebSocket")
    page.context.set_offline(True)
    send(page)
    page.wait_for_url("chrome-error://**")
    page.context.set_offline(False)
    page.goto(shop + page_of(order_of(sale).pk))
    expect(page.get_by_label("ZIP code")).to_have_value("95014")


def test_another_country_has_other_fields_and_keeps_what_both_have(
    shop: str, open_page: OpenPage, sale: Sale
) -> None:
    page = at_checkout(shop, open_page, sale)
    fill_in(page)
    page.get_by_label("Country").select_option("GB")
    expect(page.get_by_label("Post town")).to_have_value("Köln")
    expect(page.get_by_label("Street and house number")).to_have_value("Hauptstr. 1")
    expect(page.locator("#address")).not_to_contain_text("Köln ")
    expect(page.locator("[name=shown]")).to_have_value("GB")


def test_it_works_without_scripts(
    shop: str, open_page: OpenPage, sale: Sale, complaints: Complaints
) -> None:
    complaints.expect("status of 422")
    page = at_checkout(shop, open_page, sale, java_script_enabled=False)
    expect(page.get_by_text("Held until")).to_be_visible()
    page.get_by_label("E-mail address").fill("anna@example.com")
    page.get_by_label("Country").select_option("US")
    page.get_by_role("button", name="Change country").click()
    expect(page.get_by_label("ZIP code")).to_be_visible()
    expect(page.get_by_label("E-mail address")).to_have_value("anna@example.com")
    page.get_by_label("Country").select_option("DE")
    page.get_by_role("button", name="Change country").click()
    page.get_by_label("Postcode").fill("1")
    send(page)
    expect(page.get_by_role("alert")).to_contain_text("Postcode")
    fill_in(page)
    page.get_by_label("City").press("Enter")
    expect(page.locator("[data-status=confirmed]")).to_contain_text("is yours")


def test_it_is_filled_in_and_sent_with_the_keyboard(
    shop: str, open_page: OpenPage, sale: Sale
) -> None:
    page = at_checkout(shop, open_page, sale)
    for label, text in FIELDS.items():
        tab_to(page, page.get_by_label(label, exact=True))
        page.keyboard.type(text)
    page.keyboard.press("Enter")
    expect(answer(page, "confirmed")).to_be_visible()


def test_a_tab_learns_that_another_has_confirmed_it(
    shop: str, open_page: OpenPage, sale: Sale
) -> None:
    page = at_checkout(shop, open_page, sale)
    other = page.context.new_page()
    other.goto(page.url)
    fill_in(page)
    send(page)
    expect(other).to_have_url(f"{shop}/orders/{order_of(sale).pk}/")


@pytest.mark.parametrize("ends", ["given back", "expired"])
def test_a_tab_learns_that_the_order_is_not_held_any_more(
    ends: str, shop: str, open_page: OpenPage, sale: Sale, complaints: Complaints
) -> None:
    page = at_checkout(shop, open_page, sale)
    page.get_by_label("First and last name").fill("Anna Öz")
    complaints.expect("status of 410")
    if ends == "expired":
        end_holds(sale)
    else:
        cancellation.give_back(order_of(sale).pk)
    words = "on sale again" if ends == "expired" else "You gave"
    expect(page.locator("article.message")).to_contain_text(words)
    assert barriers(page, "en-GB") == {}
    assert kept(page) == 0
