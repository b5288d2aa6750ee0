"""Helpers for asyncio code: one running call for many callers, one object per event loop."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar, TypeVarTuple
from weakref import WeakKeyDictionary

T = TypeVar("T")
Key = TypeVarTuple("Key")


class SingleFlight(Generic[*Key, T]):
    """Shares one running call of `work` among all callers with the same arguments.

    All get its result, or its exception. Cancelling one caller cancels neither the call nor the others.
    Results are not cached: a call after the end of the running one starts a new one.
    """

    def __init__(self, work: Callable[[*Key], Coroutine[Any, Any, T]]) -> None:
        self._work = work
        self._running: dict[tuple[*Key], asyncio.Task[T]] = {}

    def start(self, *key: *Key) -> asyncio.Task[T]:
        """The running call, or a new one if none runs."""
        running = self._running.get(key)
        if running is None or running.done():  # done: cancelled with its loop before it began
            running = self._running[key] = asyncio.ensure_future(self._run(*key))
        return running

    async def __call__(self, *key: *Key) -> T:
        return await asyncio.shield(self.start(*key))

    async def _run(self, *key: *Key) -> T:
        try:
            return await self._work(*key)
        finally:
            del self._running[key]


class PerLoop(Generic[T]):
    """One object for each event loop, created on first use and discarded with its loop."""

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._made: WeakKeyDictionary[asyncio.AbstractEventLoop, T] = WeakKeyDictionary()

    def get(self) -> T:
        """The running loop's object."""
        loop = asyncio.get_running_loop()
        made = self._made.get(loop)
        if made is None:
            made = self._made[loop] = self._make()
        return made

    def pop(self) -> T | None:
        """Remove and return the running loop's object. None if there is none."""
        return self._made.pop(asyncio.get_running_loop(), None)
