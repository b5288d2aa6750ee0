"""The cookie that names a shopper."""

import pytest

from flashsale.http import shoppers

ANNA = shoppers.new_shopper()


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
    cookie = shoppers.set_cookie(ANNA, secure=True)
    assert cookie.startswith("__Host-shopper=")
    assert {"Secure", "Path=/", "HttpOnly", "SameSite=Lax"} <= set(cookie.split("; "))
    assert "Domain" not in cookie


def test_on_the_machine_itself_the_cookie_does_without_https() -> None:
    cookie = shoppers.set_cookie(ANNA, secure=False)
    assert cookie.startswith("shopper=")
    assert "Secure" not in cookie.split("; ")
    assert {"Path=/", "HttpOnly", "SameSite=Lax"} <= set(cookie.split("; "))
