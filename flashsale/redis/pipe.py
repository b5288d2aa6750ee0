"""One connection to Redis that all requests of a web process share.

Commands are sent at once, without waiting for the replies to earlier ones; Redis replies in the same order.
A pool costs the loop a task, two time-outs and a check of the socket for each command, and Redis a read and
a write; the pipe sends all commands of one turn of the loop in one write
(`docs/decisions/0010-one-pipe-per-process.md`). redis-py connects, because it handles addresses, passwords
and certificates; then the pipe takes the connection over.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Any, NamedTuple, cast

import hiredis
import redis
import redis.asyncio
from redis._parsers.base import BaseParser

Command = tuple[str | int, ...]

MOST_WAITING = 8192  # batches without a reply; with more, `send` raises NotSent
_INCOMPLETE = object()


class NotSent(redis.ConnectionError):
    """Nothing was sent: Redis cannot be reached, or MOST_WAITING batches wait for their replies."""


class _Batch(NamedTuple):
    """Commands that were sent together, and their replies so far."""

    answered: "asyncio.Future[list[Any]]"
    commands: int
    replies: list[Any]
    sent_at: float  # by the loop's clock


class Pipe(asyncio.Protocol):
    """An open connection. Belongs to the loop in which it was opened."""

    def __init__(self, connection: redis.asyncio.Connection, reply_timeout: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._reply_timeout = reply_timeout
        self._replies = hiredis.Reader(
            encoding="utf-8",
            errors="replace",  # invalid UTF-8 is never shown
            replyError=BaseParser.parse_error,
            notEnoughData=_INCOMPLETE,
        )
        self._waiting: deque[_Batch] = deque()
        self._unsent: list[bytes] = []
        self._timer: asyncio.TimerHandle | None = None
        self._lost: Exception | None = None
        self._opened_at = self._loop.time()
        assert connection._writer is not None
        self._writer = connection._writer  # referenced: when collected, it closes the transport
        self._transport = cast(asyncio.Transport, self._writer.transport)
        self._transport.set_protocol(self)
        connection._reader = connection._writer = None

    @classmethod
    async def open(cls, pool: redis.asyncio.ConnectionPool, reply_timeout: float) -> "Pipe":
        """Open a pipe to the pool's server. Replies may take `reply_timeout` seconds. Raises
        redis.RedisError and OSError."""
        connection = pool.make_connection()  # type: ignore[no-untyped-call]  # redis-py
        await connection.connect()
        return cls(connection, reply_timeout)

    @property
    def age(self) -> float:
        """Seconds since it was opened."""
        return self._loop.time() - self._opened_at

    @property
    def usable(self) -> bool:
        return self._lost is None and not self._transport.is_closing()

    async def send(self, commands: Sequence[Command]) -> list[Any]:
        """Send the commands as one batch, with no other caller's commands between them.

        Returns the replies in order; a command that Redis refuses has an exception as its reply. Raises
        NotSent if nothing was sent, another redis.RedisError if the outcome is unknown.
        """
        if not self.usable or len(self._waiting) >= MOST_WAITING:
            raise NotSent(str(self._lost or "Redis does not reply"))
        # Pack first: a command that cannot be packed must not leave a batch waiting, which would take the
        # replies of others.
        packed = [hiredis.pack_command(command) for command in commands]  # type: ignore[arg-type]  # of any length
        batch = _Batch(self._loop.create_future(), len(commands), [], self._loop.time())
        self._waiting.append(batch)
        if not self._unsent:
            self._loop.call_soon(self._flush)
        self._unsent.extend(packed)
        if self._timer is None:
            self._timer = self._loop.call_later(self._reply_timeout, self._check_oldest)
        return await batch.answered

    def close(self) -> None:
        self._transport.abort()

    # --- Called by the loop ---

    def data_received(self, data: bytes) -> None:
        self._replies.feed(data)
        try:
            while (reply := self._replies.gets()) is not _INCOMPLETE:
                self._add_reply(reply)
        except hiredis.ProtocolError as error:
            self._give_up(redis.InvalidResponse(str(error)))

    def connection_lost(self, exc: Exception | None) -> None:
        self._give_up(redis.ConnectionError(str(exc or "Redis has closed the connection")))

    # --- Helpers ---

    def _flush(self) -> None:
        """Write the commands of this turn of the loop at once."""
        unsent, self._unsent = self._unsent, []
        if self._lost is None:
            self._transport.write(b"".join(unsent))

    def _add_reply(self, reply: Any) -> None:
        batch = self._waiting[0]
        batch.replies.append(reply)
        if len(batch.replies) == batch.commands:
            self._waiting.popleft()
            if not batch.answered.done():  # done if its caller was cancelled
                batch.answered.set_result(batch.replies)

    def _check_oldest(self) -> None:
        """Give the connection up if its oldest batch has waited too long: all later ones wait behind it."""
        self._timer = None
        if not self._waiting:
            return
        left = self._waiting[0].sent_at + self._reply_timeout - self._loop.time()
        if left > 0:
            self._timer = self._loop.call_later(left, self._check_oldest)
        else:
            self._give_up(redis.TimeoutError("Redis does not reply"))

    def _give_up(self, reason: Exception) -> None:
        """Close the connection and fail all waiting batches."""
        self._lost = self._lost or reason
        self._transport.abort()
        while self._waiting:
            batch = self._waiting.popleft()
            if not batch.answered.done():
                batch.answered.set_exception(self._lost)
