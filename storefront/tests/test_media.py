"""A picture is read once for all requests at the same time, and the last used are cached."""

import asyncio
from collections.abc import Iterator

import pytest

from flashsale.concurrency import SingleFlight
from flashsale.http.request import Request
from storefront import media


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The names read from the storage, which has every picture except `missing`."""
    names: list[str] = []

    def stored(name: str) -> bytes:
        names.append(name)
        if name == "missing":
            raise FileNotFoundError(name)
        return name.encode()

    monkeypatch.setattr(media, "_read_file", stored)
    media._kept.clear()
    yield names
    media._kept.clear()


async def ask(names: list[str]) -> list[bytes | BaseException]:
    return await asyncio.gather(*map(media._read_cached, names), return_exceptions=True)


def test_a_picture_is_read_once_for_a_crowd(reads: list[str]) -> None:
    assert asyncio.run(ask(["shoe"] * 100)) == [b"shoe"] * 100
    assert asyncio.run(ask(["shoe"])) == [b"shoe"]
    assert reads == ["shoe"]


def test_the_least_recently_used_picture_is_dropped(
    reads: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(media, "_MOST_KEPT", 2)
    for name in ("shoe", "boot", "shoe", "mug", "shoe", "boot"):
        asyncio.run(ask([name]))
    assert reads == ["shoe", "boot", "mug", "boot"]


def test_a_missing_picture_drops_no_other(reads: list[str]) -> None:
    asyncio.run(ask(["shoe"]))
    answers = asyncio.run(ask(["missing"] * 3))
    assert {type(answer) for answer in answers} == {FileNotFoundError}
    assert list(media._kept) == ["shoe"]
    assert media._read_shared._running == {}


def test_a_storage_that_hangs_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    async def hang(name: str) -> bytes:
        await asyncio.Event().wait()
        raise AssertionError

    monkeypatch.setattr(media, "PATIENCE", 0.01)
    monkeypatch.setattr(media, "_read_shared", SingleFlight(hang))
    answer = asyncio.run(media.picture(Request({"path": "/media/shoe", "headers": []}), "shoe"))
    assert (answer.status, answer.headers) == (503, ((b"retry-after", b"1"),))
