"""Staff upload, replace and remove the pictures of products."""

import html
import re
import secrets
from io import BytesIO
from typing import Any

import pytest
from django.core.files.storage import default_storage
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from PIL import Image

from bench.picture_samples import png
from dashboard.admin.products import ProductAdmin
from dashboard.tests.admin_pages import CORRECT, LOOK, WRITE, Staff, form_of, page_of
from inventory import picture_field
from inventory.picture_retention import remove_unused
from inventory.picture_uploads import HELP, reencode
from inventory.products import Picture, Product
from inventory.tests.test_picture_retention import let_pass
from tests.cast import stocked

ANIMATED = "The picture is animated: only its first frame is kept."


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


def fills(staff: Staff, product: Product, **fields: object) -> dict[str, Any]:
    """The product's form, with these fields filled in and no other picture chosen."""
    form = form_of(staff.opens(page_of(product)))
    return {n: v for n, v in form.items() if not n.endswith(("-file", "-kept"))} | fields


def sends(staff: Staff, product: Product, **fields: object) -> list[Picture]:
    """Fills these fields of the product's form in and sends it. Gives its pictures as they are then."""
    send(staff, product, **fields)
    return list(product.pictures.all())


def send(staff: Staff, product: Product, **fields: object) -> list[str]:
    """Gives the messages that follow."""
    return staff.sends(page_of(product), **fills(staff, product, **fields))


def answer(staff: Staff, product: Product, **fields: object) -> str:
    """Sends the form as it is filled in. Gives the page that answers."""
    page = staff.browser.post(page_of(product), fills(staff, product, **fields))
    return html.unescape(page.content.decode())


def row(number: int, **fields: object) -> dict[str, object]:
    return {f"pictures-{number}-{name}": value for name, value in fields.items()}


def first(file: object, **fields: object) -> dict[str, object]:
    """The first row of pictures, with this file."""
    return row(0, **{"file": file, "text": "A shoe", **fields})


def kept_before(token: str, **fields: object) -> dict[str, object]:
    """The first row of pictures, with the picture that was chosen before."""
    return row(0, **{"file-kept": token, "text": "A shoe", **fields})


def token_of(page: dict[str, str]) -> str:
    return page["pictures-0-file-kept"]


def kept(names: list[str]) -> list[bool]:
    return [default_storage.exists(name) for name in names]


def test_uploads_are_kept_in_their_order_and_in_several_widths(anna: Staff) -> None:
    shoe = product("pictures-new")
    rows = row(0, file=photograph("red"), text="A shoe")
    rows |= row(1, file=photograph("pink", width=500), text="Its sole")
    one, second = sends(anna, shoe, **rows)
    assert (one.text, one.file_width, one.file_height) == ("A shoe", 1000, 500)
    assert (second.text, second.file_width) == ("Its sole", 500)
    assert kept(one.file.names) == [True, True, True]
    page = anna.opens(page_of(shoe))
    assert f'<img src="{one.file.url}"' in page
    turned = row(0, position=2) | row(1, position=1)
    assert sends(anna, shoe, **turned) == [second, one]


def test_two_who_edit_one_picture_keep_each_others_changes(anna: Staff) -> None:
    shoe = product("pictures-two")
    sends(anna, shoe, **first(photograph("red")))
    form = fills(anna, shoe, **row(0, position=7))
    [before] = sends(anna, shoe, **row(0, file=photograph("blue"), text="A blue shoe"))
    anna.sends(page_of(shoe), **form)
    after = shoe.pictures.get()
    assert (after.position, after.text) == (7, "A blue shoe")
    assert (after.file.name, after.file_width) == (before.file.name, 1000)


def test_a_picture_that_is_deleted_while_its_form_is_read_stays_deleted(
    anna: Staff, monkeypatch: pytest.MonkeyPatch
) -> None:
    shoe = product("pictures-gone")
    sends(anna, shoe, **first(photograph("red")))
    lock = ProductAdmin.lock

    def delete_and_lock(page: ProductAdmin, subject: Product) -> Product:
        subject.pictures.all().delete()
        locked: Product = lock(page, subject)
        return locked

    monkeypatch.setattr(ProductAdmin, "lock", delete_and_lock)
    assert sends(anna, shoe, **row(0, position=7)) == []


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


