"""A sale for people with a verified e-mail address or an access code: from its page to the purchase."""

from collections.abc import Callable, Iterator
from uuid import uuid4

import pytest
from django.core.cache import cache
from playwright.sync_api import Page, expect

from accounts import access_codes, sign_in
from accounts.models import SignInCode
from conftest import MakeSale
from inventory.models import Sale
from orders.settlement import settle
from tests import stack
from tests.browser.conftest import Complaints, OpenPage
from tests.browser.seen import address
from tests.browser.test_accessible import LOOKS, broken_rules, shown

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def shop() -> Iterator[str]:
    """It could send mail; tests take the codes before anything does."""
    with stack.Web.running(EMAIL_URL="smtp://127.0.0.1:9") as web:
        yield web.url


@pytest.fixture(autouse=True)
def nothing_asked(complaints: Complaints, no_worker: None) -> None:  # it would mail the codes
    complaints.expect("status of 403", "status of 422")  # a click without a proof, a wrong code
    cache.clear()
    SignInCode.objects.all().delete()


def press(page: Page, words: str) -> None:
    page.get_by_role("button", name=words, exact=True).click()


def mailed_code() -> str:
    mail = stack.wait_for(sign_in.take_mail, "a code is to be mailed")
    assert mail
    return mail.code


def sign_in_by_code(page: Page, email: str) -> None:
    """In German, from the page on which the link is."""
    page.get_by_role("link", name="Mit E-Mail anmelden").first.click()
    page.get_by_label("Deine E-Mail-Adresse").fill(email)
    press(page, "Code mailen")
    page.get_by_label("Code").fill(mailed_code())
    press(page, "Anmelden")


@pytest.fixture
def email() -> str:
    return f"anna-{uuid4().hex[:12]}@shop.example"


def test_signing_in_in_german_on_a_phone_leads_back_and_buys(
    shop: str, open_page: OpenPage, make_sale: MakeSale, email: str
) -> None:
    sale = make_sale(entrants="email")
    page = open_page(address(shop, sale), locale="de-DE", viewport={"width": 390, "height": 844})
    page.locator("form.buy button[type=submit]").click()
    expect(page.locator(".outcome[data-status=refused]")).to_contain_text("bestätigter E-Mail")
    sign_in_by_code(page, email)
    expect(page.get_by_text("Du bist angemeldet")).to_be_visible()
    page.locator("form.buy button[type=submit]").click()
    expect(page.locator(".outcome[data-status=queued]")).to_be_visible()
    settle(sale.pk)
    expect(page.locator(".outcome[data-status=confirmed]")).to_be_visible()


def test_without_scripts_and_on_a_second_device(
    shop: str, open_page: OpenPage, make_sale: MakeSale, email: str
) -> None:
    sale = make_sale(entrants="email")
    first = open_page(address(shop, sale), locale="de-DE", java_script_enabled=False)
    sign_in_by_code(first, email)
    first.locator("form.buy button[type=submit]").click()
    settle(sale.pk)
    order = sale.orders.get()
    second = open_page(f"{shop}/orders/", locale="de-DE", java_script_enabled=False)
    expect(second.get_by_text(order.reference)).to_have_count(0)
    second.get_by_role("link", name="Anmelden, um").click()
    second.get_by_label("Deine E-Mail-Adresse").fill(email)
    press(second, "Code mailen")
    second.get_by_label("Code").fill(mailed_code())
    press(second, "Anmelden")
    expect(second.get_by_text(order.reference)).to_be_visible()
    second.get_by_role("link", name="Abmelden").click()
    press(second, "Abmelden")
    second.goto(f"{shop}/orders/")
    expect(second.get_by_text(order.reference)).to_have_count(0)


def code_page(page: Page, sale: Sale, shop: str, email: str) -> None:
    page.goto(f"{shop}/sign-in/")
    page.locator("#id_email").fill(email)
    page.locator("main form button").click()


def wrong_code(page: Page, sale: Sale, shop: str, email: str) -> None:
    code_page(page, sale, shop, email)
    page.locator("#id_code").fill("abc")
    page.locator("main form button").click()
    expect(page.locator("#form-error")).not_to_be_empty()


PAGES: dict[str, Callable[[Page, Sale, str, str], object]] = {
    "sale": lambda page, sale, shop, email: page.goto(address(shop, sale)),
    "sign in": lambda page, sale, shop, email: page.goto(f"{shop}/sign-in/"),
    "code": code_page,
    "wrong code": wrong_code,
}


@pytest.mark.parametrize("which", [pytest.param(each, marks=pytest.mark.deep) for each in PAGES])
def test_axe_finds_nothing(
    which: str, shop: str, open_page: OpenPage, make_sale: MakeSale, email: str
) -> None:
    sale = make_sale(entrants="email")
    page = open_page(shop)
    PAGES[which](page, sale, shop, email)
    found = [(look, broken_rules(page)) for look in shown(page, LOOKS)]
    assert not any(broken for _, broken in found), found


def test_a_link_with_an_access_code_lets_its_shopper_buy(
    shop: str, open_page: OpenPage, make_sale: MakeSale
) -> None:
    sale = make_sale(entrants="code")
    [code] = access_codes.generate(1, [sale.pk])
    page = open_page(f"{shop}/sales/{sale.slug}/code/?code={code}")
    assert not broken_rules(page)
    press(page, "Use this code")
    expect(page.get_by_text("Your access code is accepted")).to_be_visible()
    page.locator("form.buy button[type=submit]").click()
    settle(sale.pk)
    expect(page.locator(".outcome[data-status=confirmed]")).to_be_visible()
