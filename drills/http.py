"""A lean HTTP/1.1 client: keeps its connection, sends one request at a time, reads one answer.

A load generator shares the machine with what it measures, so it must cost little; it only understands
what the product answers (a Content-Length on everything). Time-outs are the caller's: who gives up on
an answer, by being cancelled, has the connection closed.
"""

import asyncio
import ssl
from collections.abc import Mapping
from typing import NamedTuple, cast


class Answer(NamedTuple):
    status: int
    headers: bytes
    body: bytes

    def header(self, name: str) -> str:
        """The first header of that name, or an empty string."""
        start = self.headers.lower().find(b"\r\n" + name.lower().encode() + b":")
        if start < 0:
            return ""
        line = self.headers[start + 2 :].split(b"\r\n", 1)[0]
        return line.partition(b":")[2].strip().decode("latin-1")


class Connection(asyncio.Protocol):
    """One keep-alive connection."""

    def __init__(self) -> None:
        self._received = b""
        self._waiting: asyncio.Future[Answer] | None = None
        self._transport: asyncio.Transport | None = None

    @classmethod
    async def open(cls, host: str, port: int, tls: ssl.SSLContext | None = None) -> "Connection":
        loop = asyncio.get_running_loop()
        _, protocol = await loop.create_connection(cls, host, port, ssl=tls)
        return protocol

    @property
    def usable(self) -> bool:
        """Whether nobody has closed it: servers close a connection that was idle for seconds."""
        return self._transport is not None and not self._transport.is_closing()

    async def send(self, request: bytes) -> Answer:
        """Raises ConnectionError where the server went away before it answered."""
        if self._transport is None or self._transport.is_closing():
            raise ConnectionError("closed")
        self._waiting = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        try:
            return await self._waiting
        except asyncio.CancelledError:
            self.close()  # the answer may still come, and would be taken for the next one
            raise

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass of it

    def data_received(self, data: bytes) -> None:
        self._received += data
        end = self._received.find(b"\r\n\r\n")
        if end < 0:
            return
        head = self._received[:end].lower()
        start = head.find(b"content-length:")
        length = int(head[start + 15 :].split(b"\r\n", 1)[0]) if start >= 0 else 0
        if len(self._received) < end + 4 + length:
            return
        body = self._received[end + 4 : end + 4 + length]
        answer = Answer(int(head[9:12]), self._received[:end], body)
        self._received = self._received[end + 4 + length :]
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(answer)

    def connection_lost(self, error: Exception | None) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(ConnectionError("the server closed the connection"))


def get(path: str, host: str, cookie: str = "") -> bytes:
    return request("GET", path, _headers(host, cookie))


def post(path: str, host: str, cookie: str, form: str) -> bytes:
    headers = _headers(host, cookie) | {"Content-Type": "application/x-www-form-urlencoded"}
    return request("POST", path, headers, form.encode())


def request(method: str, path: str, headers: Mapping[str, str], body: bytes | None = None) -> bytes:
    """A request as it is sent. A body gets its length in front."""
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    if body is not None:
        lines.append(f"Content-Length: {len(body)}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + (body or b"")


def _headers(host: str, cookie: str) -> dict[str, str]:
    headers = {"Host": host, "Accept": "application/json"}
    return headers | {"Cookie": cookie} if cookie else headers
