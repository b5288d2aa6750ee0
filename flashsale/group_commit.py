"""Group commit: of the threads that want the same lock, one does the work of all in one transaction."""

import threading
from collections import deque
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from typing import Generic, TypeVar
from weakref import WeakValueDictionary

Key = TypeVar("Key", bound=Hashable)
Item = TypeVar("Item")
Result = TypeVar("Result")


class GroupCommit(Generic[Key, Item, Result]):
    """Commits the items that have come while the last group of the same key was committed.

    `commit` gets a key and its items, and returns a result or an error for each. `finish` gets these, and
    returns what the callers get: it does what follows the commit, while the next group is at work. What
    one of them raises is the error of all.
    """

    def __init__(
        self,
        commit: Callable[[Key, list[Item]], "list[Result | Exception]"],
        finish: Callable[[Key, "list[Result | Exception]"], "list[Result | Exception]"],
        most: int,
    ) -> None:
        """A group has at most `most` items."""
        self._commit, self._finish, self._most = commit, finish, most
        self._queues: WeakValueDictionary[Key, _Queue[Item, Result]] = WeakValueDictionary()

    def do(self, key: Key, item: Item) -> Result:
        """Return the item's result, or raise its error. Blocks while others of the key are committed."""
        queue = self._queues.setdefault(key, _Queue())
        asked = _Asked[Item, Result](item)
        queue.waiting.append(asked)
        while not asked.taken:
            self._lead(key, queue, asked)
        return asked.result.result()

    def _lead(self, key: Key, queue: "_Queue[Item, Result]", own: "_Asked[Item, Result]") -> None:
        """Wait for the turn, and do the work of a group unless another thread has taken `own` into one."""
        group: list[_Asked[Item, Result]] = []
        try:
            with queue.turn:
                if own.taken:
                    return
                group = queue.take(self._most)
                results = self._commit(key, [asked.item for asked in group])
            results = self._finish(key, results)
            for asked, result in zip(group, results, strict=True):
                asked.settle(result)
        except BaseException as error:
            for asked in group:
                asked.settle(error)
            if not isinstance(error, Exception):
                raise


class _Asked(Generic[Item, Result]):
    def __init__(self, item: Item) -> None:
        self.item = item
        self.taken = False  # into a group
        self.result: Future[Result] = Future()

    def settle(self, result: "Result | BaseException") -> None:
        if self.result.done():
            return
        if isinstance(result, BaseException):
            self.result.set_exception(result)
        else:
            self.result.set_result(result)


class _Queue(Generic[Item, Result]):
    """The items of a key that wait, and the turn of the thread that commits."""

    def __init__(self) -> None:
        self.turn = threading.Lock()
        self.waiting: deque[_Asked[Item, Result]] = deque()

    def take(self, most: int) -> list[_Asked[Item, Result]]:
        group = [self.waiting.popleft() for _ in range(min(most, len(self.waiting)))]
        for asked in group:
            asked.taken = True
        return group
