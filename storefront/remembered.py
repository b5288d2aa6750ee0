"""Facts about orders that never change: each process reads them once, and no page waits for them long."""

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Generic, TypeVar
from uuid import UUID

from django.db import DatabaseError

from flashsale.database import in_thread

log = logging.getLogger(__name__)

Fact = TypeVar("Fact")

_PATIENCE = 0.5  # seconds: pages have answers of the gate, and show them even if PostgreSQL hangs
_PAUSE = 1.0  # seconds without a question after one that failed: a crowd must not wait each time
_MOST_KEPT = 20_000


class Remembered(Generic[Fact]):
    """A fact about each of many purchases. `read` asks PostgreSQL about some; `otherwise` says, for the
    log, what pages show without."""

    def __init__(self, read: Callable[[list[UUID]], Mapping[UUID, Fact]], otherwise: str) -> None:
        self._read, self._otherwise = read, otherwise
        self._kept: dict[UUID, Fact] = {}
        self._ask_again_at = 0.0

    async def recall(self, purchases: Iterable[UUID]) -> dict[UUID, Fact]:
        """The facts about these purchases; not of those that have none, or that cannot be read in time."""
        wanted = list(purchases)
        missing = [purchase for purchase in wanted if purchase not in self._kept]
        if missing and time.monotonic() >= self._ask_again_at:
            await self._read_missing(missing)
        return {purchase: self._kept[purchase] for purchase in wanted if purchase in self._kept}

    async def _read_missing(self, purchases: list[UUID]) -> None:
        try:
            async with asyncio.timeout(_PATIENCE):
                found = await in_thread(self._read, purchases)
        except (DatabaseError, TimeoutError) as error:
            log.warning("%s (%r)", self._otherwise, error)
            self._ask_again_at = time.monotonic() + _PAUSE
            return
        if len(self._kept) >= _MOST_KEPT:
            self._kept.clear()
        self._kept.update(found)
