"""One web process: uvicorn on a listening socket, its own or one that it inherits.

One that is inherited belongs to `manage.py up`. While a web process is started again, newcomers wait in
the socket's queue instead of being refused.
"""

import argparse
import asyncio
import errno
import logging
import resource
import signal
import socket
import sys
from functools import partial
from http import HTTPStatus
from types import FrameType
from typing import Any

import uvicorn
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import CloseCode
from websockets.http11 import Request

from flashsale import variables
from flashsale.http.endpoint import TEXT_FRAME, WHOLE

log = logging.getLogger(__name__)

APPLICATION = "flashsale.asgi:application"
GRACEFUL_SECONDS = 4  # for requests that came before a stop; WebSockets are closed at once
MOST_HEAD = 65_536  # bytes
MOST_BODY = 16 * 1024 * 1024  # bytes: a picture for admin, with room
REQUEST_SECONDS = 10.0  # until a request has come, from its first byte, or from the connection
LEAST_RATE = 4096  # bytes a second: a larger one may take longer
# What a socket may say: more than a browser's answers to our pings.
MOST_FRAME, MOST_SAID, SPAN = 1024, 4096, 10.0  # bytes; bytes in so many seconds
MOST_UNREAD = 16_384  # bytes that wait for a socket, then frames wait, and only the newest is kept
UNACKNOWLEDGED = 60_000  # ms after which a browser that takes in nothing is given up, by the kernel
BACKLOG = 4096  # a crowd connects in the same second
LOOPBACK = "127.0.0.1"


