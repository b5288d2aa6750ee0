"""The pages of staff are in English throughout, whatever language their browser asks for."""

import httpx
import pytest

from dashboard.tests.staff import LOOKS, browser_of, employ
from tests import stack

GERMAN = {"Accept-Language": "de"}


@pytest.mark.parametrize("path", ["/dashboard/", "/admin/", "/admin/password_change/"])
def test_staff_read_english(path: str) -> None:
    answer = browser_of(employ(LOOKS)).get(path, headers=GERMAN)
    assert answer.status_code == 200
    assert answer["Content-Language"] == "en"
    html = answer.content.decode()
    assert 'lang="en' in html
    assert "Abmelden" not in html


def test_the_login_is_english_and_the_shop_beside_it_stays_german() -> None:
    with stack.Web.running() as web, httpx.Client(base_url=web.url, headers=GERMAN) as browser:
        for _ in range(3):
            assert "Log in" in browser.get("/admin/login/").text
            assert "Deine Bestellungen" in browser.get("/orders/").text
