"""`manage.py order`: an order is found by what the shopper reads out, and cancelled once."""

from uuid import UUID

import pytest

from conftest import MakeSale
from inventory.models import Sale
from orders import reconciliation, settlement
from orders.models import AuditEntry, Order
from orders.tickets import new_purchase
from tests.cast import click, queue_up
from tests.operators import here, spawned

AWAY = "redis://127.0.0.1:1/0"


def sold(sale: Sale, shoppers: int) -> list[Order]:
    purchases = queue_up(sale, shoppers)
    settlement.settle(sale.pk)
    return list(Order.objects.filter(pk__in=purchases).order_by("accepted_at"))


def twins(sale: Sale) -> list[UUID]:
    """Two orders whose references are the same."""
    first = new_purchase(sale.pk)
    purchases = [first, UUID(int=first.int ^ 1)]
    for purchase in purchases:
        click(sale, purchase)
    settlement.settle(sale.pk)
    return purchases


def test_an_order_is_shown_by_its_id_and_by_its_reference(make_sale: MakeSale) -> None:
    [order] = sold(make_sale(), 1)
    for name in (str(order.pk), order.pk.hex, order.reference, order.reference.lower()):
        [told] = here("order", "show", name, "--json").told["orders"]
        assert (told["id"], told["status"]) == (str(order.pk), "confirmed")
        assert (told["total"], told["currency"]) == (12900, "EUR")
    assert "€129.00" in here("order", "show", order.reference).out


def test_who_cancelled_an_order_is_shown(make_sale: MakeSale) -> None:
    [order] = sold(make_sale(), 1)
    reason = ("--reason", "asked for it")
    ran = here("order", "cancel", order.reference, *reason, "--no-input", "--by", "anna")
    assert (ran.code, ran.out) == (0, f"{order.reference}: cancelled\n")
    assert "cancelled by anna: asked for it" in here("order", "show", order.reference).out


def test_several_orders_are_cancelled_and_each_returns_its_units_once(make_sale: MakeSale) -> None:
    sale = make_sale(stock=5)
    names = [order.reference for order in sold(sale, 3)]
    first = here("order", "cancel", *names, names[0], "--no-input", "--json")
    again = here("order", "cancel", *names, "--no-input", "--json")
    assert (first.code, again.code) == (0, 0)
    assert [result["outcome"] for result in first.told["orders"]] == ["cancelled"] * 3
    assert {result["outcome"] for result in again.told["orders"]} == {"cancelled before"}
    assert sale.variants.get().stock == 5
    assert reconciliation.verify(sale.pk).faults == {}


def test_one_that_cannot_be_cancelled_does_not_keep_the_others(make_sale: MakeSale) -> None:
    sale = make_sale(stock=2)
    confirmed, refused = sold(sale, 1)[0], rejected(sale)
    ran = here("order", "cancel", str(refused), confirmed.reference, "--no-input", "--json")
    assert ran.code == 1
    outcomes = [(result["outcome"], result["told"]) for result in ran.told["orders"]]
    assert outcomes == [("not possible", False), ("cancelled", True)]


def rejected(sale: Sale) -> UUID:
    """An order that was rejected."""
    order = sale.orders.get()
    order.pk, order.status, order.reason = new_purchase(sale.pk), "rejected", "limit"
    order.save(force_insert=True)
    return order.pk


def test_nothing_is_cancelled_where_one_of_them_is_unknown(make_sale: MakeSale) -> None:
    [order] = sold(make_sale(), 1)
    unknown = new_purchase(order.sale_id)
    ran = here("order", "cancel", order.reference, str(unknown), "--no-input")
    assert (ran.code, ran.out) == (1, "")
    assert str(unknown) in ran.err
    order.refresh_from_db()
    assert order.status == "confirmed"


def test_a_reference_of_two_orders_shows_both_and_cancels_none(make_sale: MakeSale) -> None:
    sale = make_sale()
    purchases = twins(sale)
    [name] = {order.reference for order in sale.orders.all()}
    shown = here("order", "show", name, "--json").told["orders"]
    assert {told["id"] for told in shown} == set(map(str, purchases))
    ran = here("order", "cancel", name, "--no-input")
    assert ran.code == 1
    assert all(str(purchase) in ran.err for purchase in purchases)
    assert not sale.orders.exclude(status="confirmed").exists()
    assert here("order", "cancel", str(purchases[0]), "--no-input").code == 0


def test_a_purchase_that_waits_is_shown_by_its_id(make_sale: MakeSale) -> None:
    [purchase] = queue_up(make_sale(), 1)
    [told] = here("order", "show", str(purchase), "--json").told["orders"]
    assert (told["id"], told["status"]) == (str(purchase), "queued")


def test_a_cancellation_asks_and_can_be_tried_dry(make_sale: MakeSale) -> None:
    [order] = sold(make_sale(), 1)
    dry = here("order", "cancel", order.reference, "--dry-run", "--json")
    assert (dry.code, dry.told["orders"][0]["outcome"]) == (0, "not asked for")
    asked = here("order", "cancel", order.reference)
    assert asked.code == 2
    assert order.reference in asked.err
    order.refresh_from_db()
    assert order.status == "confirmed"


@pytest.mark.parametrize("name", ["garbage", "12-K7Q29F", "12-U7Q29FX", ""])
def test_what_is_neither_id_nor_reference_is_exit_code_2(name: str) -> None:
    assert here("order", "show", name).code == 2


def test_a_cancellation_that_the_gate_was_not_told_of_is_made_and_fails(
    make_sale: MakeSale,
) -> None:
    [order] = sold(make_sale(), 1)
    words = ("order", "cancel", order.reference, "--no-input", "--json")
    ran = spawned(*words, REDIS_URL=AWAY)
    [result] = ran.told["orders"]
    assert (ran.code, result["outcome"], result["told"]) == (1, "cancelled", False)
    assert AuditEntry.objects.filter(order=order.pk).count() == 1
