"""WebSocket frames, and the subscribers that receive them."""

import asyncio
import logging
import struct
from collections import deque
from collections.abc import Awaitable, Callable
from typing import NamedTuple
from uuid import UUID

log = logging.getLogger(__name__)

# The server's own extension of ASGI, of a WebSocket: a `WriteFrame`.
TEXT_FRAME = "flashsale.websocket.frame"

SendFrame = Callable[[str], Awaitable[None]]
WriteFrame = Callable[[bytes], bool]  # False if the socket cannot take the encoded frame now


class Frame(NamedTuple):
    """A text frame, and its bytes on the wire, encoded once for all sockets (RFC 6455, section 5.2)."""

    text: str
    wire: bytes

    @classmethod
    def of(cls, text: str) -> "Frame":
        content = text.encode()
        length, final_text = len(content), 0x81
        if length < 126:
            head = struct.pack("!BB", final_text, length)
        elif length < 65_536:
            head = struct.pack("!BBH", final_text, 126, length)
        else:
            head = struct.pack("!BBQ", final_text, 127, length)
        return cls(text, head + content)


class Subscriber:
    """One socket. A slow one delays no other: it gets only the newest stock, but every outcome.

    `send` waits until the socket takes a frame. `write`, where the server has it, sends at once or returns
    False; it costs a fraction of `send`, and a crowd has thousands of sockets.
    """

    def __init__(
        self,
        send: SendFrame,
        shopper: UUID | None,
        language: str,
        write: WriteFrame | None = None,
    ) -> None:
        self.shopper = shopper.hex if shopper else ""
        self.language = language
        self._send, self._write = send, write
        self._live: str | None = None
        self._outcomes: deque[str] = deque()
        self._sending: asyncio.Task[None] | None = None

    def push_live(self, frame: Frame) -> None:
        if not self._try_write(frame):
            self._live = frame.text
            self._start_drain()

    def push_outcome(self, frame: Frame) -> None:
        if not self._try_write(frame):
            self._outcomes.append(frame.text)
            self._start_drain()

    def _try_write(self, frame: Frame) -> bool:
        return self._write is not None and not self._is_sending and self._write(frame.wire)

    def _start_drain(self) -> None:
        if not self._is_sending:
            self._sending = asyncio.ensure_future(self._drain())

    @property
    def _is_sending(self) -> bool:
        return self._sending is not None and not self._sending.done()

    async def _drain(self) -> None:
        try:
            while self._outcomes or self._live is not None:
                if self._outcomes:
                    await self._send(self._outcomes.popleft())
                else:
                    frame, self._live = self._live, None
                    await self._send(frame or "")
        except Exception as error:
            # The socket has gone; its consumer unsubscribes it.
            log.debug("frame not sent: %r", error)
