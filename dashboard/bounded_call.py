"""Run a call to PostgreSQL that may hang, and wait for it only so long."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

from flashsale.database import PATIENCE, give_back_after

T = TypeVar("T")


class BoundedCall:
    """Runs one call at a time: a store that hangs holds one thread, however often it is asked."""

    def __init__(self) -> None:
        self._latest: Future[Any] | None = None

    def run(self, call: Callable[[], T]) -> T:
        """Run `call` in a thread, close its connection, and return its result.

        Raises what `call` raises; TimeoutError after PATIENCE seconds, and at once while an earlier
        call hangs.
        """
        if self._latest is not None and not self._latest.done():
            raise TimeoutError("an earlier call has not returned yet")
        result: Future[T] = Future()
        self._latest = result
        # Not a pool's thread: a process that ends would wait for one that hangs.
        threading.Thread(target=_settle, args=(result, call), daemon=True).start()
        return result.result(PATIENCE)


def _settle(result: Future[T], call: Callable[[], T]) -> None:
    try:
        result.set_result(give_back_after(call))
    except BaseException as error:
        result.set_exception(error)
