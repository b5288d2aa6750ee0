"""Standby is switched on while a sale runs, and off only in a draft."""

import pytest

from conftest import MakeSale
from inventory.gate import replica
from orders import sale_lifecycle
from orders.audit_trail import describe_change
from orders.changes import NotPossible


def test_a_public_sale_gets_standby_and_keeps_it(make_sale: MakeSale) -> None:
    sale = make_sale()
    sale_lifecycle.change_standby(sale.pk, True, by="anna", reason="sold out")
    entry = sale.audit.latest("id")
    assert (entry.action, entry.actor, entry.reason) == ("standby", "anna", "sold out")
    assert describe_change(entry) == "standby off → on"
    assert replica.read_view(sale.pk).standby == 1
    with pytest.raises(NotPossible, match="stays on"):
        sale_lifecycle.change_standby(sale.pk, False, by="anna")
    sale.refresh_from_db()
    assert sale.standby


def test_a_draft_has_standby_or_not(make_sale: MakeSale) -> None:
    sale = make_sale(live=False)
    for switch in (True, False):
        sale_lifecycle.change_standby(sale.pk, switch, by="anna")
        sale.refresh_from_db()
        assert sale.standby == switch
    with pytest.raises(NotPossible, match="off already"):
        sale_lifecycle.change_standby(sale.pk, False, by="anna")


def test_a_sale_that_is_over_gets_no_standby(make_sale: MakeSale) -> None:
    sale = make_sale()
    sale_lifecycle.end(sale.pk, by="anna")
    with pytest.raises(NotPossible, match="has ended"):
        sale_lifecycle.change_standby(sale.pk, True, by="anna")
