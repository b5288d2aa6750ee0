"""A lean HTTP/1.1 client: keeps its connection, sends one request at a time, reads one answer.

A load generator shares the machine with what it measures, so it must cost little; it only understands
what the product answers (a Content-Length on everything).
"""

import asyncio
from typing import NamedTuple, cast


class Answer(NamedTuple):
    status: int
    headers: bytes
    body: bytes


class Connection(asyncio.Protocol):
    """One keep-alive connection."""

    def __init__(self) -> None:
        self._received = b""
        self._waiting: asyncio.Future[Answer] | None = None
        self._transport: asyncio.Transport | None = None

    @classmethod
    async def open(cls, host: str, port: int) -> "Connection":
        _, protocol = await asyncio.get_running_loop().create_connection(cls, host, port)
        return protocol

    async def send(self, request: bytes) -> Answer:
        """Raises ConnectionError where the server went away before it answered."""
        if self._transport is None or self._transport.is_closing():
            raise ConnectionError("closed")
        self._waiting = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._waiting

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
    return _request("GET", path, host, cookie)


def post(path: str, host: str, cookie: str, form: str) -> bytes:
    return _request("POST", path, host, cookie, form)


def _request(method: str, path: str, host: str, cookie: str, form: str | None = None) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", f"Host: {host}", "Accept: application/json"]
    if cookie:
        lines.append(f"Cookie: {cookie}")
    if form is not None:
        lines += ["Content-Type: application/x-www-form-urlencoded", f"Content-Length: {len(form)}"]
    return ("\r\n".join(lines) + "\r\n\r\n" + (form or "")).encode()
