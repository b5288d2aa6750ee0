"""Whatever is sent to whatever address, there is an answer at once, and it is never "internal error"."""

import json
import re
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote_from_bytes, urlencode

import httpx
import pytest
from django.contrib.auth.models import User
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from conftest import MakeSale
from dashboard.tests.staff import session_of
from flashsale.http.shoppers import cookie_value, new_shopper
from inventory.models import Sale
from orders.tickets import new_purchase
from tests import deadlines, stack
from tests.cast import all_that_opening_needs, skus, ticket_of
from tests.contract.conftest import Web
from tests.security import raw
from tests.security.doors import EXAMPLES, Door, doors, without_example

DOORS = doors()
BOUND = deadlines.seconds(10.0)  # for an answer; each takes some milliseconds

# The answers to a click, by docs/purchase-path.md: nothing here is down, and no line full.
TO_A_CLICK = {
    200: {"confirmed", "rejected", "cancelled"},
    202: {"queued"},
    409: {"sold_out", "not_enough", "paused", "not_open", "closed", "limit"},
    422: {"ticket_reused", "product", "quantity", "body"},
    429: {"rate_limited"},
    403: {"ticket", "cookies", "origin", "insecure"},
    404: {"not_found"},
    413: {"too_large"},
    415: {"content_type"},
    405: {"method"},
}


@dataclass
class Shop:
    """A server, and who and what a request may name."""

    web: Web
    sale: Sale
    cookies: dict[str, bytes]
    tickets: list[str]  # of the one with the cookie
    fields: dict[str, str]
    values: dict[str, str]


# What Django and the product log where they are at fault; what clients do wrong is logged as well.
STUMBLED = re.compile(
    r"Internal Server Error|never retrieved|Exception in ASGI|(?:ERROR|CRITICAL) (?!django.security)"
)


@pytest.fixture(scope="module")
def web() -> Iterator[Web]:
    with Web.running(RATE_PER_SHOPPER="0") as web:
        yield web
        assert STUMBLED.findall(web.logged()) == []


@pytest.fixture
def shop(web: Web, make_sale: MakeSale) -> Shop:
    sale = make_sale(stock=1000, limit=1000)
    with all_that_opening_needs():
        stack.wait_for(lambda: httpx.get(f"{web.url}/readyz").is_success, "the shop is ready")
    shopper = new_shopper()
    tickets = [ticket_of(sale.pk, shopper) for _ in range(300)]
    token = "t" * 32
    staff = User.objects.create_superuser(f"owner-{sale.pk}")
    cookies = {
        "nobody": b"",
        "shopper": f"shopper={cookie_value(shopper)}".encode(),
        "staff": f"{session_of(staff)}; csrftoken={token}".encode(),
    }
    fields = {"product": skus(sale)[0], "quantity": "1", "csrfmiddlewaretoken": token}
    values = {
        "slug": sale.slug,
        "sale": str(sale.pk),
        "variant": str(sale.variants.get().pk),
        "purchase": str(new_purchase(sale.pk)),
    }
    return Shop(web, sale, cookies, tickets, fields, values)


# --- What is sent -----------------------------------------------------------------------------------

