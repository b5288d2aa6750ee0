"""How the express lane reads a request."""

import asyncio
from collections.abc import Iterable
from typing import Any

import pytest
from pytest_django import Settings

from flashsale.http.request import BodyTooLarge, Request
from flashsale.http.shoppers import cookie_value, new_shopper


def request(*headers: tuple[str, str], peer: str = "192.0.2.1", scheme: str = "http") -> Request:
    raw = [(name.encode(), value.encode("latin-1")) for name, value in headers]
    return Request({"path": "/", "headers": raw, "client": (peer, 1), "scheme": scheme})


def forwarded(*lines: str, peer: str = "192.0.2.1") -> str:
    return request(*(("x-forwarded-for", line) for line in lines), peer=peer).address


# --- Addresses ------------------------------------------------------------------------------------


def test_without_a_proxy_the_peer_counts_whatever_it_says() -> None:
    assert forwarded("203.0.113.7", peer="192.0.2.1") == "192.0.2.1"


@pytest.mark.parametrize(
    ("proxies", "lines", "counted"),
    [
        (1, ["203.0.113.7"], "203.0.113.7"),
        (1, ["198.51.100.1, 203.0.113.7"], "203.0.113.7"),
        (1, ["198.51.100.1", "203.0.113.7"], "203.0.113.7"),
        (2, ["198.51.100.1, 203.0.113.7, 10.0.0.1"], "203.0.113.7"),
        (2, ["198.51.100.1, 203.0.113.7", "10.0.0.1"], "203.0.113.7"),
        (2, ["203.0.113.7"], "203.0.113.7"),
        (1, [], "192.0.2.1"),
        (1, ["203.0.113.7, "], "192.0.2.1"),
        (1, ["203.0.113.7, nonsense"], "unknown"),
    ],
)
def test_what_the_last_trusted_proxy_saw_counts(
    proxies: int, lines: list[str], counted: str, settings: Settings
) -> None:
    settings.TRUSTED_PROXIES = proxies
    assert forwarded(*lines) == counted


@pytest.mark.parametrize(
    ("peer", "counted"),
    [
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ("2001:db8:1:2::", "2001:db8:1:2::"),
        ("2001:db8:1:3::", "2001:db8:1:3::"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("::1", "::"),
        ("fe80::1%eth0", "fe80::"),
        ("203.0.113.7:80", "203.0.113.7"),
        ("[2001:db8:1:2::3]:443", "2001:db8:1:2::"),
        ("[2001:db8:1:2::3]", "2001:db8:1:2::"),
        ("203.0.113.7:http", "unknown"),
        ("203.0.113.7:80:80", "unknown"),
        ("[203.0.113.7", "unknown"),
        ("", "unknown"),
    ],
)
def test_a_customer_of_a_provider_counts_once(peer: str, counted: str) -> None:
    assert request(peer=peer).address == counted


# --- Hosts and HTTPS ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "host", ["shop.example", "shop.example:8443", "SHOP.example", "a.sub.example"]
)
def test_our_own_hosts_are_ours(host: str, settings: Settings) -> None:
    settings.ALLOWED_HOSTS = ["shop.example", ".sub.example"]
    assert request(("host", host)).host_allowed


@pytest.mark.parametrize(
    "host", ["", "other.example", "shop.example.evil", "shop.example/", "a b", "*"]
)
def test_no_other_host_is_ours(host: str, settings: Settings) -> None:
    settings.ALLOWED_HOSTS = ["shop.example"]
    assert not request(("host", host)).host_allowed


def test_two_hosts_are_none(settings: Settings) -> None:
    settings.ALLOWED_HOSTS = ["shop.example"]
    assert not request(("host", "shop.example"), ("host", "shop.example")).host_allowed


LOOPBACK = [
    "localhost",
    "localhost:8000",
    "shop.localhost",
    "127.0.0.1:80",
    "127.8.9.1",
    "[::1]:80",
]


@pytest.mark.parametrize("host", LOOPBACK)
def test_what_does_not_leave_the_machine_needs_no_https(host: str) -> None:
    assert request(("host", host)).trustworthy


ELSEWHERE = [
    "shop.example",
    "192.168.0.7",
    "[2001:db8::1]",
    "localhost.example",
    "127.0.0.1.example",
]


