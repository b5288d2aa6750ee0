"""One web process: uvicorn on a listening socket that it inherits.

The socket belongs to `manage.py up`. While a web process is started again, newcomers wait in the
socket's queue instead of being refused.
"""

import argparse
import signal
import socket
import sys
from types import FrameType

import uvicorn

GRACEFUL_SECONDS = 4  # for requests that came before a stop; WebSockets are closed at once
BACKLOG = 4096  # a crowd connects in the same second


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m flashsale.web", description=__doc__)
    parser.add_argument("--fd", type=int, required=True, help="the listening socket's descriptor")
    serve(socket.socket(fileno=parser.parse_args().fd))


def serve(listener: socket.socket) -> None:
    """Serves until SIGTERM. Returns with open requests finished or given up."""
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # accepted ones inherit it
    signal.signal(signal.SIGTERM, _end)  # uvicorn repeats the signal when it has finished
    uvicorn.Server(configuration()).run(sockets=[listener])


def configuration() -> uvicorn.Config:
    return uvicorn.Config(
        "flashsale.asgi:application",
        loop="uvloop",
        http="httptools",
        ws="websockets-sansio",
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
