"""The cookies that say what a shopper has proven."""

from collections.abc import Iterator
from types import SimpleNamespace
from uuid import UUID

import pytest
from pytest_django import Settings

from flashsale.http import proofs, shoppers
from flashsale.http.tests.test_shoppers import forget_keys

ANNA, BEN, FORMER, OLDER = (shoppers.new_shopper() for _ in range(4))
WEEK = 7 * 24 * 3600


@pytest.fixture
def keys(settings: Settings) -> Iterator[Settings]:
    """Keys are derived once per process."""
    yield settings
    forget_keys()


def cookies(value: str, shopper: UUID = ANNA) -> dict[str, str]:
    return {"shopper": shoppers.cookie_value(shopper), "verified": value}


def test_a_proof_names_the_former_ids_of_its_shopper() -> None:
    value = proofs.verified_value(ANNA, [FORMER, OLDER])
    assert proofs.former_in(cookies(value), ANNA, secure=False) == (FORMER, OLDER)
    assert proofs.own_shoppers(cookies(value), secure=False) == (ANNA, FORMER, OLDER)


def test_it_names_only_the_newest() -> None:
    many = [shoppers.new_shopper() for _ in range(9)]
    value = proofs.verified_value(ANNA, many)
    assert proofs.former_in(cookies(value), ANNA, secure=False) == tuple(many[:4])


def test_a_proof_without_former_ids_is_one() -> None:
    assert proofs.former_in(cookies(proofs.verified_value(ANNA)), ANNA, secure=False) == ()


@pytest.mark.parametrize("secure", [False, True])
def test_without_a_proof_a_shopper_is_nobody_else(secure: bool) -> None:
    own = {shoppers.cookie_name(secure): shoppers.cookie_value(ANNA)}
    assert proofs.former_in(own, ANNA, secure) is None
    assert proofs.own_shoppers(own, secure) == (ANNA,)
    assert proofs.own_shoppers({}, secure) == ()


def test_a_former_id_cannot_be_put_in_or_taken_from_another() -> None:
    ours, theirs = proofs.verified_value(ANNA, [FORMER]), proofs.verified_value(BEN, [OLDER])
    mixed = ours[:22] + theirs[22:]
    for value in (mixed, theirs, ours[:40] + "A" + ours[41:], ours[:22] + "~" + ours[-8:]):
        assert proofs.former_in(cookies(value), ANNA, secure=False) is None


def test_over_https_the_proof_is_pinned_to_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    value = proofs.verified_value(ANNA)
    own = {"__Host-shopper": shoppers.cookie_value(ANNA)}
    assert proofs.former_in({**own, "verified": value}, ANNA, secure=True) is None
    assert proofs.former_in({**own, "__Host-verified": value}, ANNA, secure=True) == ()
    monkeypatch.setattr(shoppers, "time", SimpleNamespace(time=lambda: 3000 * WEEK))
    renewed = proofs.renew_verified({**own, "__Host-verified": value}, secure=True)
    assert renewed
    assert {"Secure", "Path=/", "HttpOnly", "SameSite=Lax"} <= set(renewed.split("; "))
    assert "Domain" not in renewed


def test_a_proof_gets_its_whole_life_back_once_a_week(monkeypatch: pytest.MonkeyPatch) -> None:
    value = proofs.verified_value(ANNA, [FORMER])
    assert proofs.renew_verified(cookies(value), secure=False) is None
    monkeypatch.setattr(shoppers, "time", SimpleNamespace(time=lambda: 3000 * WEEK))
    renewed = proofs.renew_verified(cookies(value), secure=False)
    assert renewed == (
        f"verified={proofs.verified_value(ANNA, [FORMER])}; Max-Age={shoppers.KEPT_FOR}"
        "; Path=/; HttpOnly; SameSite=Lax"
    )
    assert proofs.renew_verified(cookies(value, BEN), secure=False) is None  # it is not Ben's


def test_a_proof_survives_a_change_of_keys_and_is_signed_again(keys: Settings) -> None:
    verified, code = proofs.verified_value(ANNA, [FORMER]), proofs.code_value(ANNA, 7, 5)
    keys.SECRET_KEY, keys.SECRET_KEY_FALLBACKS = "another key", [keys.SECRET_KEY]
    forget_keys()
    assert proofs.former_in(cookies(verified), ANNA, secure=False) == (FORMER,)
    assert proofs.code_opens_at({"code-7": code}, ANNA, 7, secure=False) == 5
    renewed = proofs.renew_verified(cookies(verified), secure=False)
    assert renewed
    keys.SECRET_KEY_FALLBACKS = []
    forget_keys()
    assert proofs.former_in(cookies(verified), ANNA, secure=False) is None
    assert proofs.code_opens_at({"code-7": code}, ANNA, 7, secure=False) is None
    value = renewed.partition("=")[2].partition(";")[0]
    assert proofs.former_in(cookies(value), ANNA, secure=False) == (FORMER,)


def test_a_code_is_of_one_shopper_and_one_sale() -> None:
    value = proofs.code_value(ANNA, 7, 1_800_000_000_000)
    assert proofs.code_opens_at({"code-7": value}, ANNA, 7, secure=False) == 1_800_000_000_000
    assert proofs.code_opens_at({"code-8": value}, ANNA, 8, secure=False) is None
    assert proofs.code_opens_at({"code-7": value}, BEN, 7, secure=False) is None
    earlier = "AAAAAAAA" + value[8:]  # opens at once
    assert proofs.code_opens_at({"code-7": earlier}, ANNA, 7, secure=False) is None
