"""Styles and scripts travel compressed and are loaded once."""

import asyncio
from typing import Any

import pytest
from django.contrib.staticfiles.storage import staticfiles_storage

from tests.cast import Shopper

COMPRESSED = {"Accept-Encoding": "gzip, deflate, br"}
PLAIN = {"Accept-Encoding": "identity"}


@pytest.mark.parametrize("path", ["css/shop.css", "js/shop.js", "django_htmx/htmx-2.min.js"])
def test_a_text_travels_compressed_to_whoever_can_read_that(path: str, shopper: Shopper) -> None:
    address = staticfiles_storage.url(path)
    small = shopper.client.get(address, headers=COMPRESSED)
    large = shopper.client.get(address, headers=PLAIN)
    assert small.headers["content-encoding"] == "gzip"
    assert "content-encoding" not in large.headers
    assert small.headers["vary"] == large.headers["vary"] == "Accept-Encoding"
    assert small.content == large.content
    assert int(small.headers["content-length"]) < int(large.headers["content-length"]) / 2


def test_what_its_name_says_is_never_asked_for_again(shopper: Shopper) -> None:
    hashed = shopper.client.get(staticfiles_storage.url("css/shop.css"))
    assert hashed.headers["cache-control"] == "max-age=315360000, public, immutable"
    assert "immutable" not in shopper.client.get("/static/css/shop.css").headers["cache-control"]


def test_a_head_or_a_part_of_a_file_can_be_asked_for(shopper: Shopper) -> None:
    address = staticfiles_storage.url("css/shop.css")
    whole = shopper.client.get(address, headers=PLAIN).content
    head = shopper.client.head(address, headers=PLAIN)
    assert (head.content, head.headers["content-length"]) == (b"", str(len(whole)))
    part = shopper.client.get(address, headers={**PLAIN, "Range": "bytes=10-19"})
    assert (part.status_code, part.content) == (206, whole[10:20])
    known = shopper.client.get(address, headers={"If-None-Match": head.headers["etag"]})
    assert (known.status_code, known.content) == (304, b"")


def test_a_file_that_is_not_there_is_not_found(shopper: Shopper) -> None:
    assert shopper.client.get("/static/css/nothing.css").status_code == 404


def test_static_files_never_come_to_django(monkeypatch: pytest.MonkeyPatch) -> None:
    from flashsale import asgi

    async def must_not_be_asked(scope: Any, receive: Any, send: Any) -> None:
        raise AssertionError(scope["path"])

    monkeypatch.setattr(asgi, "django", must_not_be_asked)
    monkeypatch.setattr(asgi.static, "application", must_not_be_asked)
    sent: list[dict[str, Any]] = []

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    path = staticfiles_storage.url("css/shop.css")
    scope = {"type": "http", "method": "GET", "path": path, "headers": [], "query_string": b""}
    asyncio.run(asgi.http(scope, None, send))  # type: ignore[arg-type]  # nothing is received
    assert sent[0]["status"] == 200
