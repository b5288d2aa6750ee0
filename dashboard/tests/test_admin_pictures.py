"""Staff upload, replace and remove the pictures of products."""

from io import BytesIO

import pytest
from django.core.files.storage import default_storage
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from PIL import Image

from dashboard.tests.admin_pages import CORRECT, LOOK, WRITE, Staff, form_of, page_of
from inventory.products import Picture, Product
from tests.cast import stocked


@pytest.fixture
def anna() -> Staff:
    return Staff.with_permissions(*LOOK, *WRITE, CORRECT)


def photograph(colour: str, width: int = 1000) -> SimpleUploadedFile:
    content = BytesIO()
    Image.new("RGB", (width, width // 2), colour).save(content, "PNG")
    return SimpleUploadedFile("shoe.png", content.getvalue(), "image/png")


def product(sku: str) -> Product:
    made = stocked(sku, 1).product
    assert made
    return made


def sends(staff: Staff, product: Product, **fields: object) -> list[Picture]:
    """Fills these fields of the product's form in and sends it. Gives its pictures as they are then."""
    form = form_of(staff.opens(page_of(product)))
    form = {name: value for name, value in form.items() if not name.endswith("-file")}
    staff.sends(page_of(product), **{**form, **fields})
    return list(product.pictures.all())


def row(number: int, **fields: object) -> dict[str, object]:
    return {f"pictures-{number}-{name}": value for name, value in fields.items()}


def kept(names: list[str]) -> list[bool]:
    return [default_storage.exists(name) for name in names]


def test_uploads_are_kept_in_their_order_and_in_several_widths(anna: Staff) -> None:
    shoe = product("pictures-new")
    rows = row(0, file=photograph("red"), text="A shoe")
    rows |= row(1, file=photograph("pink", width=500), text="Its sole")
    first, second = sends(anna, shoe, **rows)
    assert (first.text, first.file_width, first.file_height) == ("A shoe", 1000, 500)
    assert (second.text, second.file_width) == ("Its sole", 500)
    assert kept(first.file.names) == [True, True, True]
    page = anna.opens(page_of(shoe))
    assert f'src="{first.file.smallest}"' in page
    assert str(first.file.name) not in page.replace(first.file.smallest, "")
    turned = row(0, position=2) | row(1, position=1)
    assert sends(anna, shoe, **turned) == [second, first]


def test_a_picture_without_a_text_is_refused(anna: Staff) -> None:
    shoe = product("pictures-mute")
    assert sends(anna, shoe, **row(0, file=photograph("red"))) == []


def test_a_form_that_leaves_the_picture_alone_keeps_it(anna: Staff) -> None:
    shoe = product("pictures-same")
    before = sends(anna, shoe, **row(0, file=photograph("green"), text="A shoe"))
    [after] = sends(anna, shoe, name="Boot")
    assert [after] == before
    assert after.file_width == 1000
    assert kept(after.file.names) == [True, True, True]


def test_a_picture_that_is_replaced_goes_with_its_copies(anna: Staff) -> None:
    shoe = product("pictures-other")
    [before] = sends(anna, shoe, **row(0, file=photograph("blue"), text="A shoe"))
    [after] = sends(anna, shoe, **row(0, file=photograph("white", width=500)))
    assert kept(before.file.names) == [False, False, False]
    assert (after.file_width, kept(after.file.names)) == (500, [True, True])


def test_a_picture_that_is_removed_goes_with_its_copies(anna: Staff) -> None:
    shoe = product("pictures-none")
    [before] = sends(anna, shoe, **row(0, file=photograph("black"), text="A shoe"))
    assert sends(anna, shoe, **row(0, DELETE="on")) == []
    assert kept(before.file.names) == [False, False, False]


def test_a_file_that_the_last_release_shows_stays(anna: Staff) -> None:
    shoe = product("pictures-old")
    [before] = sends(anna, shoe, **row(0, file=photograph("gold"), text="A shoe"))
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO inventory_product"
            " (sku, name, option, price, currency, stock, picture, picture_text)"
            " VALUES ('pictures-of-old', 'Shoe', '', 1, 'EUR', 0, %s, 'A shoe')",
            [before.file.name],
        )
    Picture.objects.filter(file=before.file.name).exclude(pk=before.pk).delete()
    assert sends(anna, shoe, **row(0, DELETE="on")) == []
    assert kept(before.file.names) == [True, True, True]
