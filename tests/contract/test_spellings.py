"""One address, one header, many spellings: with and without the last slash, cookies in two lines, types
with qualities. Each means the same, on the express lane and on Django's pages."""

from collections.abc import Iterator
from itertools import product

import httpx
import pytest
from django.urls import URLPattern, URLResolver, get_resolver
from websockets.sync.client import connect

from conftest import MakeSale
from flashsale import asgi
from inventory.models import Sale
from tests import deadlines
from tests.cast import JSON, PAGE, Shopper, skus
from tests.contract.conftest import Web
from tests.contract.shapes import SHAPES, in_each_shape, waiting

ORDER = "00000000-0000-4000-8000-000000000000"
PICTURE = f"/media/products/{'0' * 32}.webp"
EXPRESS = [
    "/sales/{slug}/",
    "/sales/{slug}/buy",
    "/sales/{slug}/calendar.ics",
    "/sales/{slug}/draw/",
]
EXPRESS += [f"/orders/{ORDER}/", f"/orders/{ORDER}/give-back", PICTURE]
DJANGO = ["/orders/", "/dashboard/", "/dashboard/live/", "/dashboard/history/", "/admin/"]
DJANGO += ["/orders/find/", "/dashboard/mails/", "/dashboard/mails/news.1-s.eml/text/"]
DJANGO += ["/sign-in/", "/sign-in/code/", "/sign-out/"]
DJANGO += ["/livez", "/readyz", "/metrics"]
DJANGO += ["/dashboard/sales/1/pause/", "/dashboard/sales/1/products/1/restock/"]

PATIENCE = deadlines.seconds(15)


def other(path: str) -> str:
    return path[:-1] if path.endswith("/") else f"{path}/"


def test_a_page_is_found_with_and_without_its_last_slash(
    shopper: Shopper, make_sale: MakeSale
) -> None:
    slug = make_sale(draw_in=3600).slug
    for path, method in product(EXPRESS + DJANGO, ("GET", "HEAD")):
        there = path.format(slug=slug)
        asked = f"{other(there)}?utm_source=a%20b&x=é"
        reply = shopper.client.request(method, asked, headers=PAGE)
        moved = (301, f"{there}?utm_source=a%20b&x=%C3%A9")
        assert (reply.status_code, reply.headers["location"]) == moved, path


def test_each_address_of_the_shop_is_tried_here(make_sale: MakeSale) -> None:
    slug = make_sale().slug
    tried = [path.format(slug=slug) for path in EXPRESS]
    for pattern, _ in asgi.EXPRESS:
        assert pattern.match("/") or any(map(pattern.match, tried)), pattern
    for route in routes(get_resolver()):
        if not route.startswith("admin/") and "<" not in route:  # admin's own are tried by staff
            assert f"/{route}" in DJANGO


def routes(resolver: URLResolver, before: str = "") -> Iterator[str]:
    for each in resolver.url_patterns:
        route = before + str(each.pattern)
        if isinstance(each, URLPattern):
            yield route
        else:
            yield from routes(each, route)


@pytest.mark.parametrize("path", ["//evil.example", "/%2fevil.example", "/sales//evil.example/x"])
def test_no_redirect_leaves_the_shop(path: str, web: Web) -> None:
    reply = httpx.get(f"{web.url}{path}", follow_redirects=False)
    assert (reply.status_code, reply.headers.get("location")) == (404, None)


def test_a_page_is_found_with_slashes_twice(shopper: Shopper, make_sale: MakeSale) -> None:
    slug = make_sale().slug
    for path in (*EXPRESS, "/orders/", "/dashboard/", "/admin/inventory/sale/"):
        path = path.format(slug=slug)
        for doubled in (f"/{path}", path.replace("/", "//")):
            # The whole address: `//sales` alone would be read as a host.
            reply = shopper.client.get(f"{shopper.url}{doubled}?q=1", headers=PAGE)
            assert (reply.status_code, reply.headers["location"]) == (301, f"{path}?q=1")


# Where letters are few, as in the most compact QR code, a whole address is in capitals.
def test_a_sale_is_found_by_an_address_in_capitals(shopper: Shopper, make_sale: MakeSale) -> None:
    sale = make_sale()
    for path in ("/SALES/{}", "/SALES/{}/", "/Sales/{}/", "//SALES//{}//"):
        written = path.format(sale.slug.upper())
        reply = shopper.client.get(f"{shopper.url}{written}", headers=PAGE, follow_redirects=True)
        assert (reply.status_code, sale.name in reply.text) == (200, True), path


