"""`/sign-in/`: a code by mail proves an address, and the browser is that person's from then on."""

import re
from collections.abc import Iterator
from uuid import UUID, uuid4

import httpx
import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import User
from django.core.cache import cache
from django.db import connection
from django.test import AsyncClient, Client
from pytest_django import Settings

from accounts import access_codes
from accounts.models import KnownShopper, SignInCode
from accounts.sign_in import Mail
from conftest import MakeSale
from flashsale.http import proofs, shoppers
from inventory.models import Sale
from mail import sending
from mail.tests.smtp_server import MailServer
from mail.tests.test_sending import parts
from orders.models import Order
from orders.settlement import settle
from tests.cast import JSON, skus
from tests.stack import OpenBrowser, Web

ASK, CODE = "/sign-in/", "/sign-in/code/"


@pytest.fixture(scope="module")
def disposable(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("domains") / "disposable.txt"
    path.write_text("# made for one mail\nMail.Example\n\nthrowaway.example\n")
    return str(path)


@pytest.fixture(scope="module")
def web(disposable: str) -> Iterator[Web]:
    """It mails nothing itself: tests do, to a server of theirs."""
    with Web.running(EMAIL_URL="smtp://127.0.0.1:9", DISPOSABLE_DOMAINS=disposable) as web:
        yield web


@pytest.fixture
def open_browser(web: Web) -> Iterator[OpenBrowser]:
    cache.clear()  # of the counts of other tests
    SignInCode.objects.all().delete()
    with web.browsers() as opening:
        yield opening


@pytest.fixture
def browser(open_browser: OpenBrowser) -> httpx.Client:
    return open_browser()


@pytest.fixture
def email() -> str:
    return f"anna-{uuid4().hex[:12]}@shop.example"


def submit(browser: httpx.Client, page: str, language: str = "en", **fields: str) -> httpx.Response:
    headers = {"Accept-Language": language}
    shown = browser.get(page, headers=headers).text
    tokens = re.findall(r'name="csrfmiddlewaretoken" value="(\w+)"', shown)
    found = re.search(r'name="next" value="([^"]*)"', shown)
    form = {"csrfmiddlewaretoken": tokens[0], "next": found[1] if found else "", **fields}
    return browser.post(page.partition("?")[0], data=form, headers=headers)


def token_of(browser: httpx.Client, page: str) -> str:
    """What protects the form of a page from other sites."""
    [token] = re.findall(r'name="csrfmiddlewaretoken" value="(\w+)"', browser.get(page).text)
    return str(token)


def mailed_code(server: MailServer, email: str) -> str:
    """The code of the newest mail to the address, after a round of the worker."""
    sending._pauses = sending._Pauses()
    sending.send_mail()
    mail = [mail for mail in server.taken if mail["To"] == email][-1]
    return re.sub(r"\D", "", str(mail["Subject"]))


def sign_in(
    browser: httpx.Client, server: MailServer, email: str, to: str = "/orders/"
) -> httpx.Response:
    submit(browser, f"{ASK}?next={to}", email=email)
    return submit(browser, f"{CODE}?next={to}", code=mailed_code(server, email))


def id_of(browser: httpx.Client) -> UUID | None:
    return shoppers.shopper_of(dict(browser.cookies), secure=False)


def is_signed_in(browser: httpx.Client) -> bool:
    shopper = id_of(browser)
    cookies = dict(browser.cookies)
    return shopper is not None and proofs.former_in(cookies, shopper, secure=False) is not None


def buy(browser: httpx.Client, sale: Sale) -> httpx.Response:
    ticket = browser.get(f"/sales/{sale.slug}/", headers=JSON).json()["ticket"]
    form = {"ticket": ticket, "product": skus(sale)[0]}
    return browser.post(f"/sales/{sale.slug}/buy", data=form, headers=JSON)


# --- Signing in -----------------------------------------------------------------------------------


def test_a_code_signs_in_and_leads_back_to_the_sale(
    browser: httpx.Client, server: MailServer, email: str, make_sale: MakeSale
) -> None:
    sale = make_sale(entrants="email")
    page = f"/sales/{sale.slug}/"
    assert f'href="/sign-in/?next={page}"' in browser.get(page).text
    assert buy(browser, sale).json() == {"error": "sign_in", "see": f"/sign-in/?next={page}"}
    reply = sign_in(browser, server, email, to=page)
    assert (reply.status_code, reply.url.path) == (200, page)
    assert "You are signed in, and may buy here." in reply.text
    assert buy(browser, sale).status_code == 202
    settle(sale.pk)
    assert sale.orders.get().status == Order.Status.CONFIRMED


@pytest.mark.parametrize(
    ("language", "words"), [("en", "It is valid for 10 minutes"), ("de", "Er gilt 10 Minuten lang")]
)
def test_the_mail_has_the_code_in_the_language_of_the_page(
    browser: httpx.Client, server: MailServer, email: str, language: str, words: str
) -> None:
    submit(browser, ASK, language, email=email)
    code = mailed_code(server, email)
    [mail] = server.taken
    assert mail["Auto-Submitted"] == "auto-generated"
    assert SignInCode.objects.get().pk.hex not in mail.as_string()  # the browser's own secret
    for part in parts(mail):
        assert words in part
        assert f"{code[:3]}\u00a0{code[3:]}" in part
    mailed_code(server, email)
    assert len(server.taken) == 1


def test_pages_are_in_german_too(browser: httpx.Client, email: str) -> None:
    reply = submit(browser, ASK, "de", email=email)
    assert "Gib deinen Code ein" in reply.text
    assert "ist nicht der Code" in submit(browser, CODE, "de", code="000000").text


# --- Attacks --------------------------------------------------------------------------------------


def test_codes_cannot_be_guessed(browser: httpx.Client, server: MailServer, email: str) -> None:
    submit(browser, ASK, email=email)
    right = mailed_code(server, email)
    for number in range(1, 4):
        wrong = f"{(int(right) + number) % 10**6:06}"
        assert submit(browser, CODE, code=wrong).status_code == 422
    assert browser.get(CODE).url.path == ASK  # it is to be asked for again
    token = token_of(browser, ASK)
    late = browser.post(CODE, data={"csrfmiddlewaretoken": token, "code": right})
    assert late.status_code == 422
    assert not is_signed_in(browser)


def test_a_code_of_another_browser_is_worth_nothing(
    open_browser: OpenBrowser, server: MailServer, email: str
) -> None:
    """Who sees the code on a screen, or is told it, has not asked for it."""
    anna, thief = open_browser(), open_browser()
    submit(anna, ASK, email=email)
    code = mailed_code(server, email)
    submit(thief, ASK, email=f"thief-{email}")
    assert submit(thief, CODE, code=code).status_code == 422
    assert not is_signed_in(thief)
    assert submit(anna, CODE, code=code).status_code == 200
    assert is_signed_in(anna)


def test_a_code_is_worth_nothing_for_another_address(
    browser: httpx.Client, server: MailServer, email: str
) -> None:
    submit(browser, ASK, email=f"thief-{email}")
    code = mailed_code(server, f"thief-{email}")
    submit(browser, ASK, email=email)  # its code is in another's mailbox
    assert submit(browser, CODE, code=code).status_code == 422
    assert not is_signed_in(browser)


def test_a_code_cannot_be_replayed(browser: httpx.Client, server: MailServer, email: str) -> None:
    submit(browser, ASK, email=email)
    code, asked = mailed_code(server, email), browser.cookies["sign-in"]
    assert submit(browser, CODE, code=code).status_code == 200
    assert "sign-in" not in browser.cookies
    browser.cookies.set("sign-in", asked, domain="127.0.0.1", path="/")
    token = token_of(browser, ASK)
    again = browser.post(CODE, data={"csrfmiddlewaretoken": token, "code": code})
    assert again.status_code == 422


def test_it_answers_the_same_whether_the_address_is_known_or_not(
    open_browser: OpenBrowser, server: MailServer, email: str
) -> None:
    sign_in(open_browser(), server, email)
    known, unknown = (
        submit(open_browser(), ASK, email=each) for each in (email, f"nobody-{email}")
    )
    assert (known.status_code, unknown.status_code) == (200, 200)
    without_token = [re.sub(r'value="\w{64}"', "", reply.text) for reply in (known, unknown)]
    assert without_token[0] == without_token[1]
    assert SignInCode.objects.count() == 2


def test_staff_cannot_be_signed_in_by_a_code(
    browser: httpx.Client, server: MailServer, email: str
) -> None:
    User.objects.create_superuser(email, email, "a long password")
    sign_in(browser, server, email)
    assert is_signed_in(browser)
    assert browser.get("/admin/").url.path == "/admin/login/"
    assert browser.get("/dashboard/").url.path == "/admin/login/"
    assert "sessionid" not in browser.cookies


def test_an_address_gets_some_codes_an_hour(browser: httpx.Client, email: str) -> None:
    for _ in range(5):
        assert submit(browser, ASK, email=email).status_code == 200
    refused = submit(browser, ASK, email=email.upper())
    assert refused.status_code == 429
    assert 0 < int(refused.headers["retry-after"]) <= 3600
    assert submit(browser, ASK, email=f"another-{email}").status_code == 200


def test_all_spellings_of_a_mailbox_share_its_codes(browser: httpx.Client) -> None:
    """A code for one of them signs in whoever has the mailbox."""
    local = f"anna{uuid4().hex[:12]}"
    for tag in range(5):
        assert submit(browser, ASK, email=f"{local}+{tag}@gmail.com").status_code == 200
    assert submit(browser, ASK, email=f"a.{local[1:]}@gmail.com").status_code == 429


def test_a_client_may_type_some_wrong_codes_an_hour(browser: httpx.Client, email: str) -> None:
    submit(browser, ASK, email=email)
    token = token_of(browser, CODE)
    form = {"csrfmiddlewaretoken": token, "code": "000000"}
    statuses = [browser.post(CODE, data=form).status_code for _ in range(62)]
    assert statuses[:60] == [422] * 60
    assert statuses[61] == 429


def test_a_form_from_elsewhere_is_refused(browser: httpx.Client, email: str) -> None:
    for page, form in ((ASK, {"email": email}), (CODE, {"code": "123456"}), ("/sign-out/", {})):
        assert browser.post(page, data=form).status_code == 403
    assert SignInCode.objects.count() == 0


@pytest.mark.parametrize(
    "to",
    ["https://evil.example/", "//evil.example/", "/admin/", "/sales/x/\r\nX: y", "javascript:1"],
)
def test_it_leads_to_no_other_page(
    browser: httpx.Client, server: MailServer, email: str, to: str
) -> None:
    submit(browser, ASK, email=email, next=to)
    reply = submit(browser, CODE, code=mailed_code(server, email), next=to)
    assert str(reply.url).removeprefix(str(browser.base_url)) in ("/", "")


@pytest.mark.parametrize("address", ["", "anna", "a@b.example\nBcc: all@b.example"])
def test_what_is_no_address_is_asked_for_again(browser: httpx.Client, address: str) -> None:
    assert submit(browser, ASK, email=address).status_code == 422
    assert SignInCode.objects.count() == 0


@pytest.mark.parametrize(
    "code", ["", "12345", "1234567", "abcdef", "\uff11\uff12\uff13\uff14\uff15\uff16"]
)
def test_what_is_no_code_counts_as_no_try(browser: httpx.Client, email: str, code: str) -> None:
    submit(browser, ASK, email=email)
    reply = submit(browser, CODE, code=code)
    assert reply.status_code == 422
    assert "six digits" in reply.text
    assert SignInCode.objects.get().tries == 0


@pytest.mark.parametrize("domain", ["mail.example", "a.b.Throwaway.example"])
def test_addresses_that_last_for_a_moment_are_refused(browser: httpx.Client, domain: str) -> None:
    reply = submit(browser, ASK, email=f"anna@{domain}")
    assert reply.status_code == 422
    assert "Please use a lasting one" in reply.text
    assert submit(browser, ASK, email="anna@notmail.example").status_code == 200


# --- One person -----------------------------------------------------------------------------------


def test_what_a_guest_has_bought_stays_theirs(
    browser: httpx.Client, server: MailServer, email: str, make_sale: MakeSale
) -> None:
    sale = make_sale(limit=1)
    purchase = buy(browser, sale).json()["purchase"]
    settle(sale.pk)
    guest = id_of(browser)
    assert purchase in sign_in(browser, server, email).text
    assert id_of(browser) == guest
    assert buy(browser, sale).json()["reason"] == "limit"


def test_a_second_device_shows_the_orders_of_both(
    open_browser: OpenBrowser, server: MailServer, email: str, make_sale: MakeSale
) -> None:
    sale = make_sale(limit=1)
    phone, laptop = open_browser(), open_browser()
    purchases = [buy(browser, sale).json()["purchase"] for browser in (phone, laptop)]
    settle(sale.pk)
    sign_in(phone, server, email)
    for purchase in purchases:  # the laptop's is still its own
        assert (purchase in phone.get("/orders/").text) == (purchase == purchases[0])
    sign_in(laptop, server, email)
    assert id_of(laptop) == id_of(phone)
    for browser in (laptop, phone):
        listed = browser.get("/orders/").text
        sold = browser.get(f"/sales/{sale.slug}/").text
        for purchase in purchases:
            assert purchase in listed
            assert purchase in sold
            assert browser.get(f"/orders/{purchase}/", headers=JSON).status_code == 200
    # One person: what the sale allows is used up on both.
    assert [buy(each, sale).json()["reason"] for each in (phone, laptop)] == ["limit", "limit"]


def test_a_code_that_bought_for_a_guest_buys_no_more_after_signing_in(
    open_browser: OpenBrowser, server: MailServer, email: str, make_sale: MakeSale
) -> None:
    sale = make_sale(limit=1, entrants="code")
    [code] = access_codes.generate(1, [sale.pk])
    phone, laptop = open_browser(), open_browser()
    sign_in(phone, server, email)
    submit(laptop, f"/sales/{sale.slug}/code/", code=code)
    assert buy(laptop, sale).status_code == 202
    settle(sale.pk)
    sign_in(laptop, server, email)  # it has the phone's id now
    assert buy(laptop, sale).json()["error"] == "no_code"
    submit(laptop, f"/sales/{sale.slug}/code/", code=code)
    purchase = buy(laptop, sale).json()["purchase"]
    settle(sale.pk)
    decided = laptop.get(f"/orders/{purchase}/", headers=JSON).json()
    assert (decided["status"], decided["reason"]) == ("rejected", "limit")


def test_a_hold_of_the_second_device_is_given_back_on_it(
    open_browser: OpenBrowser, server: MailServer, email: str, make_sale: MakeSale
) -> None:
    sale = make_sale(hold=10)
    phone, laptop = open_browser(), open_browser()
    sign_in(phone, server, email)
    purchase = buy(laptop, sale).json()["purchase"]
    settle(sale.pk)
    sign_in(laptop, server, email)
    page = laptop.get(f"/orders/{purchase}/").text
    assert laptop.get(f"/orders/{purchase}/checkout/").status_code == 200
    [ticket] = re.findall(r'give-back.*?name="ticket" value="([^"]+)"', page, re.S)
    given = laptop.post(f"/orders/{purchase}/give-back", data={"ticket": ticket}, headers=JSON)
    assert given.json()["status"] == "cancelled"


def test_somebody_elses_id_brings_nothing(
    open_browser: OpenBrowser, server: MailServer, email: str, make_sale: MakeSale
) -> None:
    """Two people share a browser, one after the other."""
    sale = make_sale()
    browser = open_browser()
    purchase = buy(browser, sale).json()["purchase"]
    settle(sale.pk)
    sign_in(browser, server, email)
    sign_in(browser, server, f"ben-{email}")
    assert is_signed_in(browser)
    assert purchase not in browser.get("/orders/").text
    assert browser.get(f"/orders/{purchase}/", headers=JSON).status_code == 404


def test_signing_out_leaves_nothing_in_the_browser(
    browser: httpx.Client, server: MailServer, email: str, make_sale: MakeSale
) -> None:
    sale = make_sale(entrants="email")
    sign_in(browser, server, email, to=f"/sales/{sale.slug}/")
    purchase = buy(browser, sale).json()["purchase"]
    settle(sale.pk)
    before = id_of(browser)
    assert before
    value = shoppers.cookie_value(before)[:44]
    out = browser.post("/sign-out/", data={"csrfmiddlewaretoken": token_of(browser, ASK)})
    assert out.status_code == 200
    assert not is_signed_in(browser)
    assert id_of(browser) not in (None, before)
    assert not [cookie for cookie in browser.cookies.jar if value in str(cookie.value)]
    assert browser.get(f"/orders/{purchase}/", headers=JSON).status_code == 404
    assert buy(browser, sale).json()["error"] == "sign_in"
    assert purchase in sign_in(browser, server, email).text


def test_signing_in_and_out_again_does_not_crowd_out_earlier_orders(
    open_browser: OpenBrowser, server: MailServer, email: str, make_sale: MakeSale
) -> None:
    sale = make_sale()
    sign_in(open_browser(), server, email)
    laptop = open_browser()
    purchase = buy(laptop, sale).json()["purchase"]
    settle(sale.pk)
    sign_in(laptop, server, email)
    present = id_of(laptop)
    assert present
    for _ in range(5):  # what five times out and in leaves
        person = KnownShopper.objects.get(shopper=present).person
        KnownShopper.objects.create(shopper=uuid4(), person=person, current=False)
    laptop.get("/orders/")
    assert laptop.get(f"/orders/{purchase}/", headers=JSON).status_code == 200


# --- Elsewhere ------------------------------------------------------------------------------------


def test_the_address_is_nowhere_but_in_its_row(
    browser: httpx.Client, server: MailServer, email: str
) -> None:
    sign_in(browser, server, email)
    with connection.cursor() as cursor:
        for table in ("accounts_person", "accounts_knownshopper", "accounts_signincode"):
            cursor.execute(f"SELECT t::text FROM {table} t")  # noqa: S608  # constants
            assert not [row for (row,) in cursor.fetchall() if email in row]


def test_the_pages_are_for_one_person(browser: httpx.Client, email: str) -> None:
    for reply in (browser.get(ASK), submit(browser, ASK, email=email)):
        assert "no-store" in reply.headers["cache-control"]
        assert reply.headers["x-robots-tag"] == "noindex"
        assert "unsafe" not in reply.headers["content-security-policy"]
    assert 'href="/sign-in/?next=/orders/"' in browser.get("/orders/").text


def test_without_a_mail_server_the_page_says_so(email: str, settings: Settings) -> None:
    settings.MAIL_IS_SENT = False
    assert "does not send mail yet" in Client().get(ASK).content.decode()
    assert Client().post(ASK, {"email": email}).status_code == 503


def test_without_the_cache_nobody_signs_in(email: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: object, **__: object) -> None:
        raise OSError

    monkeypatch.setattr("flashsale.form_limits.get_usage", away)
    for page, form in ((ASK, {"email": email}), (CODE, {"code": "123456"})):
        answer = async_to_sync(AsyncClient().post)(page, form)
        assert (answer.status_code, answer["Retry-After"]) == (503, "2")


def test_over_https_the_cookies_are_pinned_to_the_host(email: str) -> None:
    cache.clear()
    browser = AsyncClient()
    post = async_to_sync(browser.post)
    asked = post(ASK, {"email": email}, secure=True).cookies["__Host-sign-in"]
    code = Mail(UUID(asked.value), email, "en").code
    cookies = post(CODE, {"code": code}, secure=True).cookies
    for cookie in (asked, cookies["__Host-shopper"], cookies["__Host-verified"]):
        assert (cookie["path"], cookie["domain"], cookie["samesite"]) == ("/", "", "Lax")
        assert (cookie["secure"], cookie["httponly"]) == (True, True)
        assert '"' not in cookie.OutputString()
    values = {name: cookie.value for name, cookie in cookies.items()}
    assert len(proofs.own_shoppers(values, secure=True)) == 1
    assert proofs.former_in(values, proofs.own_shoppers(values, secure=True)[0], secure=True) == ()
