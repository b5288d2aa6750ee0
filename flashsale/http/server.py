"""uvicorn with the bounds that it lacks: on requests, on WebSockets, and on clients that stop reading.

The one file that uses uvicorn's private parts; `flashsale/tests/test_private_apis.py` checks them.
"""

import asyncio
import logging
import signal
import socket
import sys
from collections.abc import Callable
from functools import partial
from http import HTTPStatus
from types import FrameType
from typing import Any, cast

import uvicorn
from django.conf import settings
from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import CloseCode
from websockets.http11 import Request

from flashsale.http.endpoint import WHOLE
from flashsale.http.listening import BACKLOG
from flashsale.http.sockets import TEXT_FRAME

log = logging.getLogger(__name__)

APPLICATION = "flashsale.asgi:application"
GRACEFUL_SECONDS = 4  # to finish requests that arrived before a stop; WebSockets are closed at once
MOST_HEAD = 65_536  # bytes
MOST_BODY = 64 * 1024 * 1024  # bytes, read or discarded; `flashsale/asgi.py` answers before that
LINGER_SECONDS = 30.0  # to read an answer that came before the whole request was sent
REQUEST_SECONDS = 10.0  # to receive a whole request, from its first byte or from the connection
LEAST_RATE = 4096  # bytes a second: a large request gets this much more time
# The input that a WebSocket may send: more than a browser's pongs to the server's pings.
MOST_FRAME, MOST_INPUT = 1024, 4096  # bytes: of a frame, and in INPUT_WINDOW
INPUT_WINDOW = 10.0  # seconds
MOST_UNREAD = 16_384  # unsent bytes of a WebSocket; beyond, frames wait and only the newest is kept
UNACKNOWLEDGED = 60_000  # ms without an ACK until the kernel closes a connection


class BoundedRequest(HttpToolsProtocol):
    """Bounds the size and the duration of a request: uvicorn with httptools reads and waits without limit.

    Uses uvicorn's own timer of idle connections, and only for requests that do not arrive in one piece.
    """

    _whole = False  # the latest request has arrived completely
    _in_head = True
    _read = 0  # bytes of the latest request
    _began = 0.0  # by the loop's clock
    _answering: RequestResponseCycle | None = None
    _lingering = False  # answered for the last time: what still comes is discarded

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's
        super().connection_made(transport)
        self._closing = _Closing(transport, self.close_when_read)
        self._began = self.loop.time()
        self._set_deadline()

    def connection_lost(self, exc: Exception | None) -> None:
        """Mark the request in progress as disconnected.

        uvicorn marks only the last of several pipelined requests; the others would fail on writing.
        """
        if self._answering is not None:
            self._answering.disconnected = True
            self._answering.message_event.set()
        super().connection_lost(exc)
        self._closing.close = self.transport.close  # no circle: freed without the garbage collector

    def data_received(self, data: bytes) -> None:
        if not self._lingering:
            super().data_received(data)
        if self._whole and self.cycle is not None and not self.cycle.response_complete:
            return  # its answer is in progress
        if self.transport.is_closing() or self.transport.get_protocol() is not self:
            return  # refused, or upgraded to a WebSocket
        self._read += len(data)
        if self._in_head and self._read > MOST_HEAD and not self._lingering:
            self.send_400_response("The request is too large.")
        elif self._read > MOST_BODY:
            self.transport.close()
        elif not self._lingering:
            self._set_deadline()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._whole, self._in_head, self._read = False, True, 0
        self._began = self.loop.time()

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._in_head:
            # uvicorn would treat it as a header, and proxies do not filter trailers.
            raise ValueError("a trailer")
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._in_head = False
        length = len(self.url) + sum([len(name) + len(value) for name, value in self.headers])
        if length > MOST_HEAD:
            raise ValueError("the head is too large")  # uvicorn answers 400
        version = self.parser.get_http_version()
        if version not in ("1.0", "1.1"):
            raise ValueError("another HTTP")
        if not self.url.startswith(b"/"):
            self._check_target()
        if version == "1.0":
            self.expect_100_continue = False  # RFC 9110, section 10.1.1
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._whole = True
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Restart the timer, which uvicorn stops here, if the next request has partly arrived."""
        if self._lingering:
            return
        super().on_response_complete()
        if not self._whole and not self.transport.is_closing():
            self._set_deadline()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self._answering = cycle
        cycle.transport = cast(asyncio.Transport, self._closing)
        if cycle.waiting_for_100_continue:
            cycle.keep_alive = False  # after a refusal the client may send the body or not
        extensions: Any = {WHOLE: partial(_send_whole, cycle)}  # uvicorn's type has only ASGI's own
        cycle.scope["extensions"] = extensions
        super()._start_asgi_task(cycle, app)

    def send_400_response(self, msg: str) -> None:
        """As uvicorn's, but closed so that the client can read it."""
        self._whole = False  # what follows is unknown
        common = [b"%b: %b\r\n" % header for header in self.server_state.default_headers]
        head = b"content-type: text/plain; charset=utf-8\r\ncontent-length: %d\r\n" % len(msg)
        end = b"connection: close\r\n\r\n" + msg.encode("ascii")
        self.transport.write(b"".join([STATUS_LINE[400], *common, head, end]))
        self.close_when_read()

    def close_when_read(self) -> None:
        """Close the connection. If the client is still sending, end the answer and discard the rest first.

        To close with unread input resets the connection, and the client may lose the answer (RFC 9112,
        section 9.6).
        """
        if self._whole or self.transport.is_closing():
            self.transport.close()
            return
        self._lingering = True
        if self._answering is not None:
            self._answering.disconnected = True  # nothing can be written from now on
            self._answering.message_event.set()
        self.transport.write_eof()
        self.flow.resume_reading()
        self._unset_keepalive_if_required()
        self.timeout_keep_alive_task = self.loop.call_later(
            LINGER_SECONDS, self.timeout_keep_alive_handler
        )

    def _check_target(self) -> None:
        """Require that an absolute target (RFC 9112, section 3.2.2) names the Host header's host.

        Otherwise a proxy and this server would read two different requests.
        """
        hosts = [value for name, value in self.headers if name == b"host"]
        if self.url != b"*" and self.url.split(b"/", 3)[1:3] != [b"", *hosts]:
            raise ValueError("another target")

    def _set_deadline(self) -> None:
        """Set the timer that closes the connection unless the whole request arrives in time."""
        until = self._began + REQUEST_SECONDS + self._read / LEAST_RATE
        self._unset_keepalive_if_required()
        self.timeout_keep_alive_task = self.loop.call_later(
            max(0.0, until - self.loop.time()), self.timeout_keep_alive_handler
        )


