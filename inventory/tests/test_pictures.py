"""Pictures come in several widths, and no page asks the storage for them."""

import re
from importlib import import_module
from io import BytesIO
from pathlib import Path
from uuid import uuid4

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import FileSystemStorage, default_storage
from django.db import connection
from django.db.migrations.loader import MigrationLoader
from django.template import Context, Template
from PIL import Image

from inventory.models import Variant
from inventory.pictures import reencode

NAME = r"products/[0-9a-f]{32}"
ON_ITS_SIDE = 6  # EXIF: the camera was turned


def taken(width: int, height: int, orientation: int = 1) -> "ContentFile[bytes]":
    """A photograph, dark above and light below, in a colour of its own, as staff upload it."""
    photograph = Image.new("RGB", (width, height), f"#{uuid4().hex[:6]}")
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = BytesIO()
    photograph.save(content, "JPEG", exif=exif)
    return ContentFile(content.getvalue(), "photograph.jpg")


def pictured(width: int, height: int, orientation: int = 1) -> Variant:
    """A variant with such a picture, as the database has it."""
    variant = Variant(sku=f"picture-{uuid4().hex[:12]}", name="Shoe", price=100, currency="EUR")
    variant.picture, variant.picture_text = (
        reencode(taken(width, height, orientation)),
        "A shoe",
    )
    variant.save()
    return Variant.objects.get(pk=variant.pk)


def kept_sizes(variant: Variant) -> list[tuple[int, int]]:
    return [Image.open(default_storage.open(name)).size for name in variant.picture.names]


def without_copies() -> Variant:
    """A variant from before there were smaller copies."""
    variant = pictured(1000, 500)
    for name in variant.picture.names[1:]:
        default_storage.delete(name)
    Variant.objects.filter(pk=variant.pk).update(picture_width=None, picture_height=None)
    return Variant.objects.get(pk=variant.pk)


def make_copies() -> None:
    migration = "0007_picture_copies"
    before = MigrationLoader(connection).project_state(("inventory", migration))
    import_module(f"inventory.migrations.{migration}").make_copies(before.apps, None)


@pytest.fixture
def unreachable(monkeypatch: pytest.MonkeyPatch) -> None:
    """A storage that fails on everything except URLs."""

    def fail(*args: object) -> None:
        raise AssertionError("the storage was asked")

    for question in ("_open", "_save", "delete", "exists", "size", "path"):
        monkeypatch.setattr(FileSystemStorage, question, fail)


def test_a_large_picture_is_kept_in_two_smaller_widths_as_well() -> None:
    variant = pictured(2400, 1200)
    assert (variant.picture_width, variant.picture_height) == (1200, 600)
    assert kept_sizes(variant) == [(1200, 600), (480, 240), (800, 400)]


def test_the_copies_of_a_picture_taken_with_a_turned_camera_are_upright() -> None:
    assert kept_sizes(pictured(1200, 600, ON_ITS_SIDE)) == [(600, 1200), (480, 960)]


def test_a_small_picture_has_no_copies() -> None:
    variant = pictured(480, 480)
    assert kept_sizes(variant) == [(480, 480)]
    assert variant.picture.srcset == ""


def test_a_page_offers_every_width() -> None:
    versions = rf"/media/({NAME})-480\.webp 480w, /media/\1-800\.webp 800w, /media/\1\.webp 1200w"
    assert re.fullmatch(versions, pictured(1200, 900).picture.srcset)


@pytest.mark.usefixtures("unreachable")
def test_a_page_never_asks_the_storage() -> None:
    old = Variant(sku="old", picture="products/missing.webp")
    wide = Variant(sku="wide", picture="products/wide.webp", picture_width=900, picture_height=600)
    page = Template("{% for p in all %}{{ p.picture.url }} {{ p.picture.srcset }} {% endfor %}")
    assert page.render(Context({"all": [old, wide]})).split() == [
        "/media/products/missing.webp",
        *("/media/products/wide.webp", "/media/products/wide-480.webp", "480w,"),
        *("/media/products/wide-800.webp", "800w,", "/media/products/wide.webp", "900w"),
    ]


def test_a_variant_without_a_picture_any_more_has_no_size_of_it() -> None:
    variant = pictured(600, 400)
    variant.picture = None
    variant.save()
    variant.refresh_from_db()
    assert (variant.picture_width, variant.picture_height) == (None, None)


def test_the_copy_of_a_picture_that_is_gone_is_not_shown_for_another() -> None:
    gone = ContentFile(Image.new("L", (9, 9)).tobytes())
    upload = reencode(taken(600, 400))
    default_storage.save(f"products/{Path(str(upload.name)).stem}-480.webp", gone)
    variant = pictured(600, 400)
    variant.picture.save(str(upload.name), upload)
    assert kept_sizes(variant) == [(600, 400), (480, 320)]


def test_pictures_from_before_get_their_copies() -> None:
    variant = without_copies()
    make_copies()
    variant.refresh_from_db()
    assert (variant.picture_width, variant.picture_height) == (1000, 500)
    assert kept_sizes(variant) == [(1000, 500), (480, 240), (800, 400)]


def test_a_picture_whose_file_is_missing_is_passed_over() -> None:
    lost, variant = without_copies(), without_copies()
    default_storage.delete(str(lost.picture.name))
    make_copies()
    lost.refresh_from_db()
    variant.refresh_from_db()
    assert (lost.picture_width, variant.picture_width) == (None, 1000)