METHODS = [b"GET", b"HEAD", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS", b"TRACE", b"BREW"]

# Control characters end a request as bad HTTP, before any code of ours: see the last test but one.
odd_bytes = st.binary(max_size=60).map(lambda b: bytes(c for c in b if c >= 32 and c != 127))
odd_text = st.text(max_size=40)


def one_of(*known: bytes) -> st.SearchStrategy[bytes]:
    return st.one_of(st.sampled_from(known), odd_bytes)


HEADERS = {
    b"Accept": one_of(
        b"application/json", b"text/html", b"*/*", b"application/json;q=x, text/html"
    ),
    b"Accept-Language": one_of(b"de", b"de-AT;q=0.5,*", b"x" * 3000, b"en;q=9,;;=", b"zz-\xff"),
    b"Accept-Encoding": one_of(b"gzip", b"br;q=1.0, *;q=0", b"identity;q=0"),
    b"HX-Request": one_of(b"true", b"false", b"TRUE"),
    b"HX-Current-URL": one_of(b"http://localhost/orders/1/", b"://", b"http://[::1"),
    b"HX-Target": odd_bytes,
    b"Origin": one_of(b"null", b"http://evil.example", b"http://localhost", b"http://[::1"),
    b"Sec-Fetch-Site": one_of(b"same-origin", b"cross-site", b"none"),
    b"Referer": one_of(b"http://localhost/", b"http://[", b"//"),
    b"Range": one_of(b"bytes=0-0", b"bytes=-1", b"bytes=9-1", b"bytes=0-1,2-3", b"rows=1"),
    b"If-None-Match": one_of(b"*", b'"x"', b'W/"', b'"' * 99),
    b"If-Modified-Since": one_of(b"Thu, 01 Jan 1970 00:00:00 GMT", b"Thu, 99 Foo 0 00:00:00", b"0"),
    b"X-Forwarded-For": one_of(b"1.2.3.4", b"::ffff:1.2.3.4", b"1.2.3.4, 5", b"," * 99),
    b"X-Forwarded-Proto": one_of(b"https", b"gopher"),
    b"X-Requested-With": one_of(b"XMLHttpRequest"),
    b"Content-Type": one_of(
        b"application/x-www-form-urlencoded",
        b"application/x-www-form-urlencoded; charset=utf-7",
        b"multipart/form-data; boundary=b",
        b"multipart/form-data",
        b"multipart/form-data; boundary=\xff",
        b"application/json",
        b"text/plain; charset=nothing",
    ),
}
HOSTS = one_of(b"evil.example", b"localhost:x", b"[::", b"")


def rarely(draw: st.DrawFn, once_in: int = 8) -> bool:
    return draw(st.sampled_from(range(once_in))) == once_in - 1


# Parameters of admin's lists and of our pages, with values that somebody may have thought of.
NAMES = ["page", "p", "q", "o", "e", "_popup", "_to_field", "message", "next", "all", "id__exact"]
NAMES += [
    "sale__id__exact",
    "status",
    "reason__exact",
    "app_label",
    "model_name",
    "field_name",
    "term",
]
VALUES = [
    "",
    "0",
    "-1",
    "1",
    "9" * 30,
    "auth",
    "user",
    "\0",
    "é",
    "2026-13-45",
    "x' OR 1=1--",
    "//evil",
]
queries = st.one_of(
    st.just(b""),
    st.lists(
        st.tuples(st.sampled_from(NAMES), st.one_of(st.sampled_from(VALUES), odd_text)), max_size=3
    ).map(lambda pairs: urlencode(pairs, errors="surrogatepass").encode()),
    odd_bytes.map(lambda b: quote_from_bytes(b, safe="%&=;?/").encode()),
)


QUANTITIES = ["0", "-1", "²", "٣", "1e3", " 1", "1_0", "0x1", "9" * 30, "1\0", ""]
NO_FORMS = [
    b"",
    b"%ff%fe=%00&" * 20,
    b"a=b&" * 1500,
    b'{"ticket": [1, {"a": null}]}',
    b'--b\r\nContent-Disposition: form-data; name="picture"; filename="\xff.webp"\r\n\r\nx\r\n--b--\r\n',
]


@st.composite
def bodies(draw: st.DrawFn, shop: Shop) -> bytes:
    """A valid form with something wrong in it, or nothing that is a form."""
    form: dict[str, Any] = {**shop.fields, "ticket": draw(st.sampled_from(shop.tickets))}
    for name in draw(st.lists(st.sampled_from(sorted(form)), max_size=1)):
        known = QUANTITIES if name == "quantity" else VALUES
        form[name] = draw(st.sampled_from(known) if draw(st.booleans()) else odd_text)
    if rarely(draw, 3):
        more = [*NAMES, "action", "_selected_action", "key", "reason"]
        form[draw(st.sampled_from(more))] = draw(st.sampled_from(VALUES))
    whole = urlencode(form, errors="surrogatepass").encode()
    if rarely(draw):
        return whole[: draw(st.integers(0, len(whole)))]
    if rarely(draw):
        return draw(st.sampled_from(NO_FORMS) if draw(st.booleans()) else st.binary(max_size=200))
    return whole


WAYS_OUT = [
    b"%00",
    b"%2e%2e%2f",
    b"..",
    b"%ff%fe",
    b"%",
    b"%zz",
    b"\xc3\xa9",
    b"//",
    b";a=b",
    b"9" * 40,
]


@st.composite
def paths(draw: st.DrawFn, door: Door, values: dict[str, str]) -> bytes:
    """The address, mostly as it should be; else with odd parameters, or something behind it."""
    given = dict(values)
    for name in door.names:
        if rarely(draw, 4):
            odd = draw(st.sampled_from(VALUES) if draw(st.booleans()) else odd_text)
            given[name] = quote_from_bytes(odd.encode("utf-8", "surrogatepass"), safe="/")
    path: bytes = door.path(**given).encode()
    return path + draw(st.sampled_from(WAYS_OUT)) if rarely(draw) else path


@st.composite
def requests(draw: st.DrawFn, door: Door, shop: Shop) -> bytes:
    usual = [b"GET", b"POST"] if door.kind != "socket" else [b"GET"]
    method = draw(st.sampled_from(METHODS if rarely(draw, 4) else usual))
    path, query = draw(paths(door, shop.values)), draw(queries)
    lines = [b"%s %s%s HTTP/1.1" % (method, path, b"?" + query if query else b"")]
    lines.append(b"Host: " + (draw(HOSTS) if rarely(draw, 16) else b"localhost"))
    lines.append(b"Connection: " + (b"Upgrade" if door.kind == "socket" else b"close"))
    headers = draw(st.lists(st.sampled_from(sorted(HEADERS)), max_size=4, unique=True))
    lines += [b"%s: %s" % (name, draw(HEADERS[name])) for name in headers]
    if door.kind == "socket" and b"Origin" not in headers:
        lines.append(b"Origin: http://localhost")
    if b"Content-Type" not in headers:
        lines.append(b"Content-Type: application/x-www-form-urlencoded")
    cookie = shop.cookies[draw(st.sampled_from(sorted(shop.cookies)))]
    lines.append(b"Cookie: " + (draw(odd_bytes) if rarely(draw) else cookie))
    if door.kind == "socket":
        key = draw(odd_bytes) if rarely(draw) else b"dGhlIHNhbXBsZSBub25jZQ=="
        lines += [b"Upgrade: websocket", b"Sec-WebSocket-Version: 13", b"Sec-WebSocket-Key: " + key]
    body = draw(bodies(shop)) if method in (b"POST", b"PUT", b"PATCH") else b""
    lines.append(b"Content-Length: %d" % len(body))
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


# --- What comes back --------------------------------------------------------------------------------


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes


def answer_to(web: Web, request: bytes) -> Answer:
    """Fails where there is none, or not within the bound."""
    began = time.monotonic()
    with raw.connect(web.url) as connection:
        connection.settimeout(BOUND)
        connection.sendall(request)
        said = connection.recv(65_536)
        if not said.startswith(b"HTTP/1.1 101"):
            said += raw.heard(connection)
    assert time.monotonic() - began < BOUND
    head, _, body = said.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    assert first.startswith("HTTP/1.1 "), f"no answer to {request[:300]!r}"
    headers = {
        name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)
    }
    return Answer(int(first.split()[1]), headers, body)


