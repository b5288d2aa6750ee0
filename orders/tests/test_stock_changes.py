"""Restocks and corrections: each is carried out once, and explained in the ledger."""

from functools import partial
from uuid import uuid4

import pytest

from conftest import MakeSale
from orders import cancellation, changes, reconciliation, settlement, stock_changes
from tests.cast import at_once, queue_up


def test_a_restock_makes_a_sold_out_sale_buyable_again(make_sale: MakeSale) -> None:
    sale = make_sale(stock=1)
    queue_up(sale, 1)
    settlement.settle(sale.pk)
    assert queue_up(sale, 1) == []
    stock_changes.restock(sale.variants.get().pk, 2, by="staff")
    assert len(queue_up(sale, 3)) == 2


@pytest.mark.parametrize("units", [0, -5])
def test_only_a_positive_number_comes_in(make_sale: MakeSale, units: int) -> None:
    with pytest.raises(changes.NotPossible):
        stock_changes.restock(make_sale().variants.get().pk, units, by="staff")


def test_a_correction_takes_units_away_with_a_reason(make_sale: MakeSale) -> None:
    sale = make_sale(stock=5)
    variant = sale.variants.get()
    assert stock_changes.correct(variant.pk, -4, by="staff", reason="water damage")
    assert len(queue_up(sale, 3)) == 1
    movement = variant.movements.first()
    assert movement
    assert (movement.delta, movement.note, movement.actor) == (-4, "water damage", "staff")
    with pytest.raises(changes.NotPossible, match="Only 1 units"):
        stock_changes.correct(variant.pk, -2, by="staff", reason="lost")
    with pytest.raises(changes.NotPossible, match="needs a reason"):
        stock_changes.correct(variant.pk, 1, by="staff", reason=" ")


def test_one_form_restocks_once_however_often_it_is_sent(make_sale: MakeSale) -> None:
    sale, form = make_sale(stock=1), uuid4()
    variant = sale.variants.get()
    restock = partial(stock_changes.restock, variant.pk, 5, by="staff", key=form)
    assert sorted(map(str, at_once(*[restock] * 4))) == ["False", "False", "False", "True"]
    variant.refresh_from_db()
    assert variant.stock == 6
    assert reconciliation.verify(sale.pk).faults == {}


def test_what_was_done_before_changes_nothing_and_tells_nobody(
    make_sale: MakeSale, monkeypatch: pytest.MonkeyPatch
) -> None:
    sale, form = make_sale(stock=1), uuid4()
    variant = sale.variants.get()
    [purchase] = queue_up(sale, 1)
    settlement.settle(sale.pk)
    cancellation.cancel_order(purchase, by="staff")
    stock_changes.restock(variant.pk, 5, by="staff", key=form)
    sale.refresh_from_db()
    before = sale.version

    def unexpected(sale: int) -> None:
        raise changes.NotReplicated("nothing was changed")

    monkeypatch.setattr(changes, "replicate_change", unexpected)
    assert not cancellation.cancel_order(purchase, by="staff")
    assert not stock_changes.restock(variant.pk, 5, by="staff", key=form)
    sale.refresh_from_db()
    assert sale.version == before
