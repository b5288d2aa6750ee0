"""What the gate has let in is decided again, from PostgreSQL: variant, quantity and limit, but not the
window, which is for the gate alone."""

from uuid import UUID

import pytest

from conftest import MakeSale
from flashsale.http.shoppers import new_shopper
from inventory.models import Sale
from orders import reconciliation, sale_lifecycle, settlement
from orders.models import Order
from orders.tickets import new_purchase
from tests.cast import click, promise_too_much, queue_up, skus
from tests.security.test_poison import entry, put
from tests.stack import wait_for


@pytest.fixture(autouse=True)
def no_lingering(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settlement, "LINGER", 1)


def fate(purchase: UUID) -> tuple[str, str]:
    order = Order.objects.get(pk=purchase)
    return order.status, order.reason


def slipped_in(sale: Sale, **fields: str) -> UUID:
    """A purchase that a gate with another opinion has let into the line."""
    purchase = new_purchase(sale.pk)
    put(sale, entry(sale, {"purchase": purchase.hex, **fields}))
    return purchase


def test_a_variant_of_another_sale_is_not_sold_here(make_sale: MakeSale) -> None:
    sale, other = make_sale(), make_sale(stock=5)
    purchase = slipped_in(sale, sku=skus(other)[0])
    settlement.settle(sale.pk)
    assert fate(purchase) == ("rejected", "error")
    assert other.variants.get().stock == 5
    assert reconciliation.verify(sale.pk).faults == reconciliation.verify(other.pk).faults == {}


def test_more_than_there_is_is_rejected_and_leaves_the_rest_to_others(make_sale: MakeSale) -> None:
    sale = make_sale(stock=3, limit=9)
    promise_too_much(sale, 100)
    first, second = new_purchase(sale.pk), new_purchase(sale.pk)
    for purchase, units in ((first, 4), (second, 3)):
        assert click(sale, purchase, quantity=units).code == "queued"
    settlement.settle(sale.pk)
    assert (fate(first), fate(second)) == (("rejected", "sold_out"), ("confirmed", ""))
    assert reconciliation.verify(sale.pk).faults == {}


def test_a_limit_lowered_after_the_click_counts(make_sale: MakeSale) -> None:
    sale = make_sale(limit=3)
    greedy, modest = new_purchase(sale.pk), new_purchase(sale.pk)
    for purchase, units in ((greedy, 3), (modest, 2)):
        assert click(sale, purchase, quantity=units).code == "queued"
    sale_lifecycle.change_limit(sale.pk, 2, by="staff")
    settlement.settle(sale.pk)
    assert (fate(greedy), fate(modest)) == (("rejected", "limit"), ("confirmed", ""))


@pytest.mark.parametrize("batch", [500, 1], ids=["in one batch", "in two"])
def test_a_shopper_who_slipped_in_twice_gets_no_more_than_the_limit(
    make_sale: MakeSale, monkeypatch: pytest.MonkeyPatch, batch: int
) -> None:
    monkeypatch.setattr(settlement, "BATCH", batch)
    sale, shopper = make_sale(limit=2), new_shopper()
    first, second = (slipped_in(sale, shopper=shopper.hex, quantity="2") for _ in range(2))
    settlement.settle(sale.pk)
    assert (fate(first), fate(second)) == (("confirmed", ""), ("rejected", "limit"))


def test_who_was_accepted_before_the_close_is_served_after_it(make_sale: MakeSale) -> None:
    for seconds in (0.5, 2, 8, 32):  # on a busy machine it may close before the first click
        sale = make_sale(closes_in=seconds)
        if accepted := queue_up(sale, 3):
            break
    wait_for(lambda: click(sale).reason == "closed", "the sale has closed")
    settlement.settle(sale.pk)
    assert accepted
    assert {fate(purchase) for purchase in accepted} == {("confirmed", "")}


def test_the_window_is_for_the_gate_alone(make_sale: MakeSale) -> None:
    sale = make_sale(opens_in=60)
    assert click(sale).reason == "not_open"
    purchase = slipped_in(sale)
    settlement.settle(sale.pk)
    assert fate(purchase) == ("confirmed", "")