@pytest.mark.parametrize("host", ELSEWHERE)
def test_everything_else_does(host: str) -> None:
    assert not request(("host", host)).trustworthy
    assert request(("host", host), scheme="https").trustworthy


@pytest.mark.parametrize(
    ("said", "secure"),
    [
        ("https", True),
        ("HTTPS", True),
        ("Https, http", True),
        ("wss", True),
        ("http", False),
        ("http, https", False),
        ("", False),
    ],
)
def test_a_trusted_proxy_says_whether_the_browser_speaks_https(
    said: str, secure: bool, settings: Settings
) -> None:
    settings.TRUSTED_PROXIES = 1
    assert request(("x-forwarded-proto", said)).secure is secure


def test_other_proxies_are_not_trusted() -> None:
    assert not request(("x-forwarded-proto", "https")).secure


# --- Language and shape ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("accepted", "language"),
    [
        ("de", "de"),
        ("de-AT,en;q=0.5", "de"),
        ("en;q=0.1, de;q=0.9", "de"),
        ("fr, de;q=0.5", "de"),
        ("fr", "en"),
        ("*", "en"),
        ("", "en"),
        ("de;q=nonsense", "en"),
        ("DE-at", "de"),
        ("de;q=0", "en"),
        ("de;q=0, *", "en"),
        ("en;q=0, *", "de"),
        ("en;q=0.0, fr", "de"),
        ("en;q=0, de;q=0", "en"),
        ("de" + ", fr" * 500, "de"),
        ("x" * 9000, "en"),
    ],
)
def test_a_shopper_reads_the_best_language_that_there_is(
    accepted: str, language: str, settings: Settings
) -> None:
    settings.LANGUAGES = [("en", "English"), ("de", "Deutsch")]
    assert request(("accept-language", accepted)).language == language


@pytest.mark.parametrize(
    ("accept", "json"),
    [
        ("application/json", True),
        ("text/html, application/json", False),
        ("*/*", False),
        ("", False),
    ],
)
def test_who_asks_for_json_alone_gets_json(accept: str, json: bool) -> None:
    assert request(("accept", accept)).wants_json is json


def test_cookies_in_lines_of_their_own_are_one_list() -> None:
    ada = new_shopper()
    ours = ("cookie", f"shopper={cookie_value(ada)}")
    other = ("cookie", "theme=dark; consent=all")
    for lines in ([ours, other], [other, ours], [other, ours, other]):
        assert request(("host", "localhost"), *lines).shopper == ada


# --- Other sites ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("header", "foreign"),
    [
        (("sec-fetch-site", "cross-site"), True),
        (("sec-fetch-site", "same-origin"), False),
        (("origin", "http://shop.example:8000"), False),
        (("origin", "https://shop.example:8000"), True),
        (("origin", "http://shop.example"), True),
        (("origin", "null"), True),
    ],
)
def test_a_page_of_another_site_is_foreign(header: tuple[str, str], foreign: bool) -> None:
    assert request(("host", "shop.example:8000"), header).foreign is foreign


# --- Bodies ---------------------------------------------------------------------------------------


def read(most: int, pieces: Iterable[bytes], *headers: tuple[bytes, bytes]) -> tuple[bytes, int]:
    """The body that comes in these pieces, and how many of them were taken."""
    messages: list[dict[str, Any]] = [
        {"type": "http.request", "body": piece, "more_body": True} for piece in pieces
    ]
    messages[-1]["more_body"] = False
    taken = 0

    async def receive() -> dict[str, Any]:
        nonlocal taken
        taken += 1
        return messages[taken - 1]

    scope = {"path": "/", "headers": list(headers)}
    try:
        return asyncio.run(Request(scope, receive).body(most)), taken
    except BodyTooLarge:
        return b"too large", taken


def test_a_body_is_put_together() -> None:
    assert read(6, [b"ab", b"", b"cdef"]) == (b"abcdef", 3)


def test_a_body_is_not_read_further_than_it_may_be_long() -> None:
    assert read(3, [b"ab", b"cd", b"ef"]) == (b"too large", 2)


def test_a_body_that_says_it_is_too_long_is_not_read() -> None:
    assert read(3, [b"ab"], (b"content-length", b"4")) == (b"too large", 0)
