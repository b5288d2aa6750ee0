"""One thread does the work of all that wait, and each gets its own result."""

import threading
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from flashsale.group_commit import GroupCommit
from tests.stack import DEADLINE, wait_for


class Work:
    """Notes the groups; the first one waits until `may_end`."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.groups: list[tuple[str, list[int]]] = []
        self.began, self.may_end = threading.Event(), threading.Event()
        self._error = error

    def __call__(self, key: str, items: list[int]) -> list[int | Exception]:
        self.groups.append((key, items))
        if len(self.groups) == 1:
            self.began.set()
            assert self.may_end.wait(DEADLINE)
        elif self._error:
            raise self._error
        return [item * 10 if item % 2 else ValueError(item) for item in items]


def as_they_are(key: str, results: list[int | Exception]) -> list[int | Exception]:
    return results


def meet(work: Work, most: int, others: int) -> list[Future[int]]:
    """Have one item at work, and then so many others. Returns all of them, done."""
    commits = GroupCommit[str, int, int](work, as_they_are, most)
    with ThreadPoolExecutor(others + 1) as threads:
        futures = [threads.submit(commits.do, "a", 1)]
        assert work.began.wait(DEADLINE)
        futures += [threads.submit(commits.do, "a", 1 + n) for n in range(1, others + 1)]
        queue = commits._queues["a"]
        wait_for(lambda: len(queue.waiting) == others, "all wait")
        work.may_end.set()
    return futures


def test_those_that_came_meanwhile_are_one_group() -> None:
    work = Work()
    futures = meet(work, most=50, others=4)
    assert [sorted(items) for _, items in work.groups] == [[1], [2, 3, 4, 5]]
    assert [str(future.exception() or future.result()) for future in futures] == [
        *("10", "2", "30", "4", "50")
    ]


def test_a_group_is_bounded() -> None:
    work = Work()
    futures = meet(work, most=3, others=7)
    assert sorted(len(items) for _, items in work.groups) == [1, 1, 3, 3]
    assert all(future.done() for future in futures)


@pytest.mark.parametrize("error", [OSError("away"), KeyboardInterrupt()])
def test_what_a_group_raises_is_the_error_of_all(error: BaseException) -> None:
    futures = meet(Work(error), most=50, others=3)
    assert futures[0].result() == 10
    assert [future.exception() for future in futures[1:]] == [error] * 3


def test_no_key_waits_for_another() -> None:
    work = Work()
    commits = GroupCommit[str, int, int](work, as_they_are, most=50)
    with ThreadPoolExecutor(1) as threads:
        first = threads.submit(commits.do, "a", 1)
        assert work.began.wait(DEADLINE)
        assert commits.do("b", 3) == 30
        assert not first.done()
        work.may_end.set()
    assert work.groups == [("a", [1]), ("b", [3])]


def test_what_follows_the_commit_keeps_nobody_waiting() -> None:
    following, may_end = threading.Event(), threading.Event()

    def finish(key: str, results: list[int | Exception]) -> list[int | Exception]:
        if results == [10]:
            following.set()
            assert may_end.wait(DEADLINE)
        return results

    work = Work()
    work.may_end.set()
    commits = GroupCommit[str, int, int](work, finish, most=50)
    with ThreadPoolExecutor(1) as threads:
        first = threads.submit(commits.do, "a", 1)
        assert following.wait(DEADLINE)
        assert commits.do("a", 3) == 30
        assert not first.done()
        may_end.set()
    assert first.result() == 10


def test_an_error_of_what_follows_is_that_of_its_group() -> None:
    def finish(key: str, results: list[int | Exception]) -> list[int | Exception]:
        raise OSError("away")

    work = Work()
    work.may_end.set()
    with pytest.raises(OSError, match="away"):
        GroupCommit[str, int, int](work, finish, most=50).do("a", 1)
