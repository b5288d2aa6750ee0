"""Pictures that nothing uses any more are removed a day later, and no others."""

import os
import secrets
from pathlib import Path

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage

from inventory.picture_retention import MARKS, remove_unused
from inventory.products import Picture
from inventory.tests.test_pictures import pictured


def _files(folder: str) -> list[str]:
    return default_storage.listdir(folder)[1] if default_storage.exists(folder) else []


def let_pass(days: float) -> None:
    """As if all marks were so much older."""
    for name in _files(MARKS):
        path = Path(default_storage.path(f"{MARKS}/{name}"))
        moment = path.stat().st_mtime - days * 24 * 3600
        os.utime(path, (moment, moment))


def stored(picture: Picture) -> list[bool]:
    return [default_storage.exists(name) for name in picture.file.names]


def test_a_picture_in_use_is_never_removed() -> None:
    picture = pictured(1000, 500)
    for _ in range(3):
        remove_unused()
        let_pass(days=2)
    assert stored(picture) == [True, True, True]


@pytest.mark.parametrize("way", ["replaced", "deleted", "replaced in SQL"])
def test_a_picture_is_removed_a_day_after_it_went_out_of_use(way: str) -> None:
    picture = pictured(1000, 500)
    remove_unused()
    let_pass(days=2)
    take_out_of_use(picture, way)
    remove_unused()
    let_pass(days=0.9)
    remove_unused()
    assert stored(picture) == [True, True, True]
    let_pass(days=0.2)
    assert remove_unused(really=False) >= 3
    assert stored(picture) == [True, True, True]
    assert remove_unused() >= 3
    assert stored(picture) == [False, False, False]
    assert remove_unused(really=False) == 0
    assert not {name.removeprefix("products/") for name in picture.file.names} & set(_files(MARKS))


def take_out_of_use(picture: Picture, way: str) -> None:
    same = Picture.objects.filter(pk=picture.pk)
    if way == "deleted":
        same.delete()
    elif way == "replaced in SQL":
        same.update(file=pictured(100, 50).file.name)
    else:
        changed = same.get()
        changed.file = pictured(100, 50).file
        changed.save()


def test_a_picture_that_is_used_again_is_kept() -> None:
    picture = pictured(1000, 500)
    name, other = str(picture.file.name), str(pictured(100, 50).file.name)
    same = Picture.objects.filter(pk=picture.pk)
    same.update(file=other)
    remove_unused()
    same.update(file=name)
    let_pass(days=2)
    remove_unused()
    same.update(file=other)
    remove_unused()  # out of use since now, not since it first was
    assert stored(picture) == [True, True, True]


def test_a_picture_that_is_about_to_be_used_is_kept() -> None:
    """It is stored before the transaction that uses it has committed."""
    name = default_storage.save(f"products/{secrets.token_hex(16)}.webp", ContentFile(b"new"))
    remove_unused()
    assert default_storage.exists(name)


def test_files_that_are_not_the_shops_are_left_alone() -> None:
    name = default_storage.save("products/readme.txt", ContentFile(b"of the operator"))
    for _ in range(2):
        remove_unused()
        let_pass(days=2)
    assert default_storage.exists(name)
    default_storage.delete(name)
