"""What two servers could read in two ways is refused, and what follows it is never read as a request."""

import pytest

from tests import stack
from tests.security.raw import HOST, say, statuses

SECOND = b"GET /livez HTTP/1.1\r\n" + HOST + b"\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"


def form(*lines: bytes) -> bytes:
    return b"POST /livez HTTP/1.1\r\n" + HOST + b"".join(lines) + b"\r\n"


UNCLEAR = {
    "a length and chunks": form(b"Content-Length: 5\r\n", CHUNKED) + b"0\r\n\r\n",
    "chunks and a length": form(CHUNKED, b"Content-Length: 5\r\n") + b"0\r\n\r\n",
    "two lengths": form(b"Content-Length: 5\r\n", b"Content-Length: 6\r\n") + b"abcde",
    "the same length twice": form(b"Content-Length: 5\r\n", b"Content-Length: 5\r\n") + b"abcde",
    "a list of lengths": form(b"Content-Length: 5, 5\r\n") + b"abcde",
    "a length with a sign": form(b"Content-Length: +5\r\n") + b"abcde",
    "a length below nothing": form(b"Content-Length: -1\r\n"),
    "a length in hexadecimal": form(b"Content-Length: 0x5\r\n") + b"abcde",
    "a length with a space in it": form(b"Content-Length: 1 0\r\n") + b"a",
    "an empty length": form(b"Content-Length: \r\n"),
    "a length beyond all numbers": form(b"Content-Length: 18446744073709551621\r\n") + b"abcde",
    "a space before the colon": form(b"Content-Length : 5\r\n") + b"abcde",
    "a space before the chunks' colon": form(b"Transfer-Encoding : chunked\r\n") + b"0\r\n\r\n",
    "almost chunks": form(b"Transfer-Encoding: xchunked\r\n") + b"0\r\n\r\n",
    "chunks that are not the last coding": form(b"Transfer-Encoding: chunked, gzip\r\n"),
    "no coding": form(b"Transfer-Encoding: identity\r\n"),
    "two codings": form(CHUNKED, b"Transfer-Encoding: identity\r\n") + b"0\r\n\r\n",
    "chunks after a vertical tab": form(b"Transfer-Encoding:\x0bchunked\r\n") + b"0\r\n\r\n",
    "a chunk without a size": form(CHUNKED) + b"xyz\r\n",
    "a chunk's size with a sign": form(CHUNKED) + b"+0\r\n\r\n",
    "a chunk's size with a prefix": form(CHUNKED) + b"0x0\r\n\r\n",
    "a chunk beyond all numbers": form(CHUNKED) + b"fffffffffffffffff0\r\n\r\n",
    "a chunk longer than it says": form(CHUNKED) + b"1\r\nabc\r\n0\r\n\r\n",
    "chunks with bare line feeds": form(CHUNKED) + b"1\na\n0\n\n",
    "a line feed in a chunk's extension": form(CHUNKED) + b"1;a\nb\r\na\r\n0\r\n\r\n",
    "a length after the chunks": form(CHUNKED) + b"0\r\nContent-Length: 44\r\n\r\n",
    "an address after the chunks": form(CHUNKED) + b"0\r\nX-Forwarded-For: 192.0.2.1\r\n\r\n",
    "bare line feeds": b"GET /livez HTTP/1.1\nHost: localhost\n\n",
    "a bare line feed": b"GET /livez HTTP/1.1\r\nHost: localhost\nX: y\r\n\r\n",
    "a bare carriage return": b"GET /livez HTTP/1.1\r\nHost: localhost\rX: y\r\n\r\n",
    "a folded line": form(b"X: a\r\n", b" b\r\n"),
    "folded chunks": form(b"Transfer-Encoding:\r\n", b" chunked\r\n") + b"0\r\n\r\n",
    "a line that begins with a space": b"GET /livez HTTP/1.1\r\n Host: localhost\r\n\r\n",
    "a line without a colon": form(b"nonsense\r\n"),
    "a line without a name": form(b": x\r\n"),
    "a NUL in a value": form(b"X: a\0b\r\n"),
    "a NUL in a name": form(b"X\0: a\r\n"),
    "a NUL in the address": b"GET /liv\0ez HTTP/1.1\r\n" + HOST + b"\r\n",
    "HTTP/0.9": b"GET /livez\r\n\r\n",
    "HTTP/2 in words": b"GET /livez HTTP/2.0\r\n" + HOST + b"\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "another host's address": b"GET http://evil.example/livez HTTP/1.1\r\n" + HOST + b"\r\n",
    "an address without a host": b"GET http:///livez HTTP/1.1\r\n" + HOST + b"\r\n",
    "a tunnel": b"CONNECT localhost:80 HTTP/1.1\r\n" + HOST + b"\r\n",
    "an address that is none": b"GET livez HTTP/1.1\r\n" + HOST + b"\r\n",
    "a form that becomes a socket": form(
        b"Connection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 5\r\n"
    )
    + b"abcde",
}


@pytest.mark.parametrize("what", UNCLEAR)
def test_a_request_that_can_be_read_in_two_ways_is_a_bad_one_and_the_last(
    what: str, web: stack.Web
) -> None:
    assert statuses(say(web.url, UNCLEAR[what] + SECOND)) == [400]


SOCKET = b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
KEY = b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"


@pytest.mark.parametrize("lines", [SOCKET + KEY, SOCKET, SOCKET + b"Sec-WebSocket-Key: x\r\n"])
def test_a_socket_that_cannot_be_is_refused_and_nothing_after_it_is_read(
    lines: bytes, web: stack.Web
) -> None:
    [status] = statuses(say(web.url, form(lines) + SECOND))
    assert status in (400, 405)


CLOSING = b"Connection: close\r\n"


def test_what_the_body_holds_is_not_a_request(web: stack.Web) -> None:
    length = b"Content-Length: %d\r\n" % len(SECOND)
    head = b"GET /livez HTTP/1.1\r\n" + HOST + length + CLOSING + b"\r\n"
    assert statuses(say(web.url, head + SECOND)) == [200]


def test_after_the_last_request_nothing_is_read(web: stack.Web) -> None:
    last = b"GET /livez HTTP/1.1\r\n" + HOST + CLOSING + b"\r\n"
    assert statuses(say(web.url, last + SECOND)) == [200]


def test_one_request_after_another_is_answered_in_order(web: stack.Web) -> None:
    """So that what is refused above is refused for what it is."""
    body = form(CHUNKED) + b"5\r\nabcde\r\n0\r\n\r\n"
    last = b"GET http://localhost/livez HTTP/1.1\r\n" + HOST + CLOSING + b"\r\n"
    assert statuses(say(web.url, body + SECOND + last)) == [403, 200, 200]
