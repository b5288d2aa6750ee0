"""Who takes too long for a request, or sends too much, is cut off; nobody else is."""

import socket
import struct
import time
from itertools import repeat

import pytest
from django.contrib.staticfiles.storage import staticfiles_storage

from conftest import MakeSale
from tests import deadlines, stack
from tests.cast import Shopper, skus
from tests.security.hasty import REQUEST_SECONDS
from tests.security.raw import HOST, connect, drip, heard, say, statuses

HEAD = b"GET /livez HTTP/1.1\r\n" + HOST
LAST = HEAD + b"Connection: close\r\n\r\n"
FORM = b"POST /admin/login/ HTTP/1.1\r\n" + HOST + b"Content-Type: text/plain\r\n"
LONG = FORM + b"Content-Length: 1000000\r\n\r\n"
CHUNKS = FORM + b"Transfer-Encoding: chunked\r\n\r\n"
CLICK = (
    b"POST /sales/drop/buy HTTP/1.1\r\n"
    + HOST
    + b"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 100\r\n\r\n"
)
PAUSE = REQUEST_SECONDS / 10

SLOW = {
    "says nothing": [b""],
    "stops in its first line": [HEAD[:7]],
    "never ends its head": [HEAD, *repeat(b"X: y\r\n", 500)],
    "sends its head sign by sign": [HEAD, *repeat(b"x", 500)],
    "sends empty lines": [*repeat(b"\r\n", 500)],
    "stops in its body": [LONG, b"x"],
    "sends its body sign by sign": [LONG, *repeat(b"x", 500)],
    "stops in the body of a second request": [HEAD + b"\r\n" + LONG],
    "stops in the body of a second click": [HEAD + b"\r\n" + CLICK],
    "sends its body in tiny chunks": [CHUNKS, *repeat(b"1\r\nx\r\n", 500)],
}


@pytest.mark.parametrize("who", SLOW)
@pytest.mark.deep
def test_who_does_not_finish_a_request_is_cut_off(who: str, hasty: stack.Web) -> None:
    assert drip(hasty.url, SLOW[who], PAUSE) < deadlines.seconds(REQUEST_SECONDS * 10)


def test_who_was_answered_once_is_cut_off_as_well(hasty: stack.Web) -> None:
    again = [HEAD + b"\r\n", HEAD, *repeat(b"X: y\r\n", 500)]
    assert drip(hasty.url, again, PAUSE) < deadlines.seconds(REQUEST_SECONDS * 10)


def test_a_large_body_that_comes_steadily_has_its_time(hasty: stack.Web) -> None:
    """A picture for admin, over a line that is slow."""
    pieces = 6
    with connect(hasty.url) as connection:
        connection.sendall(FORM + b"Content-Length: %d\r\n" % (pieces * 8192))
        connection.sendall(b"Connection: close\r\n\r\n")
        for _ in range(pieces):
            connection.sendall(b"x" * 8192)
            time.sleep(REQUEST_SECONDS / 4)  # a browser's pace, not a wait for something
        assert statuses(heard(connection)) == [403]


def test_a_form_that_is_sent_slowly_buys_once_it_is_whole(
    hasty: stack.Web, make_sale: MakeSale
) -> None:
    sale, shopper = make_sale(), Shopper(hasty.url)
    form = f"ticket={shopper.ticket(sale)}&product={skus(sale)[0]}".encode()
    cookie = f"shopper={shopper.client.cookies['shopper']}".encode()
    head = b"POST /sales/%s/buy HTTP/1.1\r\n" % sale.slug.encode() + HOST
    head += b"Cookie: " + cookie + b"\r\nContent-Type: application/x-www-form-urlencoded\r\n"
    head += b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(form)
    with connect(hasty.url) as connection:
        for piece in (head[:20], head[20:], form[:9], form[9:]):
            connection.sendall(piece)
        assert statuses(heard(connection)) == [303]


def test_a_body_without_end_is_cut_off(web: stack.Web) -> None:
    with connect(web.url) as connection:
        connection.sendall(CHUNKS)
        with pytest.raises(ConnectionError):
            send_on_and_on(connection, b"100000\r\n" + b"x" * 0x100000 + b"\r\n")


def send_on_and_on(connection: socket.socket, piece: bytes) -> None:
    for _ in range(100):
        connection.sendall(piece)


def test_who_hangs_up_on_many_answers_leaves_nothing_in_the_log(
    capfd: pytest.CaptureFixture[str],
) -> None:
    path = staticfiles_storage.url("js/shop.js").encode()
    with stack.Web.running() as web:
        for _ in range(20):
            with connect(web.url, receives=4096) as connection:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                connection.sendall((b"GET %s HTTP/1.1\r\n" % path + HOST + b"\r\n") * 200)
                connection.recv(1)
                assert say(web.url, LAST)  # meanwhile the others' answers have filled the line
    assert "Traceback" not in "".join(capfd.readouterr())
