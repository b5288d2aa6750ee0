"""A sale may bound the units of a network, by IPv4 address and by three sizes of IPv6 networks."""

from typing import Any

import pytest

from conftest import MakeSale
from flashsale.http.shoppers import new_shopper
from flashsale.redis import blocking_clients
from inventory.gate import replica, scripts
from inventory.gate.entries import Verdict
from inventory.models import Sale
from orders import cancellation, caretaker, networks, sale_lifecycle, settlement
from orders.changes import change_sales
from orders.tickets import new_purchase
from tests.cast import click

REFUSED = Verdict("refused", reason="network")
SOMEBODY, NEIGHBOUR = "192.0.2.1", "192.0.2.2"


def click_from(sale: Sale, address: str, quantity: int = 1) -> Verdict:
    """A new shopper clicks from an address that is reduced as for the rate."""
    return click(
        sale,
        quantity=quantity,
        address=address,
        networks=networks.list_networks(sale.pk, address),
    )


def accept_from(sale: Sale, *addresses: str) -> int:
    """Click from each, and count the accepted clicks."""
    verdicts = [click_from(sale, address) for address in addresses]
    assert {verdict.code for verdict in verdicts} <= {"queued", "refused"}
    return sum(verdict.code == "queued" for verdict in verdicts)


def counted(sale: Sale) -> dict[Any, Any]:
    return blocking_clients.client_of(sale.pk).hgetall(scripts.keys(sale.pk).networks)


def test_an_address_gets_as_many_units_as_the_sale_allows(make_sale: MakeSale) -> None:
    sale = make_sale(stock=100, per_address=4)
    assert accept_from(sale, *[SOMEBODY] * 20) == 4
    assert click_from(sale, SOMEBODY) == REFUSED
    assert click_from(sale, NEIGHBOUR).code == "queued"


def test_units_count_and_not_clicks(make_sale: MakeSale) -> None:
    sale = make_sale(stock=100, limit=3, per_address=4)
    assert click_from(sale, SOMEBODY, quantity=3).code == "queued"
    assert click_from(sale, SOMEBODY, quantity=2) == REFUSED
    assert click_from(sale, SOMEBODY, quantity=1).code == "queued"
    assert click_from(sale, SOMEBODY, quantity=1) == REFUSED


def ipv6(group: int, subnet: int) -> str:
    """A network of 64 bits, of one with 48 bits: its fourth group of digits."""
    return f"2001:db8:{group:x}:{subnet:x}::"


def test_an_ipv6_customer_with_many_networks_gets_little_more(make_sale: MakeSale) -> None:
    sale = make_sale(stock=1000, per_address=4)
    assert accept_from(sale, *[ipv6(1, 0)] * 9) == 4
    assert accept_from(sale, *[ipv6(1, 1)] * 9) == 4
    assert accept_from(sale, *(ipv6(1, n) for n in range(2, 256))) == 0  # 8 in the 56 bits
    assert accept_from(sale, *(ipv6(1, 256 * n) for n in range(1, 200))) == 8  # 16 in the 48 bits
    assert accept_from(sale, ipv6(2, 0)) == 1  # another customer


def test_a_refusal_says_sold_out_or_limit_first(make_sale: MakeSale) -> None:
    sale, shopper = make_sale(stock=2, limit=2, per_address=1), new_shopper()
    taken = networks.list_networks(sale.pk, SOMEBODY)
    assert click(sale, shopper=shopper, networks=taken).code == "queued"
    assert click(sale, shopper=shopper, quantity=2, networks=taken).reason == "limit"
    assert click(sale, shopper=shopper, networks=taken) == REFUSED
    assert click_from(sale, NEIGHBOUR).code == "queued"
    assert click(sale, networks=taken).reason == "sold_out"


def test_a_repeated_click_counts_once(make_sale: MakeSale) -> None:
    sale, shopper = make_sale(per_address=2), new_shopper()
    purchase, taken = new_purchase(sale.pk), networks.list_networks(sale.pk, SOMEBODY)
    codes = [click(sale, purchase, shopper, networks=taken).code for _ in range(3)]
    assert codes == ["queued", "known", "known"]
    assert counted(sale) == {taken[0]: "1"}


