"""What PostgreSQL adds to a page that is right without it: no page waits for it long."""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Generic, ParamSpec, TypeVar

from django.db import DatabaseError

from flashsale.database import in_thread

log = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")

_PATIENCE = 0.5  # seconds
_PAUSE = 1.0  # seconds without a question after one that failed: a crowd must not wait each time


class Unhurried(Generic[P, T]):
    """A question to PostgreSQL. `otherwise` says, for the log, what pages show without its answer."""

    def __init__(self, read: Callable[P, T], otherwise: str) -> None:
        self._read, self._otherwise = read, otherwise
        self._ask_again_at = 0.0

    async def ask(self, *args: P.args, **options: P.kwargs) -> T | None:
        """The answer; None if it cannot be had in time."""
        if time.monotonic() < self._ask_again_at:
            return None
        try:
            async with asyncio.timeout(_PATIENCE):
                return await in_thread(self._read, *args, **options)
        except (DatabaseError, TimeoutError) as error:
            log.warning("%s (%r)", self._otherwise, error)
            self._ask_again_at = time.monotonic() + _PAUSE
            return None
