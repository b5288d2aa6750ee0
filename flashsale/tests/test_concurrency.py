"""One call for all who ask while it runs; one object per event loop."""

import asyncio
import gc
from collections.abc import Callable, Coroutine
from typing import Any
from weakref import ref

import pytest

from flashsale.concurrency import PerLoop, SingleFlight

Work = Callable[[str], Coroutine[Any, Any, str]]


def gated(calls: list[str], gate: asyncio.Event) -> Work:
    """Work that waits at the gate, and fails for "missing"."""

    async def work(name: str) -> str:
        calls.append(name)
        await gate.wait()
        if name == "missing":
            raise FileNotFoundError(name)
        return f"{name} {len(calls)}"

    return work


async def soon() -> None:
    """Lets the loop start the calls."""
    for _ in range(5):
        await asyncio.sleep(0)


class TestSingleFlight:
    def test_a_crowd_is_served_by_one_call_for_each_key(self) -> None:
        async def crowd() -> tuple[list[str], list[str]]:
            calls: list[str] = []
            gate = asyncio.Event()
            flight = SingleFlight(gated(calls, gate))
            asked = asyncio.gather(*(flight(name) for name in ["shoe", "boot"] * 50))
            await soon()
            gate.set()
            return calls, await asked

        calls, answers = asyncio.run(crowd())
        assert calls == ["shoe", "boot"]
        assert answers == ["shoe 2", "boot 2"] * 50

    def test_after_its_end_the_next_one_who_asks_starts_another(self) -> None:
        async def twice() -> tuple[str, str]:
            gate = asyncio.Event()
            gate.set()
            flight = SingleFlight(gated([], gate))
            return await flight("shoe"), await flight("shoe")

        assert asyncio.run(twice()) == ("shoe 1", "shoe 2")

    def test_all_get_the_failure_and_it_is_not_kept(self) -> None:
        async def fail() -> tuple[list[str], list[Any]]:
            calls: list[str] = []
            gate = asyncio.Event()
            flight = SingleFlight(gated(calls, gate))
            asked = asyncio.gather(*map(flight, ["missing"] * 3), return_exceptions=True)
            await soon()
            gate.set()
            failures = await asked
            with pytest.raises(FileNotFoundError):
                await flight("missing")
            return calls, failures

        calls, failures = asyncio.run(fail())
        assert calls == ["missing"] * 2
        assert {type(failure) for failure in failures} == {FileNotFoundError}

    def test_a_cancelled_caller_does_not_cancel_the_call_of_others(self) -> None:
        async def leave() -> tuple[list[str], str]:
            calls: list[str] = []
            gate = asyncio.Event()
            flight = SingleFlight(gated(calls, gate))
            first, second = (asyncio.ensure_future(flight("shoe")) for _ in range(2))
            await soon()
            first.cancel()
            await soon()
            gate.set()
            return calls, await second

        assert asyncio.run(leave()) == (["shoe"], "shoe 1")


class TestPerLoop:
    def test_a_loop_keeps_its_own(self) -> None:
        lists: PerLoop[list[int]] = PerLoop(list)

        async def ask() -> list[int]:
            lists.get().append(1)
            return lists.get()

        assert asyncio.run(ask()) == [1]
        assert asyncio.run(ask()) == [1]

    def test_what_is_popped_is_made_anew(self) -> None:
        lists: PerLoop[list[int]] = PerLoop(list)

        async def pop() -> tuple[list[int] | None, list[int] | None, list[int]]:
            lists.get().append(1)
            return lists.pop(), lists.pop(), lists.get()

        assert asyncio.run(pop()) == ([1], None, [])

    def test_it_goes_with_its_loop(self) -> None:
        class Thing:
            pass

        things = PerLoop(Thing)

        async def ask() -> "ref[Thing]":
            return ref(things.get())

        gone = asyncio.run(ask())
        gc.collect()
        assert gone() is None
