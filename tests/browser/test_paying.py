"""From the click to a paid order in a browser, with the demo provider, and each way to come back."""

import pytest
from django.utils import timezone
from playwright.sync_api import Page, Route, expect

from conftest import MakeSale
from inventory.models import Sale
from payments.models import Attempt, DemoPayment
from tests.browser.conftest import SLOW_PATIENCE, Complaints, OpenPage
from tests.browser.seen import answer
from tests.browser.test_accessible import DESKTOP, PHONE
from tests.browser.test_checkout import at_checkout, fill_in, kept, order_of
from tests.checkouts import sale_with_checkout

pytestmark = pytest.mark.browser


@pytest.fixture
def sale(make_sale: MakeSale) -> Sale:
    return sale_with_checkout(make_sale, payment="demo")


def pay(page: Page, choice: str) -> None:
    """Fill in the checkout, and press this button of the card page."""
    fill_in(page)
    page.get_by_role("button", name="Pay €129.00").click()
    page.get_by_role("button", name=choice, exact=True).click()


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"viewport": PHONE}, id="phone"),
        pytest.param({"viewport": DESKTOP}, id="desktop", marks=pytest.mark.deep),
        pytest.param({"java_script_enabled": False}, id="no scripts"),
    ],
)
def test_a_paid_order_is_the_shoppers(
    options: dict[str, object], shop: str, open_page: OpenPage, sale: Sale
) -> None:
    page = at_checkout(shop, open_page, sale, **options)
    pay(page, "Pay")
    expect(page).to_have_url(f"{shop}/orders/{order_of(sale).pk}/")
    expect(answer(page, "confirmed")).to_contain_text("is yours")
    if options.get("java_script_enabled", True):
        assert kept(page) == 0


def test_a_declined_card_costs_neither_hold_nor_text(
    shop: str, open_page: OpenPage, sale: Sale
) -> None:
    page = at_checkout(shop, open_page, sale)
    pay(page, "The card is declined")
    expect(page.get_by_role("status").filter(has_text="nothing was charged")).to_be_visible()
    expect(page.get_by_label("First and last name")).to_have_value("Anna Öz")
    page.get_by_role("button", name="Pay €129.00").click()
    page.get_by_role("button", name="Pay", exact=True).click()
    expect(answer(page, "confirmed")).to_contain_text("is yours")


def test_who_turns_back_without_paying_can_go_on(
    shop: str, open_page: OpenPage, sale: Sale
) -> None:
    page = at_checkout(shop, open_page, sale)
    fill_in(page)
    page.get_by_role("button", name="Pay €129.00").click()
    page.get_by_role("link", name="Go back to the shop without paying").click()
    expect(page.get_by_text("No payment has arrived yet.")).to_be_visible()
    expect(page.get_by_label("City")).to_have_value("Köln")


def test_a_tab_that_was_left_learns_of_the_payment(
    shop: str, open_page: OpenPage, sale: Sale
) -> None:
    page = at_checkout(shop, open_page, sale)
    other = page.context.new_page()
    other.goto(page.url)
    pay(page, "Pay, and never go back to the shop")
    expect(other).to_have_url(f"{shop}/orders/{order_of(sale).pk}/")


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no scripts"])
def test_a_bank_that_takes_its_time_is_waited_for(
    scripts: bool, shop: str, open_page: OpenPage, sale: Sale
) -> None:
    page = at_checkout(shop, open_page, sale, java_script_enabled=scripts)
    pay(page, "The bank takes 20 seconds")
    expect(page.get_by_text("No payment has arrived yet.")).to_be_visible()
    attempt = order_of(sale).attempts.get()
    DemoPayment.objects.filter(pk=attempt.reference).update(acts_at=timezone.now())
    Attempt.objects.filter(pk=attempt.pk).update(due=timezone.now())
    expect(answer(page, "confirmed")).to_contain_text("is yours", timeout=SLOW_PATIENCE)
    assert order_of(sale).attempts.count() == 1


def test_the_page_of_another_site_is_reached_under_the_policy(
    shop: str, open_page: OpenPage, sale: Sale, complaints: Complaints
) -> None:
    """Chromium applies `form-action` to redirects: the page in between must lead there by itself."""
    complaints.expect("favicon")
    page = at_checkout(shop, open_page, sale)
    elsewhere = shop.replace("127.0.0.1", "localhost")

    def lead_elsewhere(route: Route) -> None:
        given = route.fetch(max_redirects=0)
        to = f"{elsewhere}/livez"
        body = f'<!doctype html><meta http-equiv="refresh" content="0; url={to}"><a href="{to}">Pay</a>'
        headers = {name: text for name, text in given.headers.items() if name != "location"}
        route.fulfill(status=200, headers={**headers, "content-type": "text/html"}, body=body)

    page.route(
        "**/checkout/", lambda r: lead_elsewhere(r) if r.request.method == "POST" else r.continue_()
    )
    fill_in(page)
    page.get_by_role("button", name="Pay €129.00").click()
    expect(page).to_have_url(f"{elsewhere}/livez")
