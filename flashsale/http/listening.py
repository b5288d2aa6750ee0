"""The listening socket of the web processes, its address, and the limit of open files."""

import errno
import resource
import socket

from flashsale import variables

BACKLOG = 4096  # a crowd connects in the same second
LOOPBACK = "127.0.0.1"


class CannotListen(Exception):
    """The address cannot be bound; the message says why."""


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
    """The address at which this machine reaches a process that listens on `host`, perhaps a wildcard."""
    return {"0.0.0.0": LOOPBACK, "::": "::1"}.get(host, host)  # noqa: S104  # not bound to


def url(host: str, port: int) -> str:
    """The shop's front page."""
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"


def allow_many_sockets() -> None:
    """Raise the limit of open files to the system's maximum: each socket is one."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most != resource.RLIM_INFINITY:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