def test_a_picture_that_is_replaced_stays_for_the_pages_that_show_it(anna: Staff) -> None:
    shoe = product("pictures-other")
    [before] = sends(anna, shoe, **first(photograph("blue")))
    [after] = sends(anna, shoe, **row(0, file=photograph("white", width=500)))
    assert kept(before.file.names) == [True, True, True]
    assert (after.file_width, kept(after.file.names)) == (500, [True, True])


def test_a_picture_that_is_removed_stays_for_the_pages_that_show_it(anna: Staff) -> None:
    shoe = product("pictures-none")
    [before] = sends(anna, shoe, **first(photograph("black")))
    assert sends(anna, shoe, **row(0, DELETE="on")) == []
    assert kept(before.file.names) == [True, True, True]


def test_the_form_shows_the_picture_and_the_limits(anna: Staff) -> None:
    shoe = product("pictures-shown")
    [shown] = sends(anna, shoe, **first(photograph("pink")))
    page = anna.opens(page_of(shoe))
    assert f'<img src="{shown.file.url}"' in page
    assert HELP in page


def test_an_animation_is_said_after_saving(anna: Staff) -> None:
    frames = [Image.new("RGB", (30, 20), colour) for colour in ("red", "blue")]
    content = BytesIO()
    frames[0].save(content, "GIF", save_all=True, append_images=frames[1:])
    upload = SimpleUploadedFile("shoe.gif", content.getvalue(), "image/gif")
    assert ANIMATED in send(anna, product("pictures-gif"), **first(upload))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "This is a file of the format HEIC."),
        (png(7000, 7000, 8, 6), "The picture has more than 25 megapixels."),
        (bytes(16_000_001), "The picture has 16.0 MB. At most 16 MB are taken"),
        (b"icns" + bytes(100), "This is a file of the format ICNS."),
    ],
    ids=["HEIC", "49 megapixels", "16 MB", "ICNS"],
)
def test_a_refused_picture_is_an_error_of_its_field(
    anna: Staff, content: bytes, reason: str
) -> None:
    shoe = product(f"pictures-{secrets.token_hex(4)}")
    page = answer(anna, shoe, **first(SimpleUploadedFile("shoe.jpg", content, "image/jpeg")))
    assert re.search(rf'<ul class="errorlist"[^>]*><li>{re.escape(reason)}', page)
    assert not shoe.pictures.exists()


