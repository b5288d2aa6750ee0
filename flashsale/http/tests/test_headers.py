"""A header means the same in each of the spellings that its grammar allows."""

import pytest
from pytest_django import Settings

from flashsale.http.headers import canonical_host, canonical_origin, is_trusted, prefers_json
from flashsale.http.request import Request, spell_for_django

# --- Hosts and origins ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("shop.example", "shop.example"),
        ("SHOP.Example", "shop.example"),
        ("shop.example.", "shop.example"),
        ("shop.example.:80", "shop.example"),
        ("shop.example:80", "shop.example"),
        ("shop.example:", "shop.example"),
        ("shop.example::", "shop.example::"),
        ("shop.example:8000", "shop.example:8000"),
        ("shop.example:443", "shop.example:443"),
        ("[::1]:80", "[::1]"),
        ("[::1]:", "[::1]"),
        ("[::1]:8000", "[::1]:8000"),
        ("a b", "a b"),
        ("", ""),
    ],
)
def test_a_host_is_spelt_as_browsers_do(written: str, meant: str) -> None:
    assert canonical_host(written, "80") == meant


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("HTTP://Shop.example:80", "http://shop.example"),
        ("https://shop.example:443", "https://shop.example"),
        ("https://shop.example.", "https://shop.example"),
        ("https://shop.example:80", "https://shop.example:80"),
        ("null", "null"),
        ("", ""),
        ("file://", "file://"),
        ("http://[::", "http://[::"),
        ("http://a@shop.example", "http://a@shop.example"),
    ],
)
def test_an_origin_is_spelt_as_browsers_do(written: str, meant: str) -> None:
    assert canonical_origin(written) == meant


def request(host: str, *headers: tuple[str, str], scheme: str = "http") -> Request:
    raw = [(name.encode(), value.encode()) for name, value in (("host", host), *headers)]
    return Request({"path": "/", "headers": raw, "client": ("192.0.2.1", 1), "scheme": scheme})


OWN = [
    ("http", "shop.example:80", "http://shop.example"),
    ("http", "shop.example", "http://shop.example:80"),
    ("http", "SHOP.example", "http://shop.example"),
    ("http", "shop.example", "HTTP://SHOP.EXAMPLE"),
    ("http", "shop.example.", "http://shop.example"),
    ("http", "shop.example:8000", "http://shop.example:8000"),
    ("https", "shop.example:443", "https://shop.example"),
    ("https", "shop.example:80", "https://shop.example"),  # of a proxy behind the one that ends TLS
    ("http", "[::1]:80", "http://[::1]"),
]


@pytest.mark.parametrize(("scheme", "host", "origin"), OWN)
def test_a_page_of_the_shop_is_its_own_however_proxies_spell_the_host(
    scheme: str, host: str, origin: str
) -> None:
    assert not request(host, ("origin", origin), scheme=scheme).foreign


OTHERS = [
    ("http", "shop.example:80", "http://evil.example"),
    ("http", "shop.example:80", "https://shop.example"),
    ("http", "shop.example:8000", "http://shop.example"),
    ("http", "shop.example", "http://shop.example:443"),
    ("https", "shop.example", "https://shop.example:80"),
    ("https", "shop.example", "https://shop.example:8443"),
    ("http", "shop.example", "http://shop.example.evil.example"),
    ("http", "shop.example", "http://shop.example:80, http://evil.example"),
]


@pytest.mark.parametrize(("scheme", "host", "origin"), OTHERS)
def test_another_site_stays_another(scheme: str, host: str, origin: str) -> None:
    assert request(host, ("origin", origin), scheme=scheme).foreign


def test_our_own_origin_does_not_outweigh_that_the_browser_says_cross_site() -> None:
    cross = (("origin", "http://shop.example"), ("sec-fetch-site", "cross-site"))
    assert request("shop.example", *cross).foreign


TRUSTED = ["https://shop.example", "https://*.brand.example", "http://old.example:8080"]


@pytest.mark.parametrize(
    "origin",
    [
        "https://shop.example",
        "HTTPS://Shop.Example:443",
        "https://www.brand.example",
        "https://brand.example",
        "http://old.example:8080",
    ],
)
def test_a_trusted_origin_may_send_clicks_and_open_sockets(origin: str, settings: Settings) -> None:
    settings.CSRF_TRUSTED_ORIGINS = TRUSTED
    settings.ALLOWED_HOSTS = ["inside"]
    asked = request("inside", ("origin", origin), ("sec-fetch-site", "cross-site"))
    assert (asked.foreign, asked.from_own_page) == (False, True)


@pytest.mark.parametrize(
    "origin",
    [
        "http://shop.example",
        "https://shop.example:8443",
        "https://shop.example.evil.example",
        "https://evilbrand.example",
        "http://old.example",
        "null",
        "",
        "https://shop.example, https://evil.example",
    ],
)
def test_no_other_origin_is_trusted(origin: str, settings: Settings) -> None:
    settings.CSRF_TRUSTED_ORIGINS = TRUSTED
    assert not is_trusted(origin)


def test_django_gets_the_spelling_that_it_compares(settings: Settings) -> None:
    settings.TRUSTED_PROXIES = 1
    lines = [
        ("origin", "HTTPS://SHOP.example:443"),
        ("x-forwarded-proto", "HTTPS, http"),
        ("accept-language", "en;q=0, de-AT"),
        ("cookie", "a=1"),
        ("cookie", "b=2"),
    ]
    scope = request("Shop.example:443", *lines).scope
    assert dict(spell_for_django(scope)["headers"]) == {
        b"host": b"shop.example",
        b"origin": b"https://shop.example",
        b"x-forwarded-proto": b"https",
        b"accept-language": b"de",
        b"cookie": b"a=1; b=2",
    }


def test_django_gets_no_header_that_was_not_sent() -> None:
    assert spell_for_django({"path": "/", "headers": []})["headers"] == []


# --- Types ----------------------------------------------------------------------------------------

WANTS_JSON = [
    "application/json",
    "APPLICATION/JSON",
    " application/json ; q=0.5",
    "application/json; charset=utf-8",
    'application/json;profile="a,b;q=0"',
    "application/json, text/plain, */*",
    "application/json, */*;q=0.8",
    "application/json, text/html;q=0.9",
    "text/html;q=0.9, application/json",
    "text/html;Q=0.1,application/json;Q=0.2",
    "text/html;q=0, */*",
    "text/*;q=0.1, application/*",
    "application/*",
    "application/json;q=0.001",
    "image/png, application/json",
]
WANTS_HTML = [
    "",
    "*/*",
    "*",
    "text/html",
    "TEXT/HTML, application/json;q=0.9",
    "text/html, application/json",
    "application/json, text/html",
    "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8",
    "text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2",
    "application/json;q=0",
    "application/json;q=0.0, */*",
    "application/json;q=0.000",
    "application/json;q=0.5, */*",
    "text/html;q=0.8, application/json;q=0.7",
    "text/html;level=1, application/json;q=0.9",
    "text/html;q=0",
    "image/png",
    "application/jsonp",
    "application/problem+json",
    ",,;q=1,=",
    '"',
    "text/html;a*=bogus'x'y",
    "é",
]


@pytest.mark.parametrize("accept", WANTS_JSON)
def test_a_client_that_prefers_json_gets_it(accept: str) -> None:
    assert prefers_json(accept.encode("latin-1"))


@pytest.mark.parametrize("accept", WANTS_HTML)
def test_every_other_client_gets_a_page(accept: str) -> None:
    assert not prefers_json(accept.encode("latin-1"))
