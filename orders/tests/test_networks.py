"""The network of a click goes as a keyed hash from the gate to a held order, and is erased in time."""

from datetime import timedelta

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from conftest import MakeSale
from flashsale.redis import blocking_clients
from inventory.gate import replica
from inventory.gate.scripts import keys
from inventory.models import Sale
from orders import confirmation, networks, reconciliation, settlement
from orders.models import Order
from payments import personal_data
from payments.tasks import erase_contacts
from tests.cast import click, promise_too_much, stray

NETWORK = "a3f90123456789ab"
TODAY = ["purchase", "shopper", "sku", "quantity", "shown"]


def in_line(sale: Sale) -> list[tuple[str, dict[str, str]]]:
    return replica.read_line(sale.pk, 10)[2]


def held(sale: Sale, network: str = NETWORK) -> Order:
    """An order by a click from this network."""
    assert click(sale, network=network).code == "queued"
    settlement.settle(sale.pk)
    return sale.orders.latest("accepted_at")


def network_of(order: Order) -> str:
    order.refresh_from_db()
    return order.network


def end(sale: Sale, days_ago: float) -> None:
    """The sale has finished, and was over so many days ago."""
    over = timezone.now() - timedelta(days=days_ago)
    Sale.objects.filter(pk=sale.pk).update(
        status="ended", finished=True, opens_at=over - timedelta(hours=1), closes_at=over
    )


# --- The hash ------------------------------------------------------------------------------------


def test_a_hash_is_of_one_address_and_one_sale() -> None:
    hashes = {networks.network_of(sale, ip) for sale in (7, 8) for ip in ("192.0.2.1", "192.0.2.2")}
    assert len(hashes) == 4
    assert {len(each) for each in hashes} == {16}
    assert networks.network_of(7, "192.0.2.1") in hashes


def test_an_unknown_address_has_none() -> None:
    assert networks.network_of(7, "unknown") == ""


# --- From the gate to the order ------------------------------------------------------------------


def test_a_held_order_keeps_the_network_of_its_click(make_sale: MakeSale) -> None:
    sale = make_sale(hold=10)
    assert held(sale).network == NETWORK


def test_an_entry_of_a_sale_without_a_hold_is_as_it_was(make_sale: MakeSale) -> None:
    sale = make_sale()
    click(sale)
    [(_, entry)] = in_line(sale)
    assert list(entry) == TODAY


def test_an_order_that_was_never_held_has_no_network(make_sale: MakeSale) -> None:
    without, scarce = make_sale(), make_sale(stock=1, hold=10)
    assert held(without).network == ""
    promise_too_much(scarce, 2)
    assert click(scarce, network=NETWORK).code == click(scarce, network=NETWORK).code == "queued"
    settlement.settle(scarce.pk)
    assert sorted(scarce.orders.values_list("status", "network")) == [
        ("held", NETWORK),
        ("rejected", ""),
    ]


def test_an_entry_of_the_last_release_is_held_without_a_network(make_sale: MakeSale) -> None:
    assert held(make_sale(hold=10), network="").network == ""


@pytest.mark.parametrize("network", ["A3F90123456789AB", "a3f9", "'; DROP", "a3f90123456789ab\n"])
def test_a_network_that_admit_did_not_write_is_left_out(make_sale: MakeSale, network: str) -> None:
    sale = make_sale(hold=10)
    entry = stray(sale, network=network)
    [(_, fields)] = in_line(sale)
    accepted = f"queued||{fields['shopper']}|{fields['sku']}|1|{entry}"
    client, k = blocking_clients.client_of(sale.pk), keys(sale.pk)
    client.hset(k.answers, fields["purchase"], accepted)
    client.hset(k.in_flight, fields["sku"], 1)
    client.hset(k.in_flight_by_shopper, fields["shopper"], 1)
    settlement.settle(sale.pk)
    assert [(o.status, o.network) for o in sale.orders.all()] == [("held", "")]


def test_the_network_of_a_stray_entry_is_not_logged(
    make_sale: MakeSale, caplog: pytest.LogCaptureFixture
) -> None:
    sale = make_sale(hold=10)
    entry = stray(sale, network="a3f90123456789ab")
    settlement.settle(sale.pk)
    [dropped] = [record.getMessage() for record in caplog.records if entry in record.getMessage()]
    assert "shopper" in dropped
    assert "a3f90123456789ab" not in dropped


def test_a_network_never_changes_but_by_being_erased(make_sale: MakeSale) -> None:
    order = held(make_sale(hold=10))
    one = Order.objects.filter(pk=order.pk)
    for change in (
        {"network": "b" * 16},
        {"network": "", "quantity": 2},
        {"network": "", "version": order.version + 1},
        {"network": "b" * 16, "status": "confirmed", "version": order.version + 1},
    ):
        with pytest.raises(IntegrityError, match="is final"), transaction.atomic():
            one.update(**change)
    one.update(network="")
    with pytest.raises(IntegrityError, match="is final"), transaction.atomic():
        one.update(network=NETWORK)


# --- Erasing -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("contact_days", "days_ago", "erased"),
    [(180, 7.1, True), (180, 6.9, False), (0, 7.1, True), (2, 2.1, True), (2, 1.9, False)],
)
def test_a_network_goes_a_week_after_the_end(
    make_sale: MakeSale, contact_days: int, days_ago: float, erased: bool
) -> None:
    sale = make_sale(hold=10)
    order = held(sale)
    confirmation.confirm_hold(order.pk)
    Sale.objects.filter(pk=sale.pk).update(contact_days=contact_days)
    end(sale, days_ago)
    before = networks.count_overdue()
    erase_contacts()
    assert before - networks.count_overdue() == int(erased)
    assert network_of(order) == ("" if erased else NETWORK)
    assert reconciliation.verify(sale.pk).faults == {}


def test_an_open_sale_and_an_order_that_is_held_keep_theirs(make_sale: MakeSale) -> None:
    open_sale, over = make_sale(hold=10), make_sale(hold=10)
    kept, gone, still_held = held(open_sale), held(over), held(over)
    for order in (kept, gone):
        confirmation.confirm_hold(order.pk)
    end(over, 30)
    networks.erase_overdue(timezone.now() + timedelta(days=400))
    assert [network_of(order) for order in (kept, gone, still_held)] == [NETWORK, "", NETWORK]


def test_many_are_erased_in_batches(make_sale: MakeSale, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(networks, "BATCH", 2)
    sale = make_sale(hold=10, stock=5)
    orders = [held(sale) for _ in range(5)]
    for order in orders:
        confirmation.confirm_hold(order.pk)
    end(sale, 30)
    assert networks.erase_overdue() >= 5
    assert {network_of(order) for order in orders} == {""}


def test_it_is_handed_out_and_erased_with_the_order(make_sale: MakeSale) -> None:
    sale = make_sale(hold=10)
    order = held(sale)
    confirmation.confirm_hold(order.pk)
    [told] = personal_data.hand_out([order.pk], by="anna")
    assert told["network_hash"] == NETWORK
    assert personal_data.erase(order.pk, by="anna")
    assert network_of(order) == ""
    assert not personal_data.erase(order.pk, by="anna")