def test_a_picture_is_decoded_outside_the_transaction(
    anna: Staff, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside = []

    def watched(upload: Any) -> Any:
        inside.append(connection.in_atomic_block)
        return reencode(upload)

    monkeypatch.setattr(picture_field, "reencode", watched)
    sends(anna, product("pictures-apart"), **first(photograph("grey")))
    assert inside == [False]


def test_staff_who_may_not_edit_have_nothing_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    shoe, boris = product("pictures-look"), Staff.with_permissions("inventory.view_product")
    monkeypatch.setattr(picture_field, "reencode", pytest.fail)
    page = boris.browser.post(page_of(shoe), first(photograph("red")))
    assert page.status_code == 403


# --- A form with errors ---------------------------------------------------------------------------


def with_error(staff: Staff, product: Product, **fields: object) -> dict[str, str]:
    """Sends the form with an error in a price. Gives the fields of the form that comes back."""
    page = answer(staff, product, **{"variants-0-price": "-1", **fields})
    assert "data:image/webp;base64," in page
    assert "Chosen, not saved yet." in page
    return form_of(page)


def test_a_form_with_errors_keeps_the_chosen_picture(anna: Staff) -> None:
    shoe = product("pictures-kept")
    back = with_error(anna, shoe, **first(photograph("red")))
    again = with_error(anna, shoe, **kept_before(token_of(back)))
    [after] = sends(anna, shoe, **kept_before(token_of(again)))
    assert (after.file_width, kept(after.file.names)) == (1000, [True, True, True])
    assert "no longer kept" in answer(anna, shoe, **kept_before(token_of(again)))


def test_another_picture_takes_the_place_of_the_one_chosen_before(anna: Staff) -> None:
    shoe = product("pictures-changed")
    back = with_error(anna, shoe, **first(photograph("red")))
    [after] = sends(anna, shoe, **kept_before(token_of(back), file=photograph("blue", 600)))
    assert after.file_width == 600


def test_a_refused_picture_leaves_the_one_chosen_before(anna: Staff) -> None:
    shoe = product("pictures-both")
    back = with_error(anna, shoe, **first(photograph("red")))
    refused = SimpleUploadedFile("shoe.psd", b"8BPS", "image/png")
    page = answer(anna, shoe, **kept_before(token_of(back), file=refused))
    assert "PSD" in page
    assert "Chosen, not saved yet." in page
    assert token_of(form_of(page))


@pytest.mark.parametrize("token", ["pending/x", "x:y:z", "../../key"])
def test_a_forged_token_opens_no_file(anna: Staff, token: str) -> None:
    shoe = product(f"pictures-{secrets.token_hex(4)}")
    page = answer(anna, shoe, **kept_before(token))
    assert "The chosen picture is no longer kept. Choose it again." in page


def test_a_picture_without_a_text_is_kept_until_it_has_one(anna: Staff) -> None:
    shoe = product("pictures-text")
    page = answer(anna, shoe, **first(photograph("red"), text=""))
    assert "This field is required." in page
    [after] = sends(anna, shoe, **kept_before(token_of(form_of(page))))
    assert (after.file_width, after.text) == (1000, "A shoe")


def test_a_file_that_the_last_release_shows_stays(anna: Staff) -> None:
    shoe = product("pictures-old")
    [before] = sends(anna, shoe, **first(photograph("gold")))
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO inventory_product (sku, name, option, price, currency, stock, picture,"
            " picture_width, picture_text)"
            " VALUES ('pictures-of-old', 'Shoe', '', 1, 'EUR', 0, %s, 1000, 'A shoe')",
            [before.file.name],
        )
    Picture.objects.filter(file=before.file.name).delete()
    for _ in range(3):
        remove_unused()
        let_pass(days=2)
    assert kept(before.file.names) == [True, True, True]


def two_of_one_sku(sku: str) -> dict[str, object]:
    """A new row, and an option of which a variant is made, whose skus are the same."""
    fields = {"sku": f"{sku}-41", "option": "41", "price": "100", "currency": "EUR"}
    new = {f"variants-1-{name}": value for name, value in fields.items()}
    quick = {"options": "41", "new_price": "100", "new_currency": "EUR", "stem": sku}
    return {"variants-TOTAL_FORMS": 2, **new, **quick}


def test_a_sku_that_postgresql_refuses_keeps_the_chosen_pictures(anna: Staff) -> None:
    shoe, sku = product("pictures-refused"), f"refused-{secrets.token_hex(4)}"
    pictures = row(0, file=photograph("red"), text="A shoe")
    pictures |= row(1, file=photograph("pink", width=500), text="Its sole")
    page = answer(anna, shoe, **pictures, **two_of_one_sku(sku))
    assert page.count("Chosen, not saved yet.") == 2
    assert page.count('src="data:image/webp;base64,') == 2
    assert not shoe.pictures.exists()
    tokens = {name: value for name, value in form_of(page).items() if name.endswith("-kept")}
    other = {"variants-1-sku": f"{sku}-42", "variants-1-option": "42"}
    typed = form_of(page) | other
    send_again = {n: v for n, v in typed.items() if not n.endswith("-file")}
    anna.sends(page_of(shoe), **send_again)
    assert len(tokens) == 2
    assert [picture.file_width for picture in shoe.pictures.all()] == [1000, 500]
    assert {f"{sku}-41", f"{sku}-42"} <= {variant.sku for variant in shoe.variants.all()}
