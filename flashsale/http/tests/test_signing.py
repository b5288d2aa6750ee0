"""Signatures: a key may be replaced while its tickets are still about."""

from collections.abc import Iterator

import pytest
from pytest_django import Settings

from flashsale.http import signing


@pytest.fixture(autouse=True)
def keys_of_the_test(settings: Settings) -> Iterator[None]:
    """Keys are derived once per process."""
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "old", []
    signing._keys.cache_clear()
    yield
    signing._keys.cache_clear()


def replace_key(settings: Settings, new: str, *honoured: str) -> None:
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = new, list(honoured)
    signing._keys.cache_clear()


def test_what_we_sign_is_ours() -> None:
    assert signing.is_signed("ticket", b"message", signing.sign("ticket", b"message"))


@pytest.mark.parametrize("signature", [b"", b"x", bytes(signing.LENGTH)])
def test_what_we_did_not_sign_is_not_ours(signature: bytes) -> None:
    assert not signing.is_signed("ticket", b"message", signature)


def test_a_signature_is_for_its_message_alone() -> None:
    assert not signing.is_signed("ticket", b"other", signing.sign("ticket", b"message"))


def test_a_signature_is_for_its_purpose_alone() -> None:
    assert not signing.is_signed("shopper", b"message", signing.sign("ticket", b"message"))


@pytest.mark.parametrize("part", [0, 1, signing.LENGTH - 1])
def test_part_of_a_signature_is_none(part: int) -> None:
    assert not signing.is_signed("ticket", b"message", signing.sign("ticket", b"message")[:part])


def test_the_old_key_is_honoured_as_long_as_it_is_kept(settings: Settings) -> None:
    old = signing.sign("ticket", b"message")
    replace_key(settings, "new", "older", "old")
    assert signing.is_signed("ticket", b"message", old)


def test_the_old_key_is_not_honoured_once_it_is_dropped(settings: Settings) -> None:
    old = signing.sign("ticket", b"message")
    replace_key(settings, "new", "older")
    assert not signing.is_signed("ticket", b"message", old)


def test_the_new_key_signs(settings: Settings) -> None:
    replace_key(settings, "new", "old")
    new = signing.sign("ticket", b"message")
    replace_key(settings, "new")
    assert signing.is_signed("ticket", b"message", new)