def check(web: Web, request: bytes) -> Answer:
    answer = answer_to(web, request)
    assert answer.status < 500, f"{answer.status} to {request!r}: {answer.body[:300]!r}"
    return answer


def fuzzed(examples: int) -> settings:
    return settings(
        max_examples=examples,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )


@pytest.mark.parametrize("kind", ["express", "django", "socket", "static"])
@pytest.mark.deep
def test_every_address_has_an_answer_to_everything(kind: str, shop: Shop) -> None:
    seen: Counter[int] = Counter()
    for number, door in enumerate(door for door in DOORS if door.kind == kind):

        @seed(1000 * number)  # the same requests in every run
        @fuzzed(8 if kind == "django" else 70)
        @given(requests(door, shop))
        def sent(request: bytes) -> None:
            seen[check(shop.web, request).status] += 1

        sent()
    assert set(DEEP[kind]) <= set(seen)


# A fuzzer that never gets past the first check finds nothing.
DEEP = {
    "express": [200, 303, 400, 404, 405, 415],
    "django": [200, 302, 400, 403, 404, 405],
    "socket": [101, 403],
    "static": [200, 404],
}


def test_every_answer_to_a_click_is_one_of_the_contract(shop: Shop) -> None:
    form = b"Content-Type: application/x-www-form-urlencoded\r\nAccept: application/json\r\n"
    head = f"POST /sales/{shop.sale.slug}/buy HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
    seen = set()

    def click(body: bytes, who: str) -> None:
        length = b"Content-Length: %d\r\n" % len(body)
        cookie = b"Cookie: " + shop.cookies[who] + b"\r\n"
        answer = check(shop.web, head.encode() + form + cookie + length + b"\r\n" + body)
        said = json.loads(answer.body)
        word = said.get("error") or said.get("reason") or said["status"]
        assert word in TO_A_CLICK[answer.status], answer
        seen.add(word)

    @seed(0)
    @fuzzed(300)
    @given(bodies(shop), st.sampled_from(["shopper", "shopper", "shopper", "nobody"]))
    def clicked(body: bytes, who: str) -> None:
        click(body, who)

    clicked()
    for number, quantity in enumerate(QUANTITIES):
        ticket = shop.tickets[-1 - number]
        click(
            urlencode({**shop.fields, "ticket": ticket, "quantity": quantity}).encode(), "shopper"
        )
    assert {"queued", "ticket_reused", "ticket", "product", "quantity"} <= seen


def test_an_address_of_any_bytes_is_answered(web: Web) -> None:
    @seed(0)
    @fuzzed(200)
    @given(
        st.lists(
            st.one_of(
                st.sampled_from([b"/", b"sales", b"orders", b"static", *WAYS_OUT]),
                st.binary(max_size=30),
            ),
            max_size=6,
        )
    )
    def asked(parts: list[bytes]) -> None:
        path = b"/" + b"".join(parts).replace(b" ", b"").replace(b"\n", b"")
        check(web, b"GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n" % path)

    asked()
    for path in (b"/" + b"a" * 60_000, b"/static/" + b"../" * 900, b"*", b"http://localhost/"):
        check(web, b"GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n" % path)


def test_every_parameter_of_an_address_has_an_example() -> None:
    assert without_example(DOORS) == set()
    assert without_example([Door("django", "/<nobody>/", ("/", "nobody", "/"))]) == {"nobody"}
    assert {name for door in DOORS for name in door.names} == set(EXAMPLES)
