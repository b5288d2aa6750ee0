"""A minimal WebSocket client: thousands of sockets share a process, and the machine with the shop that they
measure. It implements only the parts of RFC 6455 that separate frames and answer a ping."""

import asyncio
import base64
import os
from collections.abc import Callable
from typing import cast

from drills.private_shop import HOST

Hear = Callable[[bytes], None]
_TEXT, _CLOSE, _PING = 0x81, 0x88, 0x89
_LONG = 126  # the length follows in two bytes
_PONG, _MASKED, _NO_MASK = 0x8A, 0x80, b"\0\0\0\0"  # a client must mask, with any mask


class Socket(asyncio.Protocol):
    """One open socket. It passes each text frame to `hear`, with or without the frame's head."""

    def __init__(self, hear: Hear) -> None:
        self._hear = hear
        self._received = bytearray()
        self._opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._transport: asyncio.Transport | None = None
        self.lost = False

    @classmethod
    async def open(cls, port: int, path: str, hear: Hear, cookie: str = "") -> "Socket":
        """Open a socket. Raises ConnectionError if the server refuses it."""
        loop = asyncio.get_running_loop()
        _, socket = await loop.create_connection(lambda: cls(hear), HOST, port)
        site = f"{HOST}:{port}"
        head = {
            "Host": site,
            "Origin": f"http://{site}",
            "Upgrade": "websocket",
            "Connection": "Upgrade",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": base64.b64encode(os.urandom(16)).decode(),
        }
        if cookie:
            head["Cookie"] = cookie
        lines = [f"GET {path} HTTP/1.1", *(f"{name}: {value}" for name, value in head.items())]
        assert socket._transport is not None
        socket._transport.write(("\r\n".join(lines) + "\r\n\r\n").encode())
        await socket._opened
        return socket

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True
        if not self._opened.done():
            self._opened.set_exception(ConnectionError("the server closed the socket"))

    def data_received(self, data: bytes) -> None:
        if not self._received and _is_one_text(data):
            self._hear(data)
            return
        self._received += data
        if not self._opened.done() and not self._finish_handshake():
            return
        while (frame := self._next_frame()) is not None:
            kind, content = frame
            if kind == _TEXT:
                self._hear(content)
            elif kind == _PING and self._transport is not None:
                pong = bytes((_PONG, _MASKED | len(content)))
                self._transport.write(pong + _NO_MASK + content)

    def _finish_handshake(self) -> bool:
        end = self._received.find(b"\r\n\r\n")
        if end < 0:
            return False
        if self._received.startswith(b"HTTP/1.1 101"):
            self._opened.set_result(None)
        else:
            self._opened.set_exception(ConnectionError(self._received[:40].decode("latin-1")))
        del self._received[: end + 4]
        return True

    def _next_frame(self) -> tuple[int, bytes] | None:
        held = self._received
        if len(held) < 2:
            return None
        length, start = held[1], 2
        if length >= 126:
            start = 4 if length == 126 else 10
            if len(held) < start:
                return None
            length = int.from_bytes(held[2:start], "big")
        if len(held) < start + length:
            return None
        kind, content = held[0], bytes(held[start : start + length])
        del held[: start + length]
        return kind, content


def _is_one_text(data: bytes) -> bool:
    """Whether `data` is exactly one text frame of usual size, which needs no buffering."""
    if len(data) < 4 or data[0] != _TEXT:
        return False
    if data[1] < _LONG:
        return len(data) == 2 + data[1]
    return data[1] == _LONG and len(data) == 4 + (data[2] << 8 | data[3])