class _Closing:
    """The transport as an answer uses it, with another way to close."""

    def __init__(self, transport: asyncio.Transport, close: Callable[[], None]) -> None:
        self.write, self.is_closing, self.close = transport.write, transport.is_closing, close


def _send_whole(cycle: RequestResponseCycle, status: int, head: bytes, body: bytes) -> bool:
    """Send an answer in one write. False if the client reads slowly or has disconnected: then the caller
    sends it through ASGI, in two messages.

    uvicorn assembles and validates a head line by line, which costs as much as half of the answer
    (`docs/decisions/0011-whole-answers.md`).
    """
    if cycle.flow.write_paused or cycle.disconnected or cycle.response_started:
        return False
    cycle.response_started = cycle.response_complete = True
    cycle.waiting_for_100_continue = False
    date = b"".join([b"%b: %b\r\n" % header for header in cycle.default_headers])
    end = b"\r\n" if cycle.keep_alive else b"connection: close\r\n\r\n"
    cycle.transport.write(b"".join((STATUS_LINE[status], date, head, end, body)))
    cycle.message_event.set()
    if not cycle.keep_alive:
        cycle.transport.close()
    cycle.on_response()
    return True


class BoundedSocket(WebSocketsSansIOProtocol):
    """Closes a WebSocket that sends much: pages send nothing, and each ping makes the server write a pong,
    whether the client reads it or not."""

    _heard = 0  # bytes in the current window
    _since = 0.0  # the start of the window, by the loop's clock

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.transport.set_write_buffer_limits(high=MOST_UNREAD)

    def data_received(self, data: bytes) -> None:
        if not self.handshake_initiated:
            self._receive_handshake(data)
            return
        now = self.loop.time()
        if now - self._since > INPUT_WINDOW:
            self._since, self._heard = now, 0
        self._heard += len(data)
        if self._heard <= MOST_INPUT:
            super().data_received(data)
        elif not self.transport.is_closing():
            self.conn.fail(CloseCode.POLICY_VIOLATION)
            self.transport.write(b"".join(self.conn.data_to_send()))
            self.close_sent = True
            self.transport.close()

    def handle_connect(self, event: Request) -> None:
        super().handle_connect(event)
        if (
            self.response.status_code == HTTPStatus.SWITCHING_PROTOCOLS
        ):  # otherwise there is no scope
            extensions: Any = self.scope["extensions"]
            extensions[TEXT_FRAME] = self._send_frame

    def _send_frame(self, frame: bytes) -> bool:
        """Write a frame that was encoded once for many sockets.

        False if the socket cannot take it now or is closed: then the caller sends it through ASGI, at
        several times the cost.
        """
        open_ = self.handshake_complete and not (self.close_sent or self.disconnected)
        if not open_ or not self.writable.is_set() or self.transport.is_closing():
            return False
        self.transport.write(frame)
        return True

    def keepalive_timeout(self) -> None:
        """Drop the connection with its unsent data: a client that answers no ping reads nothing."""
        super().keepalive_timeout()
        self.transport.abort()

    def _receive_handshake(self, head: bytes) -> None:
        """Answer 400 to an invalid handshake, such as a form that requests an upgrade: `websockets` sends
        nothing."""
        super().data_received(head)
        if not self.handshake_initiated:
            self.transport.write(b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\r\n")
            self.transport.close()


def serve(listener: socket.socket, application: Any = APPLICATION) -> None:
    """Serve until SIGTERM or SIGINT. Exits when open requests have finished, or after GRACEFUL_SECONDS."""
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # accepted sockets inherit it
    if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux only
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNACKNOWLEDGED)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _exit)  # uvicorn raises the signal again when it has finished
    Server(configuration(application)).run(sockets=[listener])


class Server(uvicorn.Server):
    """Logs one line with its address: uvicorn's own line comes with five others."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started and sockets and settings.PRODUCTION:  # in a demo `up` prints the address
            host, port, *_ = sockets[0].getsockname()
            log.info("listening on %s port %s", host, port)


def configuration(application: Any = APPLICATION) -> uvicorn.Config:
    return uvicorn.Config(
        application,
        loop="uvloop",
        http=BoundedRequest,
        ws=BoundedSocket,
        ws_max_size=MOST_FRAME,
        ws_per_message_deflate=False,  # it more than doubles the memory of a socket
        lifespan="on",
        log_config=None,  # flashsale/observe/logs.py formats uvicorn's lines, too
        log_level="warning",
        reset_contextvars=True,  # so that a log line names its own request's purchase, not the previous one
        access_log=False,
        proxy_headers=False,  # TRUSTED_PROXIES decides which proxies are trusted
        server_header=False,
        backlog=BACKLOG,
        timeout_graceful_shutdown=GRACEFUL_SECONDS,
    )


def _exit(number: int, frame: FrameType | None) -> None:
    sys.exit(0)
