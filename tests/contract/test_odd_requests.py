"""Requests that no browser makes: an answer at once, and the server lives on."""

import socket
from collections.abc import Callable
from urllib.parse import urlsplit

import httpx
import pytest

from conftest import MakeSale
from tests import deadlines
from tests.cast import JSON, Shopper, skus
from tests.contract.conftest import Web
from tests.contract.shapes import waiting

HEAD = "GET /sales/{slug}/ HTTP/1.1\r\nAccept: application/json\r\nConnection: close\r\n"


def talk(web: Web, *sent: bytes) -> bytes:
    """The start of what the server says to these bytes."""
    parts = urlsplit(web.url)
    with socket.create_connection(
        (parts.hostname, parts.port), timeout=deadlines.seconds(5)
    ) as connection:
        for piece in sent:
            connection.sendall(piece)
        with connection.makefile("rb") as said:
            return said.readline()


def each(shopper: Shopper, path: str, name: str, values: list[str]) -> list[httpx.Response]:
    """The answers to a GET with each of these values in a header, as raw as they come."""
    page = (b"accept", b"text/html")
    return [
        shopper.client.get(path, headers=[page, (name.encode(), value.encode())])
        for value in values
    ]


HOSTS = ["evil.example", "", "a b", "[::", "127.0.0.1.evil.example", "@", "é"]


def test_a_host_that_is_not_ours_gets_nothing(shopper: Shopper, make_sale: MakeSale) -> None:
    for reply in each(shopper, f"/sales/{make_sale().slug}/", "host", HOSTS):
        assert (reply.status_code, reply.text) == (400, "Bad host\n")
        assert "set-cookie" not in reply.headers


@pytest.mark.parametrize("host", ["", "Host: evil.example\r\nHost: 127.0.0.1\r\n"])
def test_no_host_or_two_get_nothing(host: str, web: Web, make_sale: MakeSale) -> None:
    request = HEAD.format(slug=make_sale().slug) + host + "\r\n"
    assert talk(web, request.encode()).startswith(b"HTTP/1.1 400")


COOKIES = [
    "=",
    ";;;",
    "shopper",
    'shopper="',
    "shopper=;shopper=",
    "a=" + "b" * 60_000,
    "é=ü",
    "[]",
]


def test_whom_no_cookie_names_gets_a_new_one(shopper: Shopper, make_sale: MakeSale) -> None:
    for reply in each(shopper, f"/sales/{make_sale().slug}/", "cookie", COOKIES):
        assert (reply.status_code, "shopper=" in reply.headers["set-cookie"]) == (200, True)


def test_another_programs_odd_cookie_does_not_make_a_stranger_of_a_shopper(
    shopper: Shopper, make_sale: MakeSale
) -> None:
    sale = make_sale()
    purchase = shopper.buy(sale).json()["purchase"]
    ours = f"shopper={shopper.client.cookies.pop('shopper')}"
    odd = ['prefs={"a": [1, 2]}', "a b=c d", "=x", 'broken="', "é=ü", ";;", "shopper"]
    beside = [cookie for other in odd for cookie in (f"{other}; {ours}", f"{ours}; {other}")]
    for reply in each(shopper, f"/orders/{purchase}/", "cookie", beside):
        assert reply.status_code == 200


LANGUAGES = ["xx", "*", ";;q=", "e" * 5000, "de;q=9" + ",x" * 3000, "é", "en-" + "x-" * 300]


def test_whatever_language_is_asked_for_there_is_a_page(
    shopper: Shopper, make_sale: MakeSale
) -> None:
    for reply in each(shopper, f"/sales/{make_sale().slug}/", "accept-language", LANGUAGES):
        assert (reply.status_code, '<html lang="en"' in reply.text) == (200, True)


ADDRESSES = ["", ",", "nonsense", "1.2.3.4:80", "::ffff:1.2.3.4", "x" * 9000, "é", "fe80::1%eth0"]


def test_whatever_a_proxy_says_of_an_address_there_is_an_answer(
    proxied: Web, new_shopper: Callable[[Web], Shopper], make_sale: MakeSale
) -> None:
    sale = make_sale(stock=100)
    for address in ADDRESSES:
        shopper = new_shopper(proxied)
        shopper.client.headers = httpx.Headers([(b"x-forwarded-for", address.encode())])
        assert shopper.buy(sale).status_code in (202, 429)


PATHS = [
    "/sales//",
    "/sales/%00/",
    "/sales/é/",
    f"/sales/{'x' * 61}/",
    "/orders/1/2/",
]


def test_an_address_that_is_none_is_not_found(shopper: Shopper) -> None:
    for path in PATHS:
        reply = shopper.client.get(path, headers=JSON)
        assert (reply.status_code, reply.json()) == (404, {"error": "not_found"})


NOISE = [b"\0" * 1000, b"GET\r\n\r\n", b"\x16\x03\x01\x02\x00", b"POST / X\r\n\r\n"]


def test_what_is_not_http_is_a_bad_request(web: Web) -> None:
    for sent in NOISE:
        assert talk(web, sent).startswith(b"HTTP/1.1 400")


def test_half_a_form_from_a_browser_that_hung_up_buys_nothing(
    shopper: Shopper, web: Web, make_sale: MakeSale
) -> None:
    sale = make_sale(limit=20)
    form = f"product={skus(sale)[0]}&ticket={shopper.ticket(sale)}&quantity=1"  # of 12
    parts = urlsplit(web.url)
    head = [
        f"POST /sales/{sale.slug}/buy HTTP/1.1",
        f"Host: {parts.netloc}",
        f"Cookie: shopper={shopper.client.cookies['shopper']}",
        "Content-Type: application/x-www-form-urlencoded",
        f"Content-Length: {len(form) + 1}",
    ]
    with socket.create_connection((parts.hostname, parts.port)) as connection:
        connection.sendall("\r\n".join([*head, "", form]).encode())
    assert shopper.buy(sale).status_code == 202  # the server has come past it
    assert waiting(sale) == 1
