"""Group commit: of the threads that want the same lock, one does the work of all in one transaction."""

import threading
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future
from typing import Generic, TypeVar
from weakref import WeakValueDictionary

Key = TypeVar("Key", bound=Hashable)
Item = TypeVar("Item")
Result = TypeVar("Result")


class GroupCommit(Generic[Key, Item, Result]):
    """Does `work` for the items that have come while the last group of the same key was at work.

    `work` gets a key and its items, and returns a result or an error for each. What it raises is the
    error of all of them.
    """

    def __init__(
        self, work: Callable[[Key, list[Item]], Sequence[Result | Exception]], most: int
    ) -> None:
        """A group has at most `most` items."""
        self._work, self._most = work, most
        self._queues: WeakValueDictionary[Key, _Queue[Item, Result]] = WeakValueDictionary()

    def do(self, key: Key, item: Item) -> Result:
        """Return the item's result, or raise its error. Blocks while others of the key are at work."""
        queue = self._queues.setdefault(key, _Queue())
        asked = _Asked[Item, Result](item)
        queue.waiting.append(asked)
        with queue.turn:
            while not asked.result.done():
                self._answer(key, queue)
        return asked.result.result()

    def _answer(self, key: Key, queue: "_Queue[Item, Result]") -> None:
        group = [queue.waiting.popleft() for _ in range(min(self._most, len(queue.waiting)))]
        try:
            results = self._work(key, [asked.item for asked in group])
            for asked, result in zip(group, results, strict=True):
                if isinstance(result, Exception):
                    asked.result.set_exception(result)
                else:
                    asked.result.set_result(result)
        except BaseException as error:
            for asked in group:
                if not asked.result.done():
                    asked.result.set_exception(error)
            if not isinstance(error, Exception):
                raise


class _Asked(Generic[Item, Result]):
    def __init__(self, item: Item) -> None:
        self.item = item
        self.result: Future[Result] = Future()


class _Queue(Generic[Item, Result]):
    """The items of a key that wait, and the turn of the thread that works."""

    def __init__(self) -> None:
        self.turn = threading.Lock()
        self.waiting: deque[_Asked[Item, Result]] = deque()
