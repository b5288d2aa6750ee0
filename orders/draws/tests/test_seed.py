"""The seed of a draw is readable with the shop's key alone, and only the committed one is used."""

from hashlib import sha256

import pytest
from pytest_django import Settings

from flashsale.http import signing
from orders.draws import seed


@pytest.fixture(autouse=True)
def key_of_the_test(settings: Settings) -> None:
    replace_key(settings, "first")


def replace_key(settings: Settings, new: str, *kept: str) -> None:
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = new, list(kept)


def test_a_seed_is_32_bytes_that_no_other_draw_has() -> None:
    assert {len(seed.make()) for _ in range(20)} == {32}
    assert len({seed.make() for _ in range(20)}) == 20


def test_the_commitment_is_the_seeds_hash() -> None:
    assert seed.commit(b"s" * 32) == sha256(b"s" * 32).hexdigest()


def test_a_sealed_seed_is_not_to_be_read_and_opens() -> None:
    sealed = seed.seal(b"s" * 32)
    assert "sss" not in sealed
    assert (b"s" * 32).hex() not in sealed
    assert seed.open_sealed(sealed, seed.commit(b"s" * 32)) == b"s" * 32


def test_a_seed_opens_as_long_as_its_key_is_kept(settings: Settings) -> None:
    sealed = seed.seal(b"s" * 32)
    replace_key(settings, "second", "other", "first")
    assert seed.open_sealed(sealed, seed.commit(b"s" * 32)) == b"s" * 32


def test_without_its_key_the_error_says_where_the_key_belongs(settings: Settings) -> None:
    sealed = seed.seal(b"s" * 32)
    replace_key(settings, "second")
    with pytest.raises(seed.Unsealable, match="SECRET_KEY_FALLBACKS"):
        seed.open_sealed(sealed, seed.commit(b"s" * 32))


def test_another_seed_than_the_committed_one_is_refused() -> None:
    with pytest.raises(seed.Unsealable, match="committed"):
        seed.open_sealed(seed.seal(b"t" * 32), seed.commit(b"s" * 32))


def test_text_that_was_never_sealed_is_refused() -> None:
    for text in ("", "?", "ä"):
        with pytest.raises(seed.Unsealable):
            seed.open_sealed(text, seed.commit(b"s" * 32))


def test_keys_to_encrypt_with_are_those_of_their_purpose() -> None:
    assert signing.encryption_keys("a") != signing.encryption_keys("b")
    assert {len(key) for key in signing.encryption_keys("a")} == {32}
