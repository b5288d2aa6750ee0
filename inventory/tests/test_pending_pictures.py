"""Chosen pictures are kept for a while, in a bounded number, under names that only the shop makes."""

import os
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.core.signing import TimestampSigner
from django.utils import timezone

from bench.picture_samples import png
from inventory import pending_pictures
from inventory.picture_uploads import Reencoded, reencode


@pytest.fixture
def picture() -> Reencoded:
    return reencode(ContentFile(png(30, 20, 8, 6)))


@pytest.fixture(autouse=True)
def emptied() -> Iterator[None]:
    yield
    for name in kept():
        default_storage.delete(f"{pending_pictures.FOLDER}/{name}")


def kept() -> list[str]:
    if not default_storage.exists(pending_pictures.FOLDER):
        return []
    return default_storage.listdir(pending_pictures.FOLDER)[1]


def test_a_kept_picture_is_found_until_it_is_dropped(picture: Reencoded) -> None:
    token = pending_pictures.keep(picture)
    found = pending_pictures.find(token)
    assert found
    assert (found.name, found.encoded) == (picture.name, picture.encoded)
    pending_pictures.drop(token)
    assert pending_pictures.find(token) is None
    assert kept() == []


def test_only_the_shop_makes_tokens(picture: Reencoded) -> None:
    token = pending_pictures.keep(picture)
    others = TimestampSigner(salt="another").sign(token.partition(":")[0])
    for forged in ("", "x", token[:-1], token.partition(":")[0], others):
        assert pending_pictures.find(forged) is None


def test_an_old_one_is_gone(picture: Reencoded, monkeypatch: pytest.MonkeyPatch) -> None:
    token = pending_pictures.keep(picture)
    monkeypatch.setattr(pending_pictures, "LONGEST", timedelta(seconds=-1))
    assert pending_pictures.find(token) is None
    pending_pictures.remove_old()
    assert kept() == []


def test_only_the_newest_are_kept(picture: Reencoded, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pending_pictures, "MOST", 3)
    tokens = []
    for minute in range(5):
        tokens.append(pending_pictures.keep(picture))
        path = Path(default_storage.path(tokens[-1].partition(":")[0]))
        moment = timezone.now().timestamp() - 600 + minute * 60
        os.utime(path, (moment, moment))
    pending_pictures.remove_old()
    assert [bool(pending_pictures.find(token)) for token in tokens] == [
        False,
        False,
        True,
        True,
        True,
    ]
