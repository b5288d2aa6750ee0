"""`/orders/find/`: an address gets the links of its orders, and the page says nothing about them."""

import re
from collections.abc import Iterator

import httpx
import pytest
from django.core.cache import cache
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from accounts import contacts
from mail import finding
from mail.models import FindRequest
from mail.tests.conftest import MakeOrder, send
from mail.tests.smtp_server import MailServer
from mail.tests.test_sending import parts
from orders.models import OutboxRow
from orders.order_links import link_to
from tests import deadlines
from tests.stack import Web

PAGE = "/orders/find/"


@pytest.fixture(scope="module")
def web() -> Iterator[Web]:
    with Web.running() as web:
        yield web


@pytest.fixture
def browser(web: Web) -> Iterator[httpx.Client]:
    cache.clear()  # of the counts of other tests
    FindRequest.objects.all().delete()
    with httpx.Client(base_url=web.url, timeout=deadlines.seconds(15)) as browser:
        yield browser


def ask(browser: httpx.Client, email: str, language: str = "en") -> httpx.Response:
    headers = {"Accept": "text/html", "Accept-Language": language}
    [token] = re.findall(
        r'name="csrfmiddlewaretoken" value="(\w+)"', browser.get(PAGE, headers=headers).text
    )
    form = {"csrfmiddlewaretoken": token, "email": email}
    return browser.post(PAGE, data=form, headers=headers, follow_redirects=True)


def without_token(reply: httpx.Response) -> str:
    return re.sub(r'value="\w{64}"', "", reply.text)


def test_the_address_gets_the_links_of_its_orders(
    browser: httpx.Client, make_order: MakeOrder, server: MailServer
) -> None:
    first, second, other = make_order(), make_order(), make_order("ben@b.example")
    reply = ask(browser, " Anna@Shop.example ")
    assert reply.url.path == PAGE
    assert "is on its way" in reply.text
    send()
    [mail] = server.taken
    assert mail["To"] == "anna@shop.example"
    for part in parts(mail):
        assert link_to(first.pk) in part
        assert link_to(second.pk) in part
        assert link_to(other.pk) not in part


def test_it_answers_the_same_without_orders_and_mails_nothing(
    browser: httpx.Client, make_order: MakeOrder, server: MailServer
) -> None:
    make_order("ben@b.example")
    known, unknown = ask(browser, "ben@b.example"), ask(browser, "nobody@b.example")
    assert known.status_code == unknown.status_code == 200
    assert without_token(known) == without_token(unknown)
    send()
    assert [mail["To"] for mail in server.taken] == ["ben@b.example"]
    assert FindRequest.objects.count() == 0


def test_it_does_the_same_work_whether_there_are_orders_or_not(make_order: MakeOrder) -> None:
    make_order("cem@c.example")
    work = []
    for address in ("cem@c.example", "nobody@c.example"):
        with CaptureQueriesContext(connection) as queries:
            finding.ask_for_links(address, "en")
        work.append([query["sql"].split()[0] for query in queries.captured_queries])
    assert work[0] == work[1] == ["SELECT", "INSERT"]
    FindRequest.objects.all().delete()


def test_no_address_is_kept(make_order: MakeOrder) -> None:
    order = make_order("dora@d.example")
    finding.ask_for_links("dora@d.example", "en")
    with connection.cursor() as cursor:
        cursor.execute("SELECT r::text FROM mail_findrequest r")
        assert not [row for (row,) in cursor.fetchall() if "dora" in row]
    finding.tell_found()
    row = OutboxRow.objects.get(order=order, event="found")
    assert "dora" not in row.detail


def test_the_mail_is_in_the_language_of_the_page(
    browser: httpx.Client, make_order: MakeOrder, server: MailServer
) -> None:
    make_order("eva@e.example", language="en")
    assert "ist eine Mail mit ihren Links unterwegs" in ask(browser, "eva@e.example", "de").text
    send()
    assert server.taken[0]["Subject"] == "Deine Bestellungen"
    text, html = parts(server.taken[0])
    assert "mit deiner E-Mail-Adresse:" in text
    assert "mit deiner E\u2011Mail-Adresse:" in html  # no line breaks after the E


def test_an_erased_contact_is_not_found(
    browser: httpx.Client, make_order: MakeOrder, server: MailServer
) -> None:
    order = make_order("finn@f.example")
    ask(browser, "finn@f.example")
    with transaction.atomic():
        contacts.erase([order.pk])
    ask(browser, "finn@f.example")
    send()
    assert server.taken == []


@pytest.mark.parametrize("address", ["", "anna", "anna@", "a@b.example\nBcc: all@b.example"])
def test_what_is_no_address_is_asked_for_again(browser: httpx.Client, address: str) -> None:
    reply = ask(browser, address)
    assert reply.status_code == 422
    assert 'aria-invalid="true"' in reply.text
    assert FindRequest.objects.count() == 0


def test_too_many_questions_about_one_address_are_refused(browser: httpx.Client) -> None:
    for _ in range(3):
        assert ask(browser, "gil@g.example").status_code == 200
    refused = ask(browser, "GIL@g.example")
    assert refused.status_code == 429
    assert 0 < int(refused.headers["retry-after"]) <= 3600
    assert ask(browser, "another@g.example").status_code == 200


def test_too_many_questions_of_one_client_are_refused(browser: httpx.Client) -> None:
    for number in range(20):
        assert ask(browser, f"{number}@h.example").status_code == 200
    assert ask(browser, "21@h.example").status_code == 429


def test_a_form_from_elsewhere_is_refused(browser: httpx.Client) -> None:
    assert browser.post(PAGE, data={"email": "a@b.example"}).status_code == 403
    assert FindRequest.objects.count() == 0


def test_the_page_is_for_one_person_and_found_from_the_others(browser: httpx.Client) -> None:
    reply = browser.get(PAGE)
    assert "no-store" in reply.headers["cache-control"]
    assert reply.headers["x-robots-tag"] == "noindex"
    assert browser.get("/orders/find", follow_redirects=True).url.path == PAGE
    html = {"Accept": "text/html"}
    assert f'href="{PAGE}"' in browser.get("/orders/", headers=html).text
    assert f'href="{PAGE}"' in browser.get("/orders/no-order/", headers=html).text