class BoundedRequest(HttpToolsProtocol):
    """Cuts off who sends more than any browser, or takes longer: uvicorn with httptools would read on,
    and wait, for ever. What it waits for is timed by uvicorn's own timer of idle connections, and only
    where a request has not come in one piece."""

    _whole = False  # all of the latest request has come
    _in_head = True
    _read = 0  # bytes of it
    _began = 0.0
    _answering: RequestResponseCycle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's
        super().connection_made(transport)
        self._began = self.loop.time()
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tells the request that is being answered; uvicorn tells the last of those that wait, and the
        others stumble over a connection that is gone."""
        if self._answering is not None:
            self._answering.disconnected = True
            self._answering.message_event.set()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._whole and self.cycle is not None and not self.cycle.response_complete:
            return  # it is being answered
        if self.transport.is_closing() or self.transport.get_protocol() is not self:
            return  # refused, or a socket by now
        self._read += len(data)
        if self._read > (MOST_HEAD if self._in_head else MOST_BODY):
            self.send_400_response("The request is too large.")
        else:
            self._wait()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._whole, self._in_head, self._read = False, True, 0
        self._began = self.loop.time()

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._in_head:
            # uvicorn would take it for a header, and proxies have not looked at it.
            raise ValueError("a trailer")
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._in_head = False
        length = len(self.url) + sum([len(name) + len(value) for name, value in self.headers])
        if length > MOST_HEAD:
            raise ValueError("the head is too large")  # answered by uvicorn as a bad request: 400
        if self.parser.get_http_version() not in ("1.0", "1.1"):
            raise ValueError("another HTTP")
        if not self.url.startswith(b"/"):
            self._check_target()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._whole = True
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """uvicorn stops its timer where a next request has begun to come."""
        super().on_response_complete()
        if not self._whole and not self.transport.is_closing():
            self._wait()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self._answering = cycle
        extensions: Any = {WHOLE: partial(_send_whole, cycle)}  # the type knows those of ASGI only
        cycle.scope["extensions"] = extensions
        super()._start_asgi_task(cycle, app)

    def _check_target(self) -> None:
        """A whole address as the target (RFC 9112, section 3.2.2) is that of the host, or a proxy in front
        and we would read two different requests."""
        hosts = [value for name, value in self.headers if name == b"host"]
        if self.url != b"*" and self.url.split(b"/", 3)[1:3] != [b"", *hosts]:
            raise ValueError("another target")

    def _wait(self) -> None:
        """Closes the connection unless the request is there in time."""
        until = self._began + REQUEST_SECONDS + self._read / LEAST_RATE
        self._unset_keepalive_if_required()
        self.timeout_keep_alive_task = self.loop.call_later(
            max(0.0, until - self.loop.time()), self.timeout_keep_alive_handler
        )


def _send_whole(cycle: RequestResponseCycle, status: int, head: bytes, body: bytes) -> bool:
    """Sends an answer in one piece. False where it is to be sent in two, as ASGI has it: whoever asked
    reads slowly, or has gone.

    uvicorn puts a head together line by line, and looks through each for what no header may hold: for a
    crowd that costs as much as half of the answer (`docs/decisions/0011-whole-answers.md`).
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
    """Closes a socket on which much is said: pages say nothing, and each ping makes the server write a
    pong, whether it is read or not."""

    _heard = 0  # bytes in the present span
    _since = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.transport.set_write_buffer_limits(high=MOST_UNREAD)

    def data_received(self, data: bytes) -> None:
        if not self.handshake_initiated:
            self._shake_hands(data)
            return
        now = self.loop.time()
        if now - self._since > SPAN:
            self._since, self._heard = now, 0
        self._heard += len(data)
        if self._heard <= MOST_SAID:
            super().data_received(data)
        elif not self.transport.is_closing():
            self.conn.fail(CloseCode.POLICY_VIOLATION)
            self.transport.write(b"".join(self.conn.data_to_send()))
            self.close_sent = True
            self.transport.close()

    def handle_connect(self, event: Request) -> None:
        super().handle_connect(event)
        if self.response.status_code == HTTPStatus.SWITCHING_PROTOCOLS:  # or nobody is asked
            extensions: Any = self.scope["extensions"]
            extensions[TEXT_FRAME] = self._send_frame

    def _send_frame(self, frame: bytes) -> bool:
        """Writes a frame that was made once for many sockets. False where it has to wait, or nobody is
        there any more: then it goes the usual way, which costs several times as much."""
        open_ = self.handshake_complete and not (self.close_sent or self.disconnected)
        if not open_ or not self.writable.is_set() or self.transport.is_closing():
            return False
        self.transport.write(frame)
        return True

    def keepalive_timeout(self) -> None:
        """Who answers no ping reads nothing: nothing more is kept for them."""
        super().keepalive_timeout()
        self.transport.abort()

    def _shake_hands(self, head: bytes) -> None:
        """`websockets` is silent about what is none, such as a form that asks for an upgrade."""
        super().data_received(head)
        if not self.handshake_initiated:
            self.transport.write(b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\r\n")
            self.transport.close()


def main() -> None:
    allow_many_sockets()
    parser = argparse.ArgumentParser(prog="python -m flashsale.web", description=__doc__)
    parser.add_argument(
        "--fd", type=int, help="an inherited socket's descriptor, instead of HOST and PORT"
    )
    fd = parser.parse_args().fd
    try:
        serve(listen() if fd is None else socket.socket(fileno=fd))
    except (CannotListen, ImproperlyConfigured) as error:
        sys.exit(str(error))


class CannotListen(Exception):
    """The address cannot be had; the message says why."""


def listen() -> socket.socket:
    """A listening TCP socket at HOST and PORT. Raises CannotListen."""
    host, port = variables.text("HOST", LOOPBACK), variables.whole("PORT", 8000, most=65535)
    try:
        family, kind, _, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as error:
        hint = " Choose another with PORT." if error.errno == errno.EADDRINUSE else ""
        raise CannotListen(f"Cannot listen on {host}:{port}: {error.strerror}.{hint}") from error
    listener.listen(BACKLOG)
    return listener


def reachable(host: str) -> str:
    """Where this machine reaches a process that listens there: "all addresses" is none to connect to."""
    return {"0.0.0.0": LOOPBACK, "::": "::1"}.get(host, host)  # noqa: S104  # not bound to


def url(host: str, port: int) -> str:
    """The shop's front page."""
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"


def serve(listener: socket.socket, application: Any = APPLICATION) -> None:
    """Serves until SIGTERM. Returns with open requests finished or given up."""
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # accepted ones inherit it
    if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux has it
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNACKNOWLEDGED)
    signal.signal(signal.SIGTERM, _end)  # uvicorn repeats the signal when it has finished
    Server(configuration(application)).run(sockets=[listener])


class Server(uvicorn.Server):
    """One whose log begins with where it listens: uvicorn's own line comes with five others."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started and sockets and settings.PRODUCTION:  # of a demo `up` says it
            host, port, *_ = sockets[0].getsockname()
            log.info("listening on %s port %s", host, port)


def allow_many_sockets() -> None:
    """Raises the limit of open files to what the system allows: each socket is one."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most != resource.RLIM_INFINITY:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def configuration(application: Any = APPLICATION) -> uvicorn.Config:
    return uvicorn.Config(
        application,
        loop="uvloop",
        http=BoundedRequest,
        ws=BoundedSocket,
        ws_max_size=MOST_FRAME,
        ws_per_message_deflate=False,  # more than doubles the memory of a socket
        lifespan="on",
        log_config=None,  # its lines are ours: see flashsale/observe/logs.py
        log_level="warning",
        reset_contextvars=True,  # of the request before: what is logged names the purchase of its own
        access_log=False,
        proxy_headers=False,  # TRUSTED_PROXIES decides whom to believe
        server_header=False,
        backlog=BACKLOG,
        timeout_graceful_shutdown=GRACEFUL_SECONDS,
    )


def _end(number: int, frame: FrameType | None) -> None:
    sys.exit(0)


if __name__ == "__main__":
    main()
