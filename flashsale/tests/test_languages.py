"""Shoppers read the shop in their browser's language; English is the fallback."""

from collections.abc import Iterator
from datetime import UTC, datetime

import httpx
import pytest
from django.utils import timezone
from websockets import Origin
from websockets.sync.client import ClientConnection, connect

from conftest import MakeSale
from tests import deadlines, stack
from tests.cast import HTMX, Shopper

SOON = 10.0  # seconds


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with stack.Web.running(RATE_PER_SHOPPER="0") as web, stack.worker():
        yield web.url


def page(url: str, path: str, language: str) -> str:
    return httpx.get(
        url + path, headers={"Accept-Language": language}, timeout=deadlines.seconds(15)
    ).text


def test_a_sale_is_read_in_german(url: str, make_sale: MakeSale) -> None:
    html = page(url, f"/sales/{make_sale(stock=10, limit=2).slug}/", "de-AT,de;q=0.9,en;q=0.5")
    assert '<html lang="de">' in html
    assert "Noch 10" in html
    assert "129,00\N{NO-BREAK SPACE}€" in html
    assert "Höchstens 2 pro Person" in html


def test_an_opening_is_dated_in_german(url: str, make_sale: MakeSale) -> None:
    opening = datetime(2031, 5, 21, 12, 30, tzinfo=UTC)
    wait = (opening - timezone.now()).total_seconds()
    sale = make_sale(opens_in=wait, closes_in=wait + 3600)
    assert "Öffnet am 21. Mai 2031, 12:30 Uhr (UTC)" in page(url, f"/sales/{sale.slug}/", "de")
    assert "Opens 21 May 2031, 12:30 (UTC)" in page(url, f"/sales/{sale.slug}/", "en")


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/", "Aktionen"),
        ("/orders/", "Deine Bestellungen"),
        ("/sales/nothing/", "Diese Aktion gibt es nicht"),
        ("/nothing/", "Hier ist nichts"),
    ],
)
def test_the_other_pages_are_read_in_german(path: str, words: str, url: str) -> None:
    html = page(url, path, "de")
    assert '<html lang="de">' in html
    assert words in html


@pytest.mark.parametrize("language", ["tlh", "pt-BR,xx;q=0.3", "*", ""])
def test_who_speaks_none_of_our_languages_reads_english(
    language: str, url: str, make_sale: MakeSale
) -> None:
    for path in (f"/sales/{make_sale(stock=10).slug}/", "/orders/"):
        html = page(url, path, language)
        assert '<html lang="en">' in html
        assert "Your orders" in html


def test_a_click_is_answered_in_german(url: str, make_sale: MakeSale) -> None:
    german = {**HTMX, "Accept-Language": "de"}
    answer = Shopper(url).buy(make_sale(), headers=german)
    assert "Du stehst in der Schlange." in answer.text


def live(url: str, slug: str, shopper: Shopper, language: str) -> ClientConnection:
    """The socket of an open page, which sends the header that its page was asked for with."""
    cookie = "; ".join(f"{name}={value}" for name, value in shopper.client.cookies.items())
    return connect(
        f"ws{url.removeprefix('http')}/ws/sales/{slug}/",
        origin=Origin(url),
        additional_headers={"Cookie": cookie, "Accept-Language": language},
        proxy=None,
        legacy=True,  # a connection, not a manager of one
    )


def heard(page: ClientConnection, words: str) -> bool:
    while words not in str(page.recv(SOON)):
        pass
    return True


def test_a_page_is_kept_up_to_date_in_its_own_language(url: str, make_sale: MakeSale) -> None:
    sale, ada = make_sale(stock=10), Shopper(url)
    ticket = ada.ticket(sale)
    with live(url, sale.slug, ada, "de") as german, live(url, sale.slug, ada, "en") as english:
        assert "Noch 10" in str(german.recv(SOON))
        assert "10 left" in str(english.recv(SOON))
        ada.buy(sale, ticket)
        assert heard(german, "Gesichert!")
        assert heard(english, "Secured!")
