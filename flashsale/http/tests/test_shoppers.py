"""The cookie that names a shopper."""

import base64
from collections.abc import Iterator
from types import SimpleNamespace

import pytest
from pytest_django import Settings

from flashsale.http import shoppers, signing

ANNA = shoppers.new_shopper()
WEEK = 7 * 24 * 3600


@pytest.fixture
def keys(settings: Settings) -> Iterator[Settings]:
    """Keys are derived once per process."""
    yield settings
    forget_keys()


def forget_keys() -> None:
    signing._keys.cache_clear()
    shoppers._stamp.cache_clear()


def test_a_cookie_names_its_shopper() -> None:
    assert shoppers.shopper_in(shoppers.cookie_value(ANNA)) == ANNA


@pytest.mark.parametrize("at", range(0, 42, 3))
def test_a_changed_cookie_names_no_shopper(at: int) -> None:
    value = shoppers.cookie_value(ANNA)
    forged = value[:at] + ("B" if value[at] == "A" else "A") + value[at + 1 :]
    assert shoppers.shopper_in(forged) is None


@pytest.mark.parametrize("value", [None, "", "A", "=", "A" * 44, "A" * 9000, "é" * 44, "\0" * 44])
def test_a_malformed_cookie_names_no_shopper(value: str | None) -> None:
    assert shoppers.shopper_in(value) is None


def test_a_cookie_with_another_shoppers_signature_names_no_shopper() -> None:
    ours, theirs = (shoppers.cookie_value(who) for who in (ANNA, shoppers.new_shopper()))
    assert shoppers.shopper_in(ours[:20] + theirs[20:]) is None


def test_over_https_the_cookie_is_pinned_to_the_host() -> None:
    cookie, first_page = shoppers.set_cookies(ANNA, secure=True)
    assert first_page.startswith("__Host-shopper-")
    assert {"Secure", "Path=/", "HttpOnly", "SameSite=Lax"} <= set(first_page.split("; "))
    assert cookie.startswith("__Host-shopper=")
    assert {"Secure", "Path=/", "HttpOnly", "SameSite=Lax"} <= set(cookie.split("; "))
    assert "Domain" not in cookie


def test_on_the_machine_itself_the_cookie_does_without_https() -> None:
    cookie, first_page = shoppers.set_cookies(ANNA, secure=False)
    assert "Secure" not in first_page.split("; ")
    assert cookie.startswith("shopper=")
    assert "Secure" not in cookie.split("; ")
    assert {"Path=/", "HttpOnly", "SameSite=Lax"} <= set(cookie.split("; "))


# --- Renewal --------------------------------------------------------------------------------------


def renewed(value: str) -> str | None:
    return shoppers.renew_cookie({"shopper": value}, secure=False)


def test_a_fresh_cookie_is_left_alone() -> None:
    assert renewed(shoppers.cookie_value(ANNA)) is None


@pytest.mark.parametrize("value", ["", "nonsense", "A" * 44, "A" * 44 + "1.000000"])
def test_a_cookie_that_names_no_shopper_is_not_renewed(value: str) -> None:
    assert renewed(value) is None
    assert shoppers.renew_cookie({}, secure=False) is None


def test_a_cookie_gets_its_whole_life_back_once_a_week(monkeypatch: pytest.MonkeyPatch) -> None:
    def set_clock(weeks: float) -> None:
        monkeypatch.setattr(shoppers, "time", SimpleNamespace(time=lambda: weeks * WEEK))

    set_clock(1000.5)
    cookie = shoppers.cookie_value(ANNA)
    set_clock(1000.9)
    assert renewed(cookie) is None
    set_clock(1001.1)
    again = renewed(cookie)
    assert again is not None
    assert f"Max-Age={shoppers.KEPT_FOR}" in again
    assert shoppers.shopper_in(again.partition(";")[0].partition("=")[2]) == ANNA


def test_a_cookie_is_signed_again_under_the_new_key(keys: Settings) -> None:
    old = shoppers.cookie_value(ANNA)
    keys.SECRET_KEY, keys.SECRET_KEY_FALLBACKS = "new", [keys.SECRET_KEY]
    forget_keys()
    again = renewed(old)
    assert again is not None
    keys.SECRET_KEY_FALLBACKS = []
    forget_keys()
    assert shoppers.shopper_in(old) is None
    assert shoppers.shopper_in(again.partition(";")[0].partition("=")[2]) == ANNA


def test_the_version_before_reads_the_cookie() -> None:
    """It decodes the whole value, at most 64 characters, and takes 32 bytes of it."""
    value = shoppers.cookie_value(ANNA)
    assert len(value) <= 64
    decoded = base64.urlsafe_b64decode(value)
    assert decoded == ANNA.bytes + signing.sign("shopper", ANNA.bytes)


def test_a_cookie_of_the_version_before_is_read_and_renewed() -> None:
    before = base64.urlsafe_b64encode(ANNA.bytes + signing.sign("shopper", ANNA.bytes)).decode()
    assert shoppers.shopper_in(before) == ANNA
    assert renewed(before) is not None
