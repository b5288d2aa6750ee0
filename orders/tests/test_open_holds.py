"""Open holds by shopper and by network."""

from collections.abc import Sequence
from uuid import UUID

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from conftest import MakeSale
from flashsale.http.shoppers import new_shopper
from inventory.models import Sale
from orders import cancellation, confirmation, open_holds, settlement
from orders.models import Order
from orders.open_holds import Network, OpenHolds, read_open_holds
from tests.cast import click, end_holds, queue_up, run_caretaker

CROWD, COUPLE, ONE = "c" * 16, "b" * 16, "a" * 16


def hold(
    sale: Sale, networks: Sequence[str], quantity: int = 1, shopper: UUID | None = None
) -> list[Order]:
    """One held order from each of these networks."""
    before = set(sale.orders.values_list("pk", flat=True))
    for network in networks:
        click(sale, network=network, quantity=quantity, shopper=shopper)
    settlement.settle(sale.pk)
    return list(sale.orders.exclude(pk__in=before))


def seen(sale: Sale) -> OpenHolds:
    sale.refresh_from_db()
    return read_open_holds([sale])[sale.pk]


def test_networks_with_many_open_holds_are_counted_and_listed(make_sale: MakeSale) -> None:
    sale = make_sale(stock=20, hold=10, limit=2)
    hold(sale, [COUPLE, ONE, COUPLE])
    hold(sale, [CROWD] * 4, quantity=2)
    assert seen(sale) == OpenHolds(
        of_shopper=1, of_network=4, crowded=1, kept=8, top=[Network(CROWD, 4, 8, 0)]
    )
    assert [network.label for network in seen(sale).top] == ["cccc"]
    hold(sale, [COUPLE] * 3)
    assert seen(sale) == OpenHolds(
        of_shopper=1,
        of_network=5,
        crowded=2,
        kept=13,
        top=[Network(COUPLE, 5, 5, 0), Network(CROWD, 4, 8, 0)],
    )


def test_the_most_of_one_shopper(make_sale: MakeSale) -> None:
    sale = make_sale(stock=20, hold=10, limit=9)
    hold(sale, [ONE, COUPLE, CROWD], shopper=new_shopper())
    hold(sale, [ONE, ONE])
    assert (seen(sale).of_shopper, seen(sale).of_network, seen(sale).top) == (3, 3, [])


def test_only_holds_that_are_open_and_not_paid_count(make_sale: MakeSale) -> None:
    sale = make_sale(stock=20, hold=10)
    confirmed, cancelled, capturing, _ = hold(sale, [CROWD] * 4)
    confirmation.confirm_hold(confirmed.pk)
    cancellation.cancel_order(cancelled.pk, by="staff")
    Order.objects.filter(pk=capturing.pk).update(capturing=True)
    assert seen(sale) == OpenHolds(of_shopper=1, of_network=1)


def test_expired_holds_of_a_network_are_counted(
    make_sale: MakeSale, monkeypatch: pytest.MonkeyPatch
) -> None:
    sale = make_sale(stock=20, hold=10)
    hold(sale, [CROWD] * 3)
    end_holds(sale, -60)
    run_caretaker()
    hold(sale, [CROWD, ONE] * 4)
    assert seen(sale).top == [Network(ONE, 4, 4, 0), Network(CROWD, 4, 4, 3)]
    monkeypatch.setattr(open_holds, "MOST_COUNTED", 2)
    assert [network.expired_words for network in seen(sale).top] == ["0", "2+"]


def test_holds_without_a_network_count_for_their_shopper(make_sale: MakeSale) -> None:
    """As a web process of the last release makes them."""
    sale = make_sale(stock=20, hold=10)
    queue_up(sale, 5)
    settlement.settle(sale.pk)
    assert seen(sale) == OpenHolds(of_shopper=1)


def test_sales_are_told_apart_in_one_query(make_sale: MakeSale) -> None:
    crowded, quiet, without = make_sale(stock=9, hold=10), make_sale(hold=10), make_sale()
    hold(crowded, [CROWD] * 5)
    hold(quiet, [CROWD])
    sales = list(Sale.objects.filter(pk__in=[crowded.pk, quiet.pk, without.pk]))
    with CaptureQueriesContext(connection) as asked:
        found = read_open_holds(sales)
    assert len(asked) == 1
    assert {sale: each.of_network for sale, each in found.items()} == {crowded.pk: 5, quiet.pk: 1}


def test_nothing_is_asked_while_nothing_is_held(make_sale: MakeSale) -> None:
    sales = [make_sale(hold=10), make_sale()]
    with CaptureQueriesContext(connection) as asked:
        assert read_open_holds(sales) == {sales[0].pk: OpenHolds()}
    assert len(asked) == 0


def test_ten_networks_are_listed(make_sale: MakeSale, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(open_holds, "FEW", 0)
    sale = make_sale(stock=50, hold=10)
    hold(sale, [f"{number:016x}" for number in range(12)])
    hold(sale, ["000000000000000b"])
    assert [network.hash[-1] for network in seen(sale).top] == ["b", *"012345678"]


def test_it_reads_the_newest_holds_and_no_more(
    make_sale: MakeSale, monkeypatch: pytest.MonkeyPatch
) -> None:
    sale = make_sale(stock=50, hold=10)
    hold(sale, [ONE])
    end_holds(sale, 60)
    hold(sale, [CROWD] * 5)
    monkeypatch.setattr(open_holds, "NEWEST", 5)
    assert seen(sale).top == [Network(CROWD, 5, 5, 0)]
