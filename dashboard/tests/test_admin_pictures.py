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
from dashboard.tests.admin_pages import CORRECT, WRITE, Staff, form_of, listed, page_of
from inventory import picture_forms
from inventory.models import Variant
from inventory.picture_uploads import HELP, reencode
from tests.cast import stocked

ANIMATED = "The picture is animated: only its first frame is kept."


@pytest.fixture
def anna() -> Staff:
    return Staff.with_permissions(*WRITE, CORRECT)


def photograph(colour: str, width: int = 1000) -> SimpleUploadedFile:
    content = BytesIO()
    Image.new("RGB", (width, width // 2), colour).save(content, "PNG")
    return SimpleUploadedFile("shoe.png", content.getvalue(), "image/png")


def sends(staff: Staff, variant: Variant, **fields: object) -> Variant:
    """Fills these fields of the product's form in and sends it. Gives the product as it is then."""
    send(staff, variant, **fields)
    return Variant.objects.get(pk=variant.pk)


def send(staff: Staff, variant: Variant, **fields: object) -> list[str]:
    """Gives the messages that follow."""
    form = form_of(staff.opens(page_of(variant)))
    form = {name: value for name, value in form.items() if not name.startswith("picture")}
    return staff.sends(page_of(variant), **{**form, "picture_text": "A shoe", **fields})


def answer(staff: Staff, variant: Variant, **fields: Any) -> str:
    """Sends the form as it is filled in. Gives the page that answers."""
    form = form_of(staff.opens(page_of(variant)))
    form = {name: value for name, value in form.items() if not name.startswith("picture")}
    page = staff.browser.post(page_of(variant), {**form, "picture_text": "A shoe", **fields})
    return html.unescape(page.content.decode())


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


def test_a_picture_that_is_replaced_stays_for_the_pages_that_show_it(anna: Staff) -> None:
    before = sends(anna, stocked("pictures-other", 1), picture=photograph("blue"))
    after = sends(anna, before, picture=photograph("white", width=500))
    assert kept(before.picture.names) == [True, True, True]
    assert (after.picture_width, kept(after.picture.names)) == (500, [True, True])


def test_a_picture_that_is_removed_stays_for_the_pages_that_show_it(anna: Staff) -> None:
    before = sends(anna, stocked("pictures-none", 1), picture=photograph("black"))
    after = sends(anna, before, **{"picture-clear": "on"})
    assert kept(before.picture.names) == [True, True, True]
    assert (bool(after.picture), after.picture_width, after.picture_height) == (False, None, None)


def test_the_form_shows_the_picture_and_the_limits(anna: Staff) -> None:
    variant = sends(anna, stocked("pictures-shown", 1), picture=photograph("pink"))
    page = anna.opens(page_of(variant))
    assert f'<img src="{variant.picture.url}"' in page
    assert HELP in page


def test_an_animation_is_said_after_saving(anna: Staff) -> None:
    frames = [Image.new("RGB", (30, 20), colour) for colour in ("red", "blue")]
    content = BytesIO()
    frames[0].save(content, "GIF", save_all=True, append_images=frames[1:])
    upload = SimpleUploadedFile("shoe.gif", content.getvalue(), "image/gif")
    assert ANIMATED in send(anna, stocked("pictures-gif", 1), picture=upload)


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
    variant = stocked(f"pictures-{secrets.token_hex(4)}", 1)
    page = answer(anna, variant, picture=SimpleUploadedFile("shoe.jpg", content, "image/jpeg"))
    assert re.search(rf'<ul class="errorlist"[^>]*><li>{re.escape(reason)}', page)
    assert not Variant.objects.get(pk=variant.pk).picture


def test_a_picture_is_decoded_outside_the_transaction(
    anna: Staff, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside = []

    def watched(upload: Any) -> Any:
        inside.append(connection.in_atomic_block)
        return reencode(upload)

    monkeypatch.setattr(picture_forms, "reencode", watched)
    sends(anna, stocked("pictures-apart", 1), picture=photograph("grey"))
    assert inside == [False]


def test_staff_who_may_not_edit_have_nothing_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    variant, boris = stocked("pictures-look", 1), Staff.with_permissions("inventory.view_variant")
    monkeypatch.setattr(picture_forms, "reencode", pytest.fail)
    page = boris.browser.post(page_of(variant), {"picture": photograph("red")})
    assert page.status_code == 403


# --- A form with errors ---------------------------------------------------------------------------


def with_error(staff: Staff, variant: Variant, **fields: Any) -> dict[str, str]:
    """Sends the form with an error in its price. Gives the fields of the form that comes back."""
    page = answer(staff, variant, price="-1", **fields)
    assert "data:image/webp;base64," in page
    assert "Chosen, not saved yet." in page
    return form_of(page)


def test_a_form_with_errors_keeps_the_chosen_picture(anna: Staff) -> None:
    variant = stocked("pictures-kept", 1)
    back = with_error(anna, variant, picture=photograph("red"))
    again = with_error(anna, variant, **{"picture-kept": back["picture-kept"]})
    after = sends(anna, variant, **{"picture-kept": again["picture-kept"]})
    assert (after.picture_width, kept(after.picture.names)) == (1000, [True, True, True])
    assert "no longer kept" in answer(anna, variant, **{"picture-kept": again["picture-kept"]})


def test_another_picture_takes_the_place_of_the_one_chosen_before(anna: Staff) -> None:
    variant = stocked("pictures-changed", 1)
    back = with_error(anna, variant, picture=photograph("red"))
    chosen = {"picture-kept": back["picture-kept"], "picture": photograph("blue", 600)}
    assert sends(anna, variant, **chosen).picture_width == 600


def test_a_refused_picture_leaves_the_one_chosen_before(anna: Staff) -> None:
    variant = stocked("pictures-both", 1)
    back = with_error(anna, variant, picture=photograph("red"))
    refused = SimpleUploadedFile("shoe.psd", b"8BPS", "image/png")
    page = answer(anna, variant, picture=refused, **{"picture-kept": back["picture-kept"]})
    assert "PSD" in page
    assert "Chosen, not saved yet." in page
    assert form_of(page)["picture-kept"]


def test_a_new_variant_keeps_its_picture_when_its_sku_is_taken(anna: Staff) -> None:
    """PostgreSQL may refuse what the form has found valid; the form is then shown again."""
    taken = stocked("pictures-taken", 1)
    fields = {"sku": taken.sku, "name": "Shoe", "price": "100", "currency": "EUR"}
    fields |= {"picture_text": "A shoe"}
    page = anna.browser.post(
        f"{listed(Variant)}add/", {**fields, "picture": photograph("tan")}
    ).content.decode()
    token = form_of(page)["picture-kept"]
    sku = f"{taken.sku}-2"
    anna.sends(f"{listed(Variant)}add/", **{**fields, "sku": sku, "picture-kept": token})
    assert Variant.objects.get(sku=sku).picture_width == 1000


@pytest.mark.parametrize("token", ["pending/x", "x:y:z", "../../key"])
def test_a_forged_token_opens_no_file(anna: Staff, token: str) -> None:
    variant = stocked(f"pictures-{secrets.token_hex(4)}", 1)
    page = answer(anna, variant, **{"picture-kept": token})
    assert "The chosen picture is no longer kept. Choose it again." in page


def test_a_picture_without_a_text_is_kept_until_it_has_one(anna: Staff) -> None:
    variant = stocked("pictures-text", 1)
    page = answer(anna, variant, picture=photograph("red"), picture_text="")
    assert "A picture needs a text" in page
    after = sends(anna, variant, **{"picture-kept": form_of(page)["picture-kept"]})
    assert (after.picture_width, after.picture_text) == (1000, "A shoe")
