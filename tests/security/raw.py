"""Bytes as no client library would send them, and what the server says to them."""

import socket
import time
from collections.abc import Iterable
from urllib.parse import urlsplit

HOST = b"Host: localhost\r\n"
_PATIENCE = 30  # seconds


def connect(url: str, receives: int = 0) -> socket.socket:
    """A connection; with room for about so many bytes that have not been read."""
    address = urlsplit(url)
    connection = socket.socket()
    connection.settimeout(_PATIENCE)
    if receives:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receives)
    connection.connect((address.hostname, address.port))
    return connection


def say(url: str, sent: bytes) -> bytes:
    """All that the server answers to these bytes until it closes the connection."""
    with connect(url) as connection:
        connection.sendall(sent)
        return heard(connection)


def heard(connection: socket.socket) -> bytes:
    """Everything until the server closes. Raises TimeoutError where it does not."""
    answer = b""
    try:
        while chunk := connection.recv(65_536):
            answer += chunk
    except ConnectionResetError:  # closed while something was still on its way
        pass
    return answer


def drip(url: str, pieces: Iterable[bytes], pause: float) -> float:
    """Sends one piece after another. Gives the seconds until the server cut the connection off."""
    with connect(url) as connection:
        began = time.monotonic()
        connection.settimeout(pause)
        for piece in pieces:
            try:
                connection.sendall(piece)
                if not connection.recv(65_536):
                    break
            except TimeoutError:
                continue  # it still waits for more
            except ConnectionError:
                break
        else:
            connection.settimeout(_PATIENCE)
            heard(connection)
        return time.monotonic() - began


def statuses(answer: bytes) -> list[int]:
    """Of each response in it."""
    return [int(part[:3]) for part in answer.split(b"HTTP/1.1 ")[1:]]
