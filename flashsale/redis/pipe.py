"""One connection to Redis that all requests of a web process share.

Commands are sent as they come, without waiting for the replies to those before them, which come back in
the same order. A pool costs the loop a task, two time-outs and a look at the socket for every command,
and Redis a read and a write; here what is asked in one turn of the loop is one write
(`docs/decisions/0010-one-pipe-per-process.md`). redis-py connects, for it knows addresses, passwords and
certificates; after that the connection is ours.
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

MOST_WAITING = 8192  # questions without an answer; with more, Redis is no longer asked
_INCOMPLETE = object()


class NotSent(redis.ConnectionError):
    """Redis cannot be reached, or owes so many answers that nothing more is asked: nothing has happened."""


class _Question(NamedTuple):
    """Commands that were sent together, and what was replied so far."""

    answered: "asyncio.Future[list[Any]]"
    commands: int
    replies: list[Any]
    sent_at: float  # of the loop's clock


class Pipe(asyncio.Protocol):
    """An open connection. Belongs to the loop in which it was opened."""

    def __init__(self, connection: redis.asyncio.Connection, patience: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._patience = patience
        self._replies = hiredis.Reader(
            encoding="utf-8",
            errors="replace",  # it is shown to nobody
            replyError=BaseParser.parse_error,
            notEnoughData=_INCOMPLETE,
        )
        self._waiting: deque[_Question] = deque()
        self._unsent: list[bytes] = []
        self._timer: asyncio.TimerHandle | None = None
        self._lost: Exception | None = None
        assert connection._writer is not None
        self._writer = connection._writer  # kept: it closes what nobody holds
        self._transport = cast(asyncio.Transport, self._writer.transport)
        self._transport.set_protocol(self)
        connection._reader = connection._writer = None

    @classmethod
    async def open(cls, pool: redis.asyncio.ConnectionPool, patience: float) -> "Pipe":
        """A pipe to the server that the pool's connections lead to, in which a question waits for its
        answer for `patience` seconds at most. Raises redis.RedisError and OSError."""
        connection = pool.make_connection()  # type: ignore[no-untyped-call]  # redis-py
        await connection.connect()
        return cls(connection, patience)

    @property
    def usable(self) -> bool:
        return self._lost is None and not self._transport.is_closing()

    async def send(self, commands: Sequence[Command]) -> list[Any]:
        """The replies to these, with nothing of anybody else sent between them. What Redis refuses is an
        exception among them. Raises NotSent, where nothing was sent, and another redis.RedisError where
        nobody knows."""
        if not self.usable or len(self._waiting) >= MOST_WAITING:
            raise NotSent(str(self._lost or "Redis does not reply"))
        # Before anything is noted: what cannot be written would leave others with its replies.
        packed = [hiredis.pack_command(command) for command in commands]  # type: ignore[arg-type]  # of any length
        question = _Question(self._loop.create_future(), len(commands), [], self._loop.time())
        self._waiting.append(question)
        if not self._unsent:
            self._loop.call_soon(self._flush)
        self._unsent.extend(packed)
        if self._timer is None:
            self._timer = self._loop.call_later(self._patience, self._look)
        return await question.answered

    def close(self) -> None:
        self._transport.abort()

    # --- What the loop calls ---

    def data_received(self, data: bytes) -> None:
        self._replies.feed(data)
        try:
            while (reply := self._replies.gets()) is not _INCOMPLETE:
                self._take(reply)
        except hiredis.ProtocolError as error:
            self._lose(redis.InvalidResponse(str(error)))

    def connection_lost(self, exc: Exception | None) -> None:
        self._lose(redis.ConnectionError(str(exc or "Redis has closed the connection")))

    # --- Helpers ---

    def _flush(self) -> None:
        """What was asked for in this turn of the loop, in one write."""
        unsent, self._unsent = self._unsent, []
        if self._lost is None:
            self._transport.write(b"".join(unsent))

    def _take(self, reply: Any) -> None:
        question = self._waiting[0]
        question.replies.append(reply)
        if len(question.replies) == question.commands:
            self._waiting.popleft()
            if not question.answered.done():  # or whoever asked has gone
                question.answered.set_result(question.replies)

    def _look(self) -> None:
        """Gives the connection up when its oldest question has waited too long: what was sent after it
        is behind it."""
        self._timer = None
        if not self._waiting:
            return
        left = self._waiting[0].sent_at + self._patience - self._loop.time()
        if left > 0:
            self._timer = self._loop.call_later(left, self._look)
        else:
            self._lose(redis.TimeoutError("Redis does not reply"))

    def _lose(self, why: Exception) -> None:
        self._lost = self._lost or why
        self._transport.abort()
        while self._waiting:
            question = self._waiting.popleft()
            if not question.answered.done():
                question.answered.set_exception(self._lost)
