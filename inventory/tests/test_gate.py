"""The gate's scripts: which clicks are accepted, and how deltas are applied."""

import itertools
import time
from collections.abc import Callable

import pytest
from django.utils import timezone

from conftest import MakeSale
from flashsale.http.shoppers import new_shopper
from flashsale.redis import blocking_clients
from inventory.gate import replica
from inventory.gate.delta import Delta
from inventory.gate.entries import Verdict
from inventory.gate.scripts import GateNotReady
from orders import sale_lifecycle, settlement, stock_changes
from orders.tickets import new_purchase
from tests import stack
from tests.cast import click, queue_up, run_caretaker, skus


def test_the_first_click_rings_the_bell_and_the_next_does_not(make_sale: MakeSale) -> None:
    sale = make_sale(stock=5)
    assert click(sale).ring
    assert not click(sale).ring
    settlement.settle(sale.pk)
    assert click(sale).ring


def test_a_known_purchase_gets_its_answer_even_when_sold_out(make_sale: MakeSale) -> None:
    sale = make_sale(stock=1)
    purchase, shopper = new_purchase(sale.pk), new_shopper()
    assert click(sale, purchase, shopper).code == "queued"
    again = click(sale, purchase, shopper)
    assert again.code == "known"
    assert again.answer is not None
    assert again.answer.status == "queued"
    settlement.settle(sale.pk)
    settled = click(sale, purchase, shopper)
    assert settled.answer is not None
    assert settled.answer.status == "confirmed"


def test_a_purchase_of_somebody_else_is_foreign(make_sale: MakeSale) -> None:
    sale = make_sale(stock=5)
    purchase = new_purchase(sale.pk)
    click(sale, purchase)
    assert click(sale, purchase).code == "foreign"


def test_fewer_left_than_asked_is_not_sold_out(make_sale: MakeSale) -> None:
    sale = make_sale(stock=2, limit=5)
    assert click(sale, quantity=3) == Verdict("refused", reason="not_enough")
    assert click(sale, quantity=2).code == "queued"
    assert click(sale) == Verdict("refused", reason="sold_out")


def test_what_is_in_the_line_counts_against_the_limit(make_sale: MakeSale) -> None:
    sale = make_sale(stock=9, limit=2)
    shopper = new_shopper()
    assert click(sale, shopper=shopper, quantity=2).code == "queued"
    assert click(sale, shopper=shopper) == Verdict("refused", reason="limit")
    settlement.settle(sale.pk)
    assert click(sale, shopper=shopper) == Verdict("refused", reason="limit")


@pytest.mark.parametrize(
    ("window", "reason"),
    [({"opens_in": 60}, "not_open"), ({"opens_in": -60, "closes_in": 0.3}, "closed")],
)
def test_redis_clock_opens_and_closes(
    make_sale: MakeSale, window: dict[str, float], reason: str
) -> None:
    sale = make_sale(**window)
    while timezone.now() < sale.closes_at and reason == "closed":
        click(sale)
    assert click(sale) == Verdict("refused", reason=reason)


def test_a_full_line_is_busy_and_counts_nothing(make_sale: MakeSale) -> None:
    sale = make_sale(stock=9)
    assert click(sale, bound=1).code == "queued"
    assert click(sale, bound=1).code == "busy"
    assert replica.read_view(sale.pk).in_flight == {skus(sale)[0]: 1}


def test_a_rate_lets_a_seconds_worth_pass_and_says_how_long_to_wait(make_sale: MakeSale) -> None:
    sale = make_sale(stock=9999, limit=99)

    def of_one_shopper() -> list[Verdict]:
        shopper = new_shopper()
        return [click(sale, shopper=shopper, per_shopper=3) for _ in range(4)]

    def of_one_address() -> list[Verdict]:
        address = f"192.0.2.{next(numbers)}"
        return [click(sale, per_address=3, address=address) for _ in range(4)]

    numbers = itertools.count(7)
    for clicks in (of_one_shopper, of_one_address):
        verdicts = quickly(clicks)
        assert [verdict.code for verdict in verdicts] == ["queued"] * 3 + ["rate_limited"]
        assert 0 < verdicts[-1].wait <= 334


def quickly(clicks: Callable[[], list[Verdict]]) -> list[Verdict]:
    """Of a try in which all came before the rate of three a second allows another."""

    def tried() -> list[Verdict]:
        began = time.monotonic()
        verdicts = clicks()
        return verdicts if time.monotonic() - began < 1 / 3 else []

    return stack.wait_for(tried, "clicks in quick succession")


