"""What strangers may make the server read has a bound, and nobody else waits for it."""

import socket
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Origin

from conftest import MakeSale
from tests import deadlines, stack


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with stack.Web.running() as web:
        yield web.url


def send(url: str, head: bytes) -> bytes:
    """What the server answers to these bytes until it closes the connection, or stays silent."""
    address = urlsplit(url)
    with socket.create_connection(
        (address.hostname, address.port or 80), timeout=deadlines.seconds(5)
    ) as connection:
        answer = b""
        try:
            for start in range(0, len(head), 65_536):
                connection.sendall(head[start : start + 65_536])
            while chunk := connection.recv(65_536):
                answer += chunk
        except OSError:  # closed while we were still sending, or kept open after a full answer
            pass
        return answer


@pytest.mark.parametrize(
    "line",
    [
        b"a:b\r\n" * 250_000,
        b"Accept-Language: " + b"x" * 1_000_000 + b"\r\n",
        b"Cookie: " + b"y" * 1_000_000 + b"\r\n",
    ],
)
def test_a_huge_head_is_refused_at_once(url: str, line: bytes) -> None:
    answer = send(url, b"GET / HTTP/1.1\r\nHost: localhost\r\n" + line + b"\r\n")
    assert b" 400 " in answer.split(b"\r\n")[0] or answer == b""
    assert b" 200 " not in answer


def test_an_endless_header_is_refused_before_it_ends(url: str) -> None:
    assert b" 200 " not in send(url, b"GET / HTTP/1.1\r\nHost: localhost\r\nx: " + b"z" * 2_000_000)


def test_an_ordinary_head_is_served(url: str) -> None:
    head = b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nCookie: " + b"c" * 8000
    assert b" 200 " in send(url, head + b"\r\n\r\n").split(b"\r\n")[0]


def test_a_socket_that_talks_much_is_closed(url: str, make_sale: MakeSale) -> None:
    page = open_socket(url, f"/ws/sales/{make_sale().slug}/")
    with page, pytest.raises(ConnectionClosed):
        everything_after(page, "x" * 100_000)


@pytest.mark.parametrize("path", ["/ws/nothing/", "/sales/x/buy", f"/ws/sales/{'s' * 200}/"])
def test_a_socket_anywhere_else_is_refused(url: str, path: str) -> None:
    with pytest.raises(InvalidStatus, match="403"):
        open_socket(url, path)


def everything_after(page: ClientConnection, said: str) -> None:
    page.send(said)
    while True:
        page.recv(timeout=deadlines.seconds(10))


def open_socket(url: str, path: str) -> ClientConnection:
    return connect(url.replace("http", "ws") + path, origin=Origin(url))
