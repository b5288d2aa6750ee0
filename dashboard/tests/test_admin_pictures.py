"""Staff upload, replace and remove the pictures of products."""

from io import BytesIO

import pytest
from django.core.files.storage import default_storage
from django.core.files.uploadedfile import SimpleUploadedFile
from PIL import Image

from dashboard.tests.admin_pages import CORRECT, WRITE, Staff, form_of, page_of
from inventory.models import Variant
from tests.cast import stocked


@pytest.fixture
def anna() -> Staff:
    return Staff.with_permissions(*WRITE, CORRECT)


def photograph(colour: str, width: int = 1000) -> SimpleUploadedFile:
    content = BytesIO()
    Image.new("RGB", (width, width // 2), colour).save(content, "PNG")
    return SimpleUploadedFile("shoe.png", content.getvalue(), "image/png")


def sends(staff: Staff, variant: Variant, **fields: object) -> Variant:
    """Fills these fields of the product's form in and sends it. Gives the product as it is then."""
    form = form_of(staff.opens(page_of(variant)))
    form = {name: value for name, value in form.items() if not name.startswith("picture")}
    staff.sends(page_of(variant), **{**form, "picture_text": "A shoe", **fields})
    return Variant.objects.get(pk=variant.pk)


def kept(names: list[str]) -> list[bool]:
    return [default_storage.exists(name) for name in names]


def test_an_upload_is_kept_in_several_widths(anna: Staff) -> None:
    variant = sends(anna, stocked("pictures-new", 1), picture=photograph("red"))
    assert (variant.picture_width, variant.picture_height) == (1000, 500)
    assert kept(variant.picture.names) == [True, True, True]


def test_a_form_that_leaves_the_picture_alone_keeps_it(anna: Staff) -> None:
    before = sends(anna, stocked("pictures-same", 1), picture=photograph("green"))
    after = sends(anna, before, name="Boot")
    assert (after.name, after.picture, after.picture_width) == ("Boot", before.picture, 1000)
    assert kept(after.picture.names) == [True, True, True]


def test_a_picture_that_is_replaced_goes_with_its_copies(anna: Staff) -> None:
    before = sends(anna, stocked("pictures-other", 1), picture=photograph("blue"))
    after = sends(anna, before, picture=photograph("white", width=500))
    assert kept(before.picture.names) == [False, False, False]
    assert (after.picture_width, kept(after.picture.names)) == (500, [True, True])


def test_a_picture_that_is_removed_goes_with_its_copies(anna: Staff) -> None:
    before = sends(anna, stocked("pictures-none", 1), picture=photograph("black"))
    after = sends(anna, before, **{"picture-clear": "on"})
    assert kept(before.picture.names) == [False, False, False]
    assert (bool(after.picture), after.picture_width, after.picture_height) == (False, None, None)
