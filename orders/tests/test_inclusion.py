"""Each entry of a frozen draw is proven, however its leaves fall into chunks."""

import pytest

from conftest import MakeSale
from inventory.models import Sale
from orders.draws import inclusion, merkle, steps
from orders.models import Draw, Lot
from tests.cast import bring_draw_forward
from tests.draws import change_past_rules, enter, make_draw


def frozen(make_sale: MakeSale, entries: int) -> tuple[Sale, Draw]:
    sale = make_draw(make_sale, stock=2)
    enter(sale, [f"192.0.2.{n}" for n in range(entries)])
    bring_draw_forward(sale)
    assert steps.advance(sale.pk)
    assert steps.advance(sale.pk)
    return sale, Draw.objects.get(pk=sale.pk)


@pytest.mark.parametrize("entries", [1, 3, 4, 7])
def test_each_entry_is_proven(
    make_sale: MakeSale, monkeypatch: pytest.MonkeyPatch, entries: int
) -> None:
    sale, draw = frozen(make_sale, entries)
    root = bytes.fromhex(draw.root)
    for chunk, together in ((1, 3), (2, 1), (2, 2), (4, 1), (8, 64), (1024, 64)):
        monkeypatch.setattr(inclusion, "CHUNK", chunk)
        monkeypatch.setattr(inclusion, "_TOGETHER", together)
        monkeypatch.setattr(inclusion, "_kept", {})
        for lot in Lot.objects.filter(sale=sale).select_related("order"):
            [own] = inclusion.prove_entries(sale.pk, lot.order.shopper)
            assert (own.order, own.leaf, own.leaves) == (lot.order_id, lot.leaf + 1, entries + 1)
            proof = [bytes.fromhex(node) for node in own.proof]
            assert merkle.is_included(own.data.encode(), own.leaf, own.leaves, proof, root)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE orders_lot SET quantity = quantity + 1 WHERE sale_id = %s AND leaf = 0",
        "UPDATE orders_draw SET stock = '{}' WHERE sale_id = %s",
    ],
)
def test_what_does_not_give_the_root_is_not_proven(
    make_sale: MakeSale, monkeypatch: pytest.MonkeyPatch, statement: str
) -> None:
    sale, _ = frozen(make_sale, 2)
    monkeypatch.setattr(inclusion, "_kept", {})
    change_past_rules(statement.split()[1], statement, sale.pk)
    with pytest.raises(inclusion.NotTheRoot):
        inclusion.prepare(sale.pk)
