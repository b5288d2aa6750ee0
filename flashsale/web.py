"""One web process: uvicorn on a listening socket that it inherits.

The socket belongs to `manage.py up`. While a web process is started again, newcomers wait in the
socket's queue instead of being refused.
"""

import argparse
import resource
import signal
import socket
import sys
from types import FrameType

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

GRACEFUL_SECONDS = 4  # for requests that came before a stop; WebSockets are closed at once
MOST_HEAD = 65_536  # bytes
BACKLOG = 4096  # a crowd connects in the same second


class BoundedHead(HttpToolsProtocol):
    """Refuses a request whose line and headers are larger than any browser's: uvicorn with httptools
    would read on for ever."""

    _in_head = True
    _read = 0

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._read += len(data)
        if self._in_head and self._read > MOST_HEAD and not self.transport.is_closing():
            self.send_400_response("The request's head is too large.")

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head, self._read, self._head = True, 0, 0

    def on_url(self, url: bytes) -> None:
        self._count(url)
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._count(name + value)
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._in_head = False
        super().on_headers_complete()

    def _count(self, part: bytes) -> None:
        self._head += len(part)
        if self._head > MOST_HEAD:
            raise ValueError("the head is too large")  # answered by uvicorn as a bad request: 400


def main() -> None:
    allow_many_sockets()
    parser = argparse.ArgumentParser(prog="python -m flashsale.web", description=__doc__)
    parser.add_argument("--fd", type=int, required=True, help="the listening socket's descriptor")
    serve(socket.socket(fileno=parser.parse_args().fd))


def serve(listener: socket.socket) -> None:
    """Serves until SIGTERM. Returns with open requests finished or given up."""
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # accepted ones inherit it
    signal.signal(signal.SIGTERM, _end)  # uvicorn repeats the signal when it has finished
    uvicorn.Server(configuration()).run(sockets=[listener])


def allow_many_sockets() -> None:
    """Raises the limit of open files to what the system allows: each socket is one."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most != resource.RLIM_INFINITY:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def configuration() -> uvicorn.Config:
    return uvicorn.Config(
        "flashsale.asgi:application",
        loop="uvloop",
        http=BoundedHead,
        ws="websockets-sansio",
        ws_max_size=1024,  # pages have nothing to say
        ws_per_message_deflate=False,  # more than doubles the memory of a socket
        lifespan="on",
        log_level="warning",
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