def test_a_sale_without_the_rule_counts_nothing(make_sale: MakeSale) -> None:
    sale = make_sale(stock=9)
    assert accept_from(sale, *[SOMEBODY] * 5) == 5
    assert counted(sale) == {}


def test_a_process_that_has_not_read_the_rule_is_busy(make_sale: MakeSale) -> None:
    sale = make_sale(per_address=4)
    assert click(sale).code == "busy"
    assert replica.read_view(sale.pk).in_line == 0


def test_the_rule_can_be_changed_while_the_sale_is_open(make_sale: MakeSale) -> None:
    sale = make_sale(stock=100, per_address=2)
    assert accept_from(sale, *[SOMEBODY] * 9) == 2
    for bound, more in ((5, 3), (1, 0), (0, 9)):
        with change_sales([sale.pk]) as (locked,):
            locked.per_address = bound
        assert accept_from(sale, *[SOMEBODY] * 9) == more


def test_nothing_is_given_back(make_sale: MakeSale) -> None:
    sale = make_sale(stock=1, per_address=1)
    purchase = new_purchase(sale.pk)
    taken = networks.list_networks(sale.pk, SOMEBODY)
    assert click(sale, purchase, networks=taken).code == "queued"
    settlement.settle(sale.pk)
    cancellation.cancel_order(purchase, by="staff")
    assert click(sale, networks=taken) == REFUSED


def test_addresses_are_in_no_key_and_no_field(make_sale: MakeSale) -> None:
    sale = make_sale(stock=9, per_address=4)
    click(
        sale,
        per_address=3,
        address=ipv6(1, 2),
        networks=networks.list_networks(sale.pk, ipv6(1, 2)),
    )
    redis = blocking_clients.client_of(sale.pk)
    kept = " ".join(redis.scan_iter(f"{{sale:{sale.pk}}}:*", count=1000))
    assert "2001" not in kept + " ".join(counted(sale))
    assert len(counted(sale)) == 3


@pytest.mark.parametrize("spoilt", ["not a number", "-5", "1e999", ""])
def test_a_count_that_no_script_wrote_stops_no_script_half_way(
    spoilt: str, make_sale: MakeSale
) -> None:
    sale = make_sale(per_address=4)
    [taken] = networks.list_networks(sale.pk, SOMEBODY)
    blocking_clients.client_of(sale.pk).hset(scripts.keys(sale.pk).networks, taken, spoilt)
    verdict = click_from(sale, SOMEBODY)
    assert verdict.code == "queued" or verdict == REFUSED
    assert replica.read_view(sale.pk).in_line == (verdict.code == "queued")


def test_a_restarted_redis_goes_on_counting_and_a_wiped_one_starts_anew(
    make_sale: MakeSale,
) -> None:
    sale = make_sale(stock=100, per_address=4)
    assert accept_from(sale, *[SOMEBODY] * 9) == 4
    replica.begin_epoch([sale.pk], "another")
    caretaker.heal_all()
    assert accept_from(sale, SOMEBODY) == 0
    settlement.settle(sale.pk)
    replica.remove([sale.pk])
    caretaker.heal_all()
    assert accept_from(sale, *[SOMEBODY] * 9) == 4


def test_a_gate_with_something_else_under_the_name_heals(make_sale: MakeSale) -> None:
    sale = make_sale(per_address=4)
    redis, name = blocking_clients.client_of(sale.pk), scripts.keys(sale.pk).networks
    redis.set(name, "not a hash")
    with pytest.raises(Exception, match="WRONGTYPE"):
        click_from(sale, SOMEBODY)
    caretaker.heal_all()
    assert click_from(sale, SOMEBODY).code == "queued"
    assert redis.type(name) == "hash"


def test_nothing_is_left_when_the_gate_is_purged(make_sale: MakeSale) -> None:
    sale = make_sale(per_address=4)
    click_from(sale, SOMEBODY)
    settlement.settle(sale.pk)
    sale_lifecycle.end(sale.pk, by="staff")
    assert replica.purge_gate(sale.pk)
    assert counted(sale) == {}
