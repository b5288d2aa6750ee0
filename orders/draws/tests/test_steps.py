"""A draw from its time to its end."""

from uuid import UUID

import pytest

from conftest import MakeSale
from inventory.gate import replica
from inventory.models import Sale
from orders import caretaker, reconciliation, settlement
from orders.draws import ranking
from orders.draws.steps import Hindrance, advance, hindrance
from orders.models import Draw, Lot, Order
from orders.order_status import Status
from tests.cast import bring_draw_forward, queue_up


def enter(sale: Sale, entries: dict[str, list[int]]) -> None:
    """Let shoppers enter for so many units each, by the beginning of a sku."""
    for sku in sale.variants.values_list("sku", flat=True):
        for quantity in entries.get(sku.partition("-")[0], []):
            queue_up(sale, 1, sku=sku, quantity=quantity)
    settlement.settle(sale.pk)


def draw(sale: Sale) -> Draw:
    """Carry out the whole draw."""
    bring_draw_forward(sale)
    caretaker.advance_draws()
    sale.refresh_from_db()
    return Draw.objects.get(pk=sale.pk)


def expected_winners(sale: Sale) -> set[UUID]:
    """By the published file alone."""
    drawn = Draw.objects.get(pk=sale.pk)
    lots = {lot.pk: lot for lot in Lot.objects.filter(sale=sale, set_aside=False)}
    order = ranking.order_by_rank(bytes.fromhex(drawn.seed), b"", lots)
    assert [lots[entry].rank for entry in order] == list(range(1, len(lots) + 1))
    ranked = [(entry, lots[entry].sku, lots[entry].quantity) for entry in order]
    return set(ranking.winners(ranked, drawn.stock))


def winners(sale: Sale) -> set[UUID]:
    return {order.pk for order in sale.orders.all() if order.owned}


@pytest.mark.parametrize(("hold", "standby"), [(0, False), (10, True)])
def test_a_draw_gives_the_stock_by_lot(make_sale: MakeSale, hold: int, standby: bool) -> None:
    sale = make_sale({"shoe": 4, "bag": 3}, limit=3, draw_in=60, hold=hold, standby=standby)
    enter(sale, {"shoe": [1, 2, 3, 1, 2, 1], "bag": [2, 2, 1]})
    assert set(sale.orders.values_list("status", "place")) == {("waiting", None)}
    assert hindrance(sale) == Hindrance.NONE
    drawn = draw(sale)
    assert (sale.draw, drawn.allotted, drawn.entries) == (Sale.Draw.DONE, 9, 9)
    assert winners(sale) == expected_winners(sale)
    lost = set(sale.orders.exclude(pk__in=winners(sale)).values_list("status", "reason"))
    assert lost == {(Status.WAITING, "") if standby else (Status.REJECTED, "not_drawn")}
    ranks = dict(Lot.objects.filter(sale=sale).values_list("order", "rank"))
    assert dict(sale.orders.values_list("pk", "place")) == ranks
    assert reconciliation.verify(sale.pk).faults == {}