def test_what_is_kept_of_rates_is_gone_two_seconds_later(make_sale: MakeSale) -> None:
    sale = make_sale()
    click(sale, per_shopper=3, per_address=3)
    redis = blocking_clients.client_of(0)
    kept = list(redis.scan_iter(f"{{sale:{sale.pk}}}:rate:*", count=1000))
    assert len(kept) == 2  # of the shopper and of the address
    assert all(0 < redis.pttl(key) <= 2000 for key in kept)


def test_a_refusal_writes_nothing(make_sale: MakeSale) -> None:
    sale = make_sale(stock=1)
    click(sale)
    pattern = f"{{sale:{sale.pk}}}:*"
    redis = blocking_clients.client_of(0)
    before = {key: redis.dump(key) for key in redis.scan_iter(pattern)}
    click(sale, per_shopper=3, per_address=3)
    assert {key: redis.dump(key) for key in redis.scan_iter(pattern)} == before


def test_an_unknown_variant_is_named(make_sale: MakeSale) -> None:
    assert click(make_sale(), sku="nothing").code == "product"


def test_a_late_tale_changes_nothing(make_sale: MakeSale) -> None:
    sale = make_sale(stock=5)
    version, _ = replica.read_position(sale.pk)
    stale = Delta(version - 1, version, {"status": "paused"}, {skus(sale)[0]: 99})
    stock_changes.restock(sale.variants.get().pk, 1, by="staff")
    [part] = stale.parts(10)
    assert replica.apply_part(sale.pk, part) == (False, version + 1)
    assert replica.read_view(sale.pk).stock == {skus(sale)[0]: 6}


def test_a_delta_that_begins_after_the_gates_version_is_refused(make_sale: MakeSale) -> None:
    sale = make_sale(stock=5)
    version, _ = replica.read_position(sale.pk)
    [part] = Delta(version + 1, version + 2, {}, {}).parts(10)
    assert replica.apply_part(sale.pk, part) == (False, version)


def test_a_delta_of_another_epoch_does_not_make_the_gate_ready(make_sale: MakeSale) -> None:
    sale = make_sale(stock=5)
    replica.begin_epoch([sale.pk], "a new epoch")
    version, _ = replica.read_position(sale.pk)
    [part] = Delta(version, version + 1, {}, {}, epoch="an earlier epoch", makes_ready=True).parts(
        10
    )
    assert replica.apply_part(sale.pk, part) == (False, version)
    assert not replica.read_view(sale.pk).ready
    assert click(sale).code == "not_ready"


def test_the_bell_stays_up_while_somebody_waits(make_sale: MakeSale) -> None:
    sale = make_sale(stock=5)
    queue_up(sale, 1)
    assert not replica.lower_bell(sale.pk)
    settlement.settle(sale.pk)
    assert replica.lower_bell(sale.pk)


def test_the_gate_of_a_running_sale_is_not_purged(make_sale: MakeSale) -> None:
    sale = make_sale(stock=5)
    assert not replica.purge_gate(sale.pk)
    queue_up(sale, 1)
    sale_lifecycle.end(sale.pk, by="staff")
    assert not replica.purge_gate(sale.pk)  # a purchase waits
    settlement.settle(sale.pk)
    assert replica.purge_gate(sale.pk)
    assert sale.pk not in replica.list_gates()


def test_without_its_scripts_redis_has_no_ready_gate(make_sale: MakeSale) -> None:
    sale = make_sale(stock=5)
    blocking_clients.client_of(0).script_flush()
    assert click(sale).code == "not_ready"
    with pytest.raises(GateNotReady):
        replica.lower_bell(sale.pk)
    run_caretaker()
    assert click(sale).code == "queued"


def test_a_full_memory_refuses_clicks_but_settles_the_line(make_sale: MakeSale) -> None:
    sale = make_sale(stock=9)
    queue_up(sale, 2)
    redis = blocking_clients.client_of(0)
    redis.config_set("maxmemory", "1mb")
    try:
        assert click(sale).code == "busy"
        settlement.settle(sale.pk)
    finally:
        redis.config_set("maxmemory", "0")
    assert replica.read_view(sale.pk).in_line == 0
    assert click(sale).code == "queued"
