"""A client that sends more than is read gets its answer whole: the connection is not reset before the
client has read it."""

import re
import socket
from pathlib import Path

import pytest

from flashsale import asgi
from flashsale.http.server import MOST_BODY, MOST_HEAD
from orders.shipping_list import MOST_BYTES
from payments.pages import LARGEST_EVENT
from tests import stack
from tests.security.raw import HOST, connect, statuses

MB = 1024 * 1024
CLICK = "POST /sales/drop/buy"
FORM = b"Content-Type: application/x-www-form-urlencoded\r\n"


def answered(web: stack.Web, request: str, length: int, *lines: bytes) -> bytes:
    """The whole answer to a request whose body is sent to its end before anything is read. Raises
    ConnectionError where the connection is reset."""
    head = f"{request} HTTP/1.1\r\nContent-Length: {length}\r\n".encode() + HOST
    with connect(web.url) as connection:
        connection.sendall(head + b"".join(lines) + b"\r\n")
        for sent in range(0, length, MB):
            connection.sendall(b"x" * min(MB, length - sent))
        return read_to_end(connection)


def read_to_end(connection: socket.socket) -> bytes:
    answer = b""
    while chunk := connection.recv(65_536):
        answer += chunk
    return answer


LAST = b"Connection: close\r\n"
TOO_LARGE = {
    "a click": (CLICK, 5000, 413),
    "a click of a megabyte": (CLICK, MB, 413),
    "a click with an upload": (CLICK, 40 * MB, 413),
    "a click with another method": ("PUT /sales/drop/buy", 40 * MB, 405),
    "a page": ("POST /sales/drop/", 40 * MB, 405),
    "an order": ("POST /orders/", MB, 413),
    "the dashboard": ("POST /dashboard/sales/1/pause/", asgi.MOST_LIST + 1, 413),
    "an event": ("POST /payments/demo/events", LARGEST_EVENT + 1, 413),
    "a huge event": ("POST /payments/demo/events", MB, 413),
    "an upload": ("POST /admin/inventory/product/add/", asgi.MOST_UPLOAD + 1, 413),
    "a huge upload": ("POST /admin/inventory/product/add/", MOST_BODY - 1000, 413),
}


@pytest.mark.parametrize("what", TOO_LARGE)
def test_what_is_too_large_is_answered_and_the_answer_arrives(what: str, web: stack.Web) -> None:
    request, length, status = TOO_LARGE[what]
    assert statuses(answered(web, request, length, FORM, LAST)) == [status]


@pytest.mark.parametrize("what", ["a click", "an order", "an upload"])
def test_it_is_so_without_a_declared_length(what: str, web: stack.Web) -> None:
    request, length, status = TOO_LARGE[what]
    with connect(web.url) as connection:
        head = f"{request} HTTP/1.1\r\nTransfer-Encoding: chunked\r\n".encode() + HOST + FORM
        connection.sendall(head + b"\r\n")
        for _ in range(length // MB + 1):
            connection.sendall(b"%x\r\n" % MB + b"x" * MB + b"\r\n")
        connection.sendall(b"0\r\n\r\n")
        assert statuses(read_to_end(connection)) == [status]


def test_a_head_that_is_too_large_is_answered(web: stack.Web) -> None:
    with connect(web.url) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\n" + HOST + b"X: " + b"x" * (8 * MOST_HEAD))
        assert statuses(read_to_end(connection)) == [400]


def test_a_large_body_that_fits_is_read(web: stack.Web) -> None:
    """As far as the protection against foreign forms, which is after the body."""
    reply = answered(web, "POST /admin/login/", 20 * MB, b"Content-Type: text/plain\r\n", LAST)
    assert statuses(reply) == [403]


@pytest.mark.parametrize(
    ("request_", "length", "status"),
    [
        ("POST /dashboard/sales/1/fulfilment/parcels/", MOST_BYTES, 403),
        ("POST /payments/demo/events", LARGEST_EVENT, 400),
    ],
)
def test_lists_of_parcels_and_events_are_read_as_long_as_they_may_be(
    request_: str, length: int, status: int, web: stack.Web
) -> None:
    reply = answered(web, request_, length, b"Content-Type: text/plain\r\n", LAST)
    assert statuses(reply) == [status]


def test_staff_read_a_page_with_a_sentence_and_the_limit(web: stack.Web) -> None:
    german = b"Accept-Language: de\r\n"
    page = answered(web, *TOO_LARGE["an upload"][:2], german, LAST).decode()
    assert '<html lang="en"' in page
    assert f"at most {asgi.MOST_UPLOAD // MB} MB" in page


def test_shoppers_read_it_in_their_language(web: stack.Web) -> None:
    page = answered(web, *TOO_LARGE["an order"][:2], b"Accept-Language: de\r\n", LAST).decode()
    assert '<html lang="de"' in page


def test_a_form_with_too_much_text_is_a_page(web: stack.Web) -> None:
    cookie = b"Cookie: csrftoken=" + b"a" * 32 + b"\r\n"
    page = answered(web, "POST /admin/login/", 3 * MB, cookie, FORM, LAST)
    assert statuses(page) == [413]
    assert re.search(rb"2\.5 MB of text", page)


# --- Expect: 100-continue -------------------------------------------------------------------------


def asked(web: stack.Web, request: str, length: int) -> bytes:
    """The first piece of what the server says before it gets the body."""
    head = f"{request}\r\nContent-Length: {length}\r\nExpect: 100-continue\r\n".encode()
    with connect(web.url) as connection:
        connection.sendall(head + HOST + FORM + b"\r\n")
        said = connection.recv(65_536)
        if statuses(said) == [100]:
            connection.sendall(b"x" * length)
            return said + read_to_end(connection)
        return said


@pytest.mark.parametrize(
    ("request_", "length", "said"),
    [
        (f"{CLICK} HTTP/1.1", 5000, [413]),
        ("POST /admin/inventory/product/add/ HTTP/1.1", asgi.MOST_UPLOAD + 1, [413]),
        ("POST /sales/drop/ HTTP/1.1", 10, [405]),
        (f"{CLICK} HTTP/1.1", 10, [100, 422]),
        ("POST /admin/login/ HTTP/1.1", 10, [100, 403]),
    ],
)
def test_a_client_that_waits_is_told_whether_to_send(
    request_: str, length: int, said: list[int], web: stack.Web
) -> None:
    answer = asked(web, request_, length)
    assert statuses(answer) == said
    assert b"connection: close" in answer


def test_an_old_client_is_not_told_to_go_on(web: stack.Web) -> None:
    head = f"{CLICK} HTTP/1.0\r\nContent-Length: 1\r\nExpect: 100-continue\r\n".encode()
    with connect(web.url) as connection:
        connection.sendall(head + HOST + FORM + b"\r\nx")
        assert statuses(read_to_end(connection)) == [422]


@pytest.mark.parametrize(
    ("path", "most"),
    [
        ("/admin/", asgi.MOST_UPLOAD),
        ("/dashboard/", asgi.MOST_LIST),
        ("/payments/", asgi.MOST_EVENT),
    ],
)
def test_the_proxy_lets_as_much_through(path: str, most: int) -> None:
    conf = (Path(stack.ROOT) / "deploy/nginx/shop.conf").read_text()
    [megabytes] = re.findall(rf"location {path} \{{\n\s+client_max_body_size (\d+)m;", conf)
    assert int(megabytes) * MB > most
