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

from inventory.pictures import reencode
from inventory.products import Picture, Product

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


def pictured(width: int, height: int, orientation: int = 1) -> Picture:
    """Such a picture of a product, as the database has it."""
    product = Product.objects.create(name="Shoe")
    file = reencode(taken(width, height, orientation))
    return Picture.objects.get(pk=product.pictures.create(file=file, text="A shoe").pk)


def kept_sizes(picture: Picture) -> list[tuple[int, int]]:
    return [Image.open(default_storage.open(name)).size for name in picture.file.names]


def without_copies() -> str:
    """The file of a variant from before there were products, and smaller copies. Gives its name."""
    picture = pictured(1000, 500)
    for name in picture.file.names[1:]:
        default_storage.delete(name)
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO inventory_product"
            " (sku, name, option, price, currency, stock, picture, picture_text)"
            " VALUES (%s, 'Shoe', '', 100, 'EUR', 0, %s, 'A shoe')",
            [f"picture-{uuid4().hex[:12]}", picture.file.name],
        )
    return str(picture.file.name)


def size_of(name: str) -> object:
    with connection.cursor() as cursor:
        select = "SELECT picture_width, picture_height FROM inventory_product WHERE picture = %s"
        cursor.execute(select, [name])
        [size] = cursor.fetchall()
    return size


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
    picture = pictured(2400, 1200)
    assert (picture.file_width, picture.file_height) == (1200, 600)
    assert kept_sizes(picture) == [(1200, 600), (480, 240), (800, 400)]


def test_the_copies_of_a_picture_taken_with_a_turned_camera_are_upright() -> None:
    assert kept_sizes(pictured(1200, 600, ON_ITS_SIDE)) == [(600, 1200), (480, 960)]


def test_a_small_picture_has_no_copies() -> None:
    picture = pictured(480, 480)
    assert kept_sizes(picture) == [(480, 480)]
    assert picture.file.srcset == ""
    assert picture.file.smallest == picture.file.url


def test_a_page_offers_every_width() -> None:
    versions = rf"/media/({NAME})-480\.webp 480w, /media/\1-800\.webp 800w, /media/\1\.webp 1200w"
    assert re.fullmatch(versions, pictured(1200, 900).file.srcset)


@pytest.mark.usefixtures("unreachable")
def test_a_page_never_asks_the_storage() -> None:
    old = Picture(file="products/missing.webp")
    wide = Picture(file="products/wide.webp", file_width=900, file_height=600)
    page = Template("{% for p in all %}{{ p.file.url }} {{ p.file.srcset }} {% endfor %}")
    assert page.render(Context({"all": [old, wide]})).split() == [
        "/media/products/missing.webp",
        *("/media/products/wide.webp", "/media/products/wide-480.webp", "480w,"),
        *("/media/products/wide-800.webp", "800w,", "/media/products/wide.webp", "900w"),
    ]


def test_the_copy_of_a_picture_that_is_gone_is_not_shown_for_another() -> None:
    gone = ContentFile(Image.new("L", (9, 9)).tobytes())
    upload = reencode(taken(600, 400))
    default_storage.save(f"products/{Path(str(upload.name)).stem}-480.webp", gone)
    picture = pictured(600, 400)
    picture.file.save(str(upload.name), upload)
    assert kept_sizes(picture) == [(600, 400), (480, 320)]


def test_pictures_from_before_get_their_copies() -> None:
    name = without_copies()
    make_copies()
    assert size_of(name) == (1000, 500)
    assert kept_sizes(Picture(file=name, file_width=1000)) == [(1000, 500), (480, 240), (800, 400)]


def test_a_picture_whose_file_is_missing_is_passed_over() -> None:
    lost, kept = without_copies(), without_copies()
    default_storage.delete(lost)
    make_copies()
    assert (size_of(lost), size_of(kept)) == ((None, None), (1000, 500))