def test_staff_pages_are_found_in_one_case_only(web: Web) -> None:
    assert httpx.get(f"{web.url}/ADMIN/").status_code == 404


@pytest.mark.parametrize(
    "path", ["/sales/{}/buy/", "//sales/{}/buy", "/SALES/{}/BUY", "/sales/{}//buy//"]
)
@in_each_shape
def test_a_click_at_an_address_that_is_spelt_otherwise_buys(
    shape: str, path: str, shopper: Shopper, make_sale: MakeSale
) -> None:
    sale = make_sale()
    form = {"ticket": shopper.ticket(sale), "product": skus(sale)[0]}
    address = f"{shopper.url}{path.format(sale.slug)}"
    reply = shopper.client.post(address, data=form, headers=SHAPES[shape])
    assert reply.status_code == (303 if shape == "form" else 202)
    assert waiting(sale) == 1


def test_a_form_for_staff_is_not_taken_at_another_spelling(web: Web) -> None:
    """A proxy that protects /admin/ does not know other spellings of it."""
    form = {"username": "anna", "password": "wrong"}
    assert httpx.post(f"{web.url}//admin/login/", data=form).status_code == 404


def test_a_socket_opens_without_the_last_slash(web: Web, make_sale: MakeSale) -> None:
    address = f"{web.url.replace('http', 'ws', 1)}/ws/sales/{make_sale().slug}"
    lines = {"Origin": web.url}
    with connect(address, additional_headers=lines, open_timeout=deadlines.seconds(15)) as page:
        assert page.recv(deadlines.seconds(15))


# --- Hosts and origins ----------------------------------------------------------------------------


def click(shopper: Shopper, sale: Sale, **headers: str) -> int:
    ticket = shopper.ticket(sale)
    return shopper.buy(sale, ticket, {**JSON, **headers}).status_code


@pytest.mark.parametrize(
    "host", ["localhost:80", "LOCALHOST", "localhost.", "Localhost.:80", "localhost:"]
)
def test_a_click_through_a_proxy_that_spells_the_host_otherwise_buys(
    host: str, shopper: Shopper, make_sale: MakeSale
) -> None:
    sale = make_sale()
    assert click(shopper, sale, Host=host, Origin="http://evil.example") == 403
    assert click(shopper, sale, Host=host, Origin="http://localhost") == 202


def test_the_login_takes_the_same_spellings(web: Web) -> None:
    with httpx.Client(base_url=web.url, timeout=PATIENCE) as browser:
        spelt = {"Host": "LOCALHOST:80", "Origin": "http://localhost"}
        for path in ("/admin/login/", "/admin/login"):
            reply = log_in(browser, path, **spelt)
            assert (reply.status_code, "correct username" in reply.text) == (200, True)
        assert log_in(browser, **{**spelt, "Origin": "http://evil.example"}).status_code == 403


def log_in(browser: httpx.Client, path: str = "/admin/login/", **headers: str) -> httpx.Response:
    """Sends the login's form, with a wrong password."""
    page = browser.get(path, headers=PAGE, follow_redirects=True).text
    token = page.partition('name="csrfmiddlewaretoken" value="')[2].partition('"')[0]
    form = {"username": "anna", "password": "wrong", "csrfmiddlewaretoken": token}
    return browser.post(path, data=form, headers=headers)


@pytest.fixture(scope="module")
def behind() -> Iterator[Web]:
    """Behind a proxy that ends TLS and replaces the host."""
    trusted = "HTTPS://Shop.example:443/"
    with Web.running(RATE_PER_SHOPPER="0", CSRF_TRUSTED_ORIGINS=trusted) as web:
        yield web


def test_a_trusted_origin_buys_logs_in_and_watches(behind: Web, make_sale: MakeSale) -> None:
    sale, shopper = make_sale(), Shopper(behind.url)
    trusted = {"Origin": "https://shop.example", "Sec-Fetch-Site": "cross-site"}
    assert click(shopper, sale, **{**trusted, "Origin": "https://evil.example"}) == 403
    assert click(shopper, sale, **trusted) == 202
    address = f"{behind.url.replace('http', 'ws', 1)}/ws/sales/{sale.slug}/"
    with connect(address, additional_headers=trusted) as page:
        assert page.recv(deadlines.seconds(15))
    assert log_in(shopper.client, **trusted).status_code == 200


