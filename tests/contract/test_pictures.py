"""Pictures are sent at once and kept by browsers: their names say what they hold."""

import secrets

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage

from tests.cast import Shopper

CONTENT = b"RIFF....WEBP"


def stored(ending: str = "") -> str:
    """The address of a new picture."""
    name = f"products/{secrets.token_hex(16)}{ending}.webp"
    return "/media/" + default_storage.save(name, ContentFile(CONTENT))


@pytest.mark.parametrize("ending", ["", "_Ab3dE9x", "-480", "-1200", "_Ab3dE9x-800"])
def test_a_picture_and_its_smaller_copies_are_kept_for_ever(ending: str, shopper: Shopper) -> None:
    address = stored(ending)
    for reply in (shopper.client.get(address), shopper.client.get(address)):
        assert (reply.status_code, reply.content) == (200, CONTENT)
        assert reply.headers["content-type"] == "image/webp"
        assert reply.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert reply.headers["x-content-type-options"] == "nosniff"
        assert not {"vary", "set-cookie", "etag"} & reply.headers.keys()


def test_a_head_has_no_body(shopper: Shopper) -> None:
    reply = shopper.client.head(stored())
    assert (reply.status_code, reply.content) == (200, b"")
    assert reply.headers["content-length"] == str(len(CONTENT))


def test_a_picture_that_is_not_there_is_not_remembered_as_missing(shopper: Shopper) -> None:
    name = f"products/{secrets.token_hex(16)}.webp"
    missing = shopper.client.get(f"/media/{name}")
    assert (missing.status_code, missing.headers["cache-control"]) == (404, "private, no-store")
    default_storage.save(name, ContentFile(CONTENT))
    assert shopper.client.get(f"/media/{name}").status_code == 200


ODD = ["products/x.webp", f"products/{'a' * 32}.png", f"products/{'a' * 32}-48000.webp", "x"]


@pytest.mark.parametrize("name", [*ODD, f"products/..%2f{'a' * 32}.webp", "..%2f..%2fkey", ""])
def test_nothing_else_is_sent(name: str, shopper: Shopper) -> None:
    for made in ODD[:3]:
        if not default_storage.exists(made):
            default_storage.save(made, ContentFile(CONTENT))
    assert shopper.client.get(f"/media/{name}").status_code == 404


def test_pictures_are_only_read(shopper: Shopper) -> None:
    reply = shopper.client.post(stored())
    assert (reply.status_code, reply.headers["allow"]) == (405, "GET, HEAD")
