"""Sockets are for pages of the shop only; little may be said on them, and who does not read is let go."""

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from django.contrib.staticfiles.storage import staticfiles_storage
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from conftest import MakeSale
from dashboard.tests.staff import LOOKS, employ, session_of
from flashsale.http.server import MOST_FRAME, MOST_INPUT
from tests import deadlines, stack
from tests.security import raw


@contextmanager
def page(
    web: stack.Web, path: str, origins: tuple[str, ...] | None = None, **headers: str
) -> Iterator[ClientConnection]:
    """An open page's socket; as from other sites with these `Origin` lines."""
    lines = [("Origin", origin) for origin in ((web.url,) if origins is None else origins)]
    lines += headers.items()
    address = web.url.replace("http", "ws", 1) + path
    with connect(address, additional_headers=lines, open_timeout=deadlines.seconds(15)) as opened:
        yield opened


FOREIGN = {
    "missing": (),
    "empty": ("",),
    "null": ("null",),
    "another site's": ("http://evil.example",),
    "another port's": ("http://127.0.0.1:1",),
    "another scheme's": ("https://{host}",),
    "of a longer name": ("http://{host}.evil.example",),
    "ours as a user's name": ("http://{host}@evil.example",),
    "ours and another": ("http://{host}", "http://evil.example"),
    "another and ours": ("http://evil.example", "http://{host}"),
    "no address": ("http://[::",),
    "a mere name": ("{host}",),
}


@pytest.mark.parametrize("whose", FOREIGN)
@pytest.mark.parametrize("path", ["sale", "dashboard"])
def test_a_page_of_another_site_gets_no_socket(
    whose: str, path: str, web: stack.Web, make_sale: MakeSale
) -> None:
    host = web.url.removeprefix("http://")
    origins = tuple(origin.format(host=host) for origin in FOREIGN[whose])
    address = "/ws/dashboard/" if path == "dashboard" else f"/ws/sales/{make_sale().slug}/"
    cookie = session_of(employ(LOOKS)) if path == "dashboard" else "a=b"
    with pytest.raises(InvalidStatus, match=r"40[03]"), page(web, address, origins, Cookie=cookie):
        pass


def test_with_every_host_allowed_a_socket_still_needs_a_page(make_sale: MakeSale) -> None:
    path = f"/ws/sales/{make_sale().slug}/"
    with stack.Web.running(ALLOWED_HOSTS="*") as web:
        with page(web, path) as ours:
            assert ours.recv(deadlines.seconds(15))
        for origins in ((), ("http://evil.example",)):
            with pytest.raises(InvalidStatus, match="403"), page(web, path, origins):
                pass


# --- What may be said on it -----------------------------------------------------------------------


def closed_with(opened: ClientConnection) -> int | None:
    """Reads until the server closes."""
    while True:
        try:
            opened.recv(deadlines.seconds(15))
        except ConnectionClosed as closed:
            return closed.rcvd.code if closed.rcvd else None


def test_a_frame_that_is_too_long_closes_the_socket(web: stack.Web, make_sale: MakeSale) -> None:
    with page(web, f"/ws/sales/{make_sale().slug}/") as opened:
        opened.send("x" * (MOST_FRAME + 1))
        assert closed_with(opened) == 1009


def a_frame_in_endless_pieces(opened: ClientConnection) -> None:
    opened.send("x" * 50 for _ in range(MOST_INPUT))


def many_small_frames(opened: ClientConnection) -> None:
    for _ in range(MOST_INPUT):
        opened.send("x")


def many_pings(opened: ClientConnection) -> None:
    for _ in range(MOST_INPUT):
        opened.ping()


def many_answers_that_nobody_asked_for(opened: ClientConnection) -> None:
    for _ in range(MOST_INPUT):
        opened.pong()


TOO_MUCH = (
    a_frame_in_endless_pieces,
    many_small_frames,
    many_pings,
    many_answers_that_nobody_asked_for,
)


def say_and_listen(what: Callable[[ClientConnection], None], opened: ClientConnection) -> None:
    """All may have been on its way before the server had read enough to close."""
    what(opened)
    while True:
        opened.recv(deadlines.seconds(15))


@pytest.mark.parametrize("what", TOO_MUCH)
def test_a_socket_on_which_much_is_said_is_closed(
    what: Callable[[ClientConnection], None], web: stack.Web, make_sale: MakeSale
) -> None:
    with page(web, f"/ws/sales/{make_sale().slug}/") as opened:
        with pytest.raises(ConnectionClosed):
            say_and_listen(what, opened)
        assert closed_with(opened) in (1008, 1009, None)  # who is still talking may not hear it


def test_a_page_that_says_a_little_is_told_on(web: stack.Web, make_sale: MakeSale) -> None:
    with page(web, f"/ws/sales/{make_sale().slug}/") as opened:
        for _ in range(20):
            opened.send("x" * 20)
            assert opened.ping().wait(deadlines.seconds(15))
        assert "html" not in str(opened.recv(deadlines.seconds(15)))


# --- Who does not read ----------------------------------------------------------------------------

HANDSHAKE = (
    "GET {path} HTTP/1.1\r\nHost: {host}\r\nOrigin: http://{host}\r\nConnection: Upgrade\r\n"
    "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)


def test_who_answers_no_ping_is_let_go(hasty: stack.Web, make_sale: MakeSale) -> None:
    host = hasty.url.removeprefix("http://")
    head = HANDSHAKE.format(path=f"/ws/sales/{make_sale().slug}/", host=host)
    with raw.connect(hasty.url) as connection:
        connection.sendall(head.encode())
        assert raw.statuses(raw.heard(connection)) == [101]


def test_who_takes_in_nothing_is_given_up_by_the_kernel(hasty: stack.Web) -> None:
    path = staticfiles_storage.url("js/shop.js")
    request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAccept-Encoding: identity\r\n\r\n"
    with raw.connect(hasty.url, receives=4096) as connection:
        connection.sendall(request.encode())
        connection.recv(1)
        stack.wait_for(lambda: not held_by_server(connection), "the connection is given up")


def held_by_server(connection: socket.socket) -> bool:
    """Whether the other end still exists: a browser that is given up is not told."""
    own, other = connection.getsockname()[1], connection.getpeername()[1]
    held = Path("/proc/net/tcp").read_text()
    return f"0100007F:{other:04X} 0100007F:{own:04X} " in held
