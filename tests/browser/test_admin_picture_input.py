"""In a browser: a chosen picture survives errors of the form, and one that is too large is said at once."""

import re
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from bench.picture_samples import png
from dashboard.tests.admin_pages import CORRECT, WRITE, Staff, page_of
from tests.browser.conftest import OpenPage
from tests.browser.test_admin_layout import PHONE, fits, logged_in
from tests.cast import stocked

pytestmark = pytest.mark.browser

DRAWN = "image => image.complete && image.naturalWidth > 0"


def chosen(page: Page, content: bytes) -> None:
    picture: Any = {"name": "shoe.png", "mimeType": "image/png", "buffer": content}
    file_input(page).set_input_files(picture)


def file_input(page: Page) -> Locator:
    return page.locator("input[name=pictures-0-file]")


def test_a_form_with_errors_shows_the_chosen_picture_and_saves_it_then(
    shop: str, open_page: OpenPage
) -> None:
    product = stocked("pictures-browser", 1).product
    assert product
    anna = Staff.with_permissions(*WRITE, CORRECT)
    page = logged_in(open_page, shop + page_of(product), anna, **PHONE)
    chosen(page, png(900, 600, 8, 2, byte=200))
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.locator(".field-text .errorlist")).to_be_visible()
    shown = page.get_by_role("img", name="The chosen picture")
    assert shown.evaluate(DRAWN)
    fits(page)
    page.locator("input[name=pictures-0-text]").fill("A shoe")
    page.get_by_role("button", name="Save", exact=True).click()
    page.wait_for_url(re.compile("/product/$"))
    assert product.pictures.get().file_width == 900
    page.goto(shop + page_of(product))
    assert page.get_by_role("img", name="The present picture").evaluate(DRAWN)
    fits(page)


def test_a_picture_that_is_too_large_is_said_before_it_is_sent(
    shop: str, open_page: OpenPage, tmp_path: Path
) -> None:
    product = stocked("pictures-large", 1).product
    assert product
    anna = Staff.with_permissions(*WRITE, CORRECT)
    page = logged_in(open_page, shop + page_of(product), anna)
    # From a file: Playwright takes seconds to encode so many bytes.
    with (large := tmp_path / "shoe.png").open("wb") as file:
        file.truncate(17_200_000)
    file_input(page).set_input_files(large)
    said = page.get_by_text("The picture has 17.2 MB. At most 16 MB are taken.")
    expect(said).to_be_visible()
    assert file_input(page).input_value() == ""
    chosen(page, png(30, 20, 8, 2))
    expect(said).to_be_hidden()
    assert file_input(page).input_value() != ""
