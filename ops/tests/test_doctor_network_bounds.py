"""The doctor names sales ahead that one address could take."""

import pytest

from conftest import MakeSale
from ops.doctor import network_bounds
from ops.doctor.findings import Finding


def findings(slug: str) -> list[Finding]:
    return [found for found in network_bounds.check_network_bounds() if slug in found.about]


@pytest.fixture(autouse=True)
def name_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other tests' sales may be ahead, too."""
    monkeypatch.setattr(network_bounds, "_NAMED", 10_000)


@pytest.mark.parametrize("live", [True, False])
def test_a_sale_ahead_without_a_bound_is_named_with_a_proposal(
    live: bool, make_sale: MakeSale
) -> None:
    sale = make_sale(stock=300, opens_in=600, live=live)
    [found] = findings(sale.slug)
    assert found.state == "warning"
    assert "52 for 5,000, 19 for 20,000" in found.advice


def test_others_are_not(make_sale: MakeSale) -> None:
    bounded = make_sale(opens_in=600, per_address=7)
    begun = make_sale()
    assert findings(bounded.slug) + findings(begun.slug) == []