def test_https_is_spelt_in_capitals(make_sale: MakeSale) -> None:
    spelt = {"Host": "localhost:443", "Origin": "https://localhost"}
    with Web.running(RATE_PER_SHOPPER="0", TRUSTED_PROXIES="1") as web:
        for proto in ("HTTPS", "Https, http"):
            headers = {**spelt, "X-Forwarded-Proto": proto, "X-Forwarded-For": "192.0.2.1"}
            page = httpx.get(f"{web.url}/sales/{make_sale().slug}/", headers=headers)
            assert "__Host-shopper" in page.headers["set-cookie"]
            with httpx.Client(base_url=web.url, headers=headers, timeout=PATIENCE) as browser:
                assert log_in(browser).status_code == 200


# --- Cookies and types ----------------------------------------------------------------------------


def test_a_shopper_whose_cookies_come_in_two_lines_is_known(
    shopper: Shopper, make_sale: MakeSale
) -> None:
    purchase = shopper.buy(make_sale()).json()["purchase"]
    ours = ("cookie", f"shopper={shopper.client.cookies.pop('shopper')}")
    others = ("cookie", "theme=dark; consent=all-of-them-and-more")
    for lines in ([ours], [ours, others], [others, ours], [others, ours, others]):
        page = shopper.client.get(f"/orders/{purchase}/", headers=[("accept", "text/html"), *lines])
        assert page.status_code == 200


def test_the_list_of_orders_knows_her_too(shopper: Shopper, make_sale: MakeSale) -> None:
    from orders import settlement

    sale = make_sale()
    purchase = shopper.buy(sale).json()["purchase"]
    settlement.settle(sale.pk)
    ours = ("cookie", f"shopper={shopper.client.cookies.pop('shopper')}")
    others = ("cookie", "theme=dark")
    for lines in ([ours, others], [others, ours]):
        assert purchase in shopper.client.get("/orders/", headers=lines).text


def test_a_shopper_is_known_beside_an_invalid_cookie_of_the_same_name(
    shopper: Shopper, make_sale: MakeSale
) -> None:
    """Another program of the host may have set one, for a path or a domain."""
    from orders import settlement

    sale = make_sale()
    purchase = shopper.buy(sale).json()["purchase"]
    settlement.settle(sale.pk)
    ticket = shopper.ticket(sale)
    valid = f"shopper={shopper.client.cookies.pop('shopper')}"
    for cookies in (f"{valid}; shopper=x", f"shopper=x; {valid}", f"shopper=; {valid}; shopper=x"):
        for lines in ([cookies], cookies.split("; ")):
            headers = [("cookie", line) for line in lines]
            assert purchase in shopper.client.get("/orders/", headers=headers).text
            page = shopper.client.get(f"/orders/{purchase}/", headers=headers)
            assert (page.status_code, page.headers.get("set-cookie")) == (200, None)
        form = {"ticket": ticket, "product": skus(sale)[0]}
        headers = [("cookie", cookies), *JSON.items()]
        reply = shopper.client.post(f"/sales/{sale.slug}/buy", data=form, headers=headers)
        assert (reply.status_code, reply.json()["reason"]) == (409, "limit")


def test_another_programs_language_decides_no_page(shopper: Shopper) -> None:
    """Django's own cookie, which another site of the same domain may have set."""
    for path in ("/", "/orders/", "/nothing/"):
        page = shopper.client.get(path, headers={**PAGE, "Cookie": "django_language=de"})
        assert '<html lang="en"' in page.text


def test_every_page_reads_accept_by_its_grammar(shopper: Shopper, make_sale: MakeSale) -> None:
    paths = ("/", f"/sales/{make_sale().slug}/", "/sales/none/", "/nothing/", "/orders/%00/")
    kinds = {
        "APPLICATION/JSON": "application/json",
        "text/html;q=0.5, application/json": "application/json",
        "text/html;q=0, */*": "application/json",
        "application/json;q=0, */*": "text/html",
        "application/json;q=0.5, text/html": "text/html",
    }
    for path, (accept, kind) in product(paths, kinds.items()):
        reply = shopper.client.get(path, headers={"Accept": accept})
        assert reply.headers["content-type"].partition(";")[0] == kind, (path, accept)
