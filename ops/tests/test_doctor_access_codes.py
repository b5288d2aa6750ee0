"""The doctor names sales that ask for an access code and have none."""

import pytest

from accounts.access_codes import generate
from conftest import MakeSale
from ops.doctor import access_codes
from ops.doctor.findings import Finding


@pytest.fixture(autouse=True)
def name_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other tests' sales may have none, too."""
    monkeypatch.setattr(access_codes, "_NAMED", 10_000)


def findings(slug: str) -> list[Finding]:
    return [found for found in access_codes.check_access_codes() if slug in found.about]


@pytest.mark.parametrize("opens_in", [600, -1])
def test_a_public_sale_by_codes_without_any_is_named(make_sale: MakeSale, opens_in: float) -> None:
    sale = make_sale(entrants="code", opens_in=opens_in)
    [found] = findings(sale.slug)
    assert found.state == "warning"
    assert f"codes generate {sale.slug}" in found.advice
    generate(1, [sale.pk])
    assert findings(sale.slug) == []


def test_others_are_not(make_sale: MakeSale) -> None:
    draft, anyone = make_sale(live=False, entrants="code"), make_sale()
    assert findings(draft.slug) + findings(anyone.slug) == []
