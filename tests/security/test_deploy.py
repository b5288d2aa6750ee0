"""`manage.py check --deploy` has nothing to say about a shop as it is meant to be run."""

from tests.operators import Ran, spawned
from tests.security.conftest import PRODUCTION


def checked(**env: str) -> Ran:
    return spawned("check", "--deploy", "--fail-level", "WARNING", **{**PRODUCTION, **env})


def test_production_passes_without_a_warning() -> None:
    result = checked()
    assert result.code == 0, result.err
    assert "WARNING" not in result.out + result.err


def test_a_shop_that_does_without_hsts_is_pointed_at() -> None:
    result = checked(HSTS_SECONDS="0")
    assert (result.code, "security.W004" in result.err) == (1, True)
