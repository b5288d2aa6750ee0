"""Whatever is answered tells the browser to keep others out: each kind of answer that there is."""

from collections.abc import Callable

import httpx
import pytest
from django.contrib.staticfiles.storage import staticfiles_storage

from conftest import MakeSale
from dashboard.tests.staff import LOOKS, employ, session_of
from inventory.models import Sale
from tests import stack
from tests.cast import HTMX, JSON, PAGE, Shopper, all_that_opening_needs

HTTPS = {"X-Forwarded-Proto": "https"}


def get(path: str, **headers: str) -> Callable[[Shopper, Sale], httpx.Response]:
    def ask(shopper: Shopper, sale: Sale) -> httpx.Response:
        of_file = path if path != "static" else staticfiles_storage.url("css/shop.css")
        return shopper.client.get(of_file.format(sale=sale.slug), headers=headers)

    return ask


def as_staff(path: str, **headers: str) -> Callable[[Shopper, Sale], httpx.Response]:
    return lambda s, sale: get(path, Cookie=session_of(employ(LOOKS)), **headers)(s, sale)


def buy(
    *clicks: dict[str, str], ticket: str | None = None
) -> Callable[[Shopper, Sale], httpx.Response]:
    def ask(shopper: Shopper, sale: Sale) -> httpx.Response:
        page = shopper.client.get(f"/sales/{sale.slug}/", headers=JSON)
        shopper.client.headers["Cookie"] = page.headers["set-cookie"].partition(";")[0]
        replies = [shopper.buy(sale, ticket, headers) for headers in clicks]
        return replies[-1]

    return ask


def ready(shopper: Shopper, sale: Sale) -> httpx.Response:
    with all_that_opening_needs():
        return shopper.client.get("/readyz")


ANSWERS: dict[str, tuple[int, Callable[[Shopper, Sale], httpx.Response]]] = {
    "front page": (200, get("/", **PAGE)),
    "sale": (200, get("/sales/{sale}/", **PAGE)),
    "sale as JSON": (200, get("/sales/{sale}/", **JSON)),
    "live parts": (200, get("/sales/{sale}/", **HTMX)),
    "calendar": (200, get("/sales/{sale}/calendar.ics")),
    "accepted": (202, buy(JSON)),
    "busy": (503, buy(JSON, JSON)),
    "forged ticket": (403, buy(JSON, ticket="x")),
    "redirect": (303, buy(PAGE)),
    "no form": (415, lambda s, sale: s.client.post(f"/sales/{sale.slug}/buy")),
    "wrong method": (405, get("/sales/{sale}/buy")),
    "no such sale": (404, get("/sales/nothing/")),
    "no such order": (404, get("/orders/00000000-0000-8000-8000-000000000000/")),
    "own orders": (200, get("/orders/")),
    "no such static file": (404, get("/static/nothing.css")),
    "no such picture": (404, get("/media/products/" + "0" * 32 + ".webp")),
    "nothing": (404, get("/nothing")),
    "to the login": (302, get("/admin/")),
    "login": (200, get("/admin/login/")),
    "login without a token": (403, lambda s, sale: s.client.post("/admin/login/")),
    "another encoding": (415, get("/orders/", **{"Content-Type": "text/plain; charset=utf-16"})),
    "admin": (200, as_staff("/admin/")),
    "dashboard": (200, as_staff("/dashboard/")),
    "part of the dashboard": (200, as_staff("/dashboard/live/", **HTMX)),
    "forbidden": (403, get("/dashboard/", **HTMX)),
    "alive": (200, get("/livez")),
    "ready": (200, ready),
    "another host": (400, get("/admin/login/", Host="evil.example")),
    "another host's sale": (400, get("/sales/{sale}/", Host="evil.example")),
}


@pytest.mark.parametrize("kind", ANSWERS)
def test_every_answer_carries_every_policy(
    kind: str, production: stack.Web, make_sale: MakeSale
) -> None:
    expected, ask = ANSWERS[kind]
    shopper = Shopper(production.url)
    shopper.client.headers.update(HTTPS)
    with shopper.client:
        reply = ask(shopper, make_sale(limit=5))
    assert reply.status_code == expected
    assert_shielded(reply)
    assert reply.headers["strict-transport-security"] == "max-age=31536000"


@pytest.mark.parametrize(("expected", "headers"), [(200, {}), (206, {"Range": "bytes=0-9"})])
def test_a_file_of_a_page_carries_what_files_need(
    production: stack.Web, make_sale: MakeSale, expected: int, headers: dict[str, str]
) -> None:
    shopper = Shopper(production.url)
    with shopper.client:
        reply = get("static", **HTTPS, **headers)(shopper, make_sale())
    assert reply.status_code == expected
    assert reply.headers.get_list("x-content-type-options") == ["nosniff"]
    assert reply.headers.get_list("cross-origin-resource-policy") == ["same-origin"]
    assert reply.headers["strict-transport-security"] == "max-age=31536000"
    assert "access-control-allow-origin" not in reply.headers


def assert_shielded(reply: httpx.Response) -> None:
    headers = reply.headers
    assert headers.get_list("x-content-type-options") == ["nosniff"]
    assert headers.get_list("x-frame-options") == ["DENY"]
    assert headers.get_list("referrer-policy") == ["same-origin"]
    assert headers.get_list("cross-origin-opener-policy") == ["same-origin"]
    assert headers.get_list("cross-origin-resource-policy") == ["same-origin"]
    [csp] = headers.get_list("content-security-policy")
    for directive in ("default-src 'none'", "base-uri 'none'", "frame-ancestors 'none'"):
        assert directive in csp
    assert "unsafe" not in csp
    [denied] = headers.get_list("permissions-policy")
    for feature in ("camera", "microphone", "geolocation", "payment", "usb"):
        assert f"{feature}=()" in denied
    for gossip in ("server", "x-powered-by", "access-control-allow-origin"):
        assert gossip not in headers


def test_over_plain_http_no_browser_is_told_to_insist_on_https(
    production: stack.Web, make_sale: MakeSale
) -> None:
    """A trial on the machine itself goes on over plain HTTP, and a header there could be anybody's."""
    shopper = Shopper(production.url)
    with shopper.client:
        for path in ("/", "/livez", "/admin/login/", staticfiles_storage.url("css/shop.css")):
            assert "strict-transport-security" not in shopper.client.get(path).headers
