"""`/sales/<slug>/code/`: a shopper types a code, and may buy."""

import re
import time
from collections.abc import Iterator
from datetime import timedelta

import httpx
import pytest
from django.core.cache import cache
from django.utils import timezone

from accounts import access_codes
from conftest import MakeSale
from inventory.models import Sale
from orders.settlement import settle
from tests.cast import JSON, skus
from tests.stack import OpenBrowser, Web


@pytest.fixture(scope="module")
def web() -> Iterator[Web]:
    with Web.running() as web:
        yield web


@pytest.fixture
def open_browser(web: Web) -> Iterator[OpenBrowser]:
    cache.clear()  # of the counts of other tests
    with web.browsers() as opening:
        yield opening


@pytest.fixture
def browser(open_browser: OpenBrowser) -> httpx.Client:
    return open_browser()


@pytest.fixture
def sale(make_sale: MakeSale) -> Sale:
    return make_sale(entrants="code")


def page_of(sale: Sale) -> str:
    return f"/sales/{sale.slug}/code/"


def token_of(browser: httpx.Client, page: str, language: str = "en") -> str:
    shown = browser.get(page, headers={"Accept-Language": language}).text
    [token] = re.findall(r'name="csrfmiddlewaretoken" value="(\w+)"', shown)
    return str(token)


def submit(browser: httpx.Client, sale: Sale, code: str, language: str = "en") -> httpx.Response:
    form = {"csrfmiddlewaretoken": token_of(browser, page_of(sale), language), "code": code}
    return browser.post(page_of(sale), data=form, headers={"Accept-Language": language})


def buy(browser: httpx.Client, sale: Sale) -> httpx.Response:
    ticket = browser.get(f"/sales/{sale.slug}/", headers=JSON).json()["ticket"]
    form = {"ticket": ticket, "product": skus(sale)[0]}
    return browser.post(f"/sales/{sale.slug}/buy", data=form, headers=JSON)


def test_a_code_lets_its_shopper_buy(browser: httpx.Client, sale: Sale) -> None:
    [code] = access_codes.generate(1, [sale.pk])
    assert buy(browser, sale).json() == {"error": "no_code", "see": page_of(sale)}
    reply = submit(browser, sale, code.lower())
    assert (reply.status_code, reply.url.path) == (200, f"/sales/{sale.slug}/")
    assert "Your access code is accepted" in reply.text
    assert buy(browser, sale).status_code == 202
    settle(sale.pk)
    assert sale.orders.get().status == "confirmed"


def test_a_browser_that_comes_first_to_this_page_is_let_in(
    browser: httpx.Client, sale: Sale
) -> None:
    [code] = access_codes.generate(1, [sale.pk])
    assert submit(browser, sale, code).status_code == 200
    assert buy(browser, sale).status_code == 202


def test_a_link_fills_the_form_in_and_uses_nothing_up(browser: httpx.Client, sale: Sale) -> None:
    [code] = access_codes.generate(1, [sale.pk])
    assert f'value="{code}"' in browser.get(f"{page_of(sale)}?code={code}").text
    assert access_codes.list_codes(sale.pk)[0].used == 0
    odd = browser.get(page_of(sale), params={"code": '"><script>' + "x" * 100}).text
    assert "<script>" not in odd


def test_a_code_in_a_second_browser_is_used_up(open_browser: OpenBrowser, sale: Sale) -> None:
    [code] = access_codes.generate(1, [sale.pk])
    submit(open_browser(), sale, code)
    other = open_browser()
    reply = submit(other, sale, code)
    assert (reply.status_code, "as often as it can be" in reply.text) == (422, True)
    assert buy(other, sale).status_code == 403


@pytest.mark.parametrize(
    ("language", "words"),
    [("en", "does not open this sale"), ("de", "öffnet diese Aktion nicht")],
)
def test_another_code_is_refused_in_words(
    browser: httpx.Client, sale: Sale, make_sale: MakeSale, language: str, words: str
) -> None:
    [of_another] = access_codes.generate(1, [make_sale(entrants="code").pk])
    for code in (of_another, "AAAAA-AAAAA"):
        reply = submit(browser, sale, code, language)
        assert reply.status_code == 422
        assert words in reply.text
    assert buy(browser, sale).status_code == 403


def test_codes_cannot_be_guessed_for_long(browser: httpx.Client, sale: Sale) -> None:
    [code] = access_codes.generate(1, [sale.pk])
    form = {"csrfmiddlewaretoken": token_of(browser, page_of(sale)), "code": "AAAAA-AAAAA"}
    statuses = [browser.post(page_of(sale), data=form).status_code for _ in range(62)]
    assert statuses[:60] == [422] * 60
    assert statuses[61] == 429
    refused = browser.post(page_of(sale), data={**form, "code": code})
    assert refused.status_code == 429
    assert 0 < int(refused.headers["retry-after"]) <= 3600


def test_an_early_code_opens_the_sale_before_the_others(
    open_browser: OpenBrowser, sale: Sale
) -> None:
    [early] = access_codes.generate(1, [sale.pk])
    [later] = access_codes.generate(1, [sale.pk], opens_at=timezone.now() + timedelta(hours=1))
    first, second = open_browser(), open_browser()
    submit(first, sale, early)
    assert "Your access code opens this sale" in submit(second, sale, later).text
    assert buy(first, sale).status_code == 202
    assert buy(second, sale).json() == {"status": "refused", "reason": "not_open"}


def test_the_proof_lasts_as_long_as_the_sale(browser: httpx.Client, sale: Sale) -> None:
    [code] = access_codes.generate(1, [sale.pk])
    submit(browser, sale, code)
    [cookie] = [each for each in browser.cookies.jar if each.name == f"code-{sale.pk}"]
    assert cookie.expires
    assert abs(cookie.expires - time.time() - 3600 - 24 * 3600) < 120


def test_a_form_from_elsewhere_is_refused(browser: httpx.Client, sale: Sale) -> None:
    assert browser.post(page_of(sale), data={"code": "AAAAA"}).status_code == 403


def test_a_sale_without_codes_has_no_such_page(browser: httpx.Client, make_sale: MakeSale) -> None:
    sale = make_sale()
    assert browser.get(page_of(sale)).url.path == f"/sales/{sale.slug}/"
    assert browser.get("/sales/no-such-sale/code/").status_code == 404
    draft = make_sale(live=False, entrants="code")
    assert browser.get(page_of(draft)).status_code == 404
