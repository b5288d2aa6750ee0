"""Rebuilds: whatever happens to Redis, a gate sells only after PostgreSQL has been replicated to
it."""

import itertools
from collections.abc import Callable
from functools import partial

import pytest

from conftest import MakeSale
from flashsale.redis import blocking_clients
from inventory import announce
from inventory.gate import replica, scripts
from inventory.gate.delta import Delta
from inventory.gate.entries import parse_line
from orders import cancellation, finishing, reconciliation, replication, sale_lifecycle, settlement
from tests.cast import at_once, click, queue_up, run_caretaker, skus


def test_a_rolled_back_gate_learns_what_it_has_forgotten(make_sale: MakeSale) -> None:
    """Redis restored from a copy that was made before the last batch."""
    sale = make_sale(stock=10)
    queue_up(sale, 3)
    redis = blocking_clients.client_of(0)
    keys = [key for key in scripts.keys(sale.pk) if redis.exists(key)]
    copy = {key: redis.dump(key) for key in keys}
    settlement.settle(sale.pk)
    queue_up(sale, 2)
    settlement.settle(sale.pk)

    redis.delete(*scripts.keys(sale.pk))
    for key, dumped in copy.items():
        redis.restore(key, 0, dumped or b"")
    redis.script_flush()
    run_caretaker()
    seen = replica.read_view(sale.pk)
    assert seen.ready
    assert (seen.stock, seen.in_flight, seen.in_line) == ({skus(sale)[0]: 5}, {}, 0)
    assert reconciliation.verify(sale.pk).faults == {}


def test_a_gate_that_is_ahead_of_a_restored_postgresql_is_emptied(make_sale: MakeSale) -> None:
    sale = make_sale(stock=10)
    queue_up(sale, 3)
    blocking_clients.client_of(0).hset(scripts.keys(sale.pk).gate, "version", sale.version + 7)
    blocking_clients.client_of(0).hset(scripts.keys(sale.pk).answers, "f" * 32, "confirmed||a|b|1")
    assert not replication.replicate(sale.pk)
    run_caretaker()
    seen = replica.read_view(sale.pk)
    assert (seen.version, seen.ready, seen.in_line) == (sale.version, True, 3)
    assert seen.in_flight == {skus(sale)[0]: 3}
    settlement.settle(sale.pk)
    assert sale.orders.count() == 3
    assert reconciliation.verify(sale.pk).faults == {}


def test_an_old_copy_does_not_bring_a_finished_sale_back(make_sale: MakeSale) -> None:
    sale = make_sale(stock=10)
    redis = blocking_clients.client_of(0)
    copy = {key: redis.dump(key) for key in scripts.keys(sale.pk) if redis.exists(key)}
    sale_lifecycle.end(sale.pk, by="staff")
    assert finishing.finish_sale(sale.pk)
    for key, dumped in copy.items():
        redis.restore(key, 0, dumped or b"")
    redis.script_flush()
    run_caretaker()
    assert sale.pk not in replica.list_gates()
    assert queue_up(sale, 1) == []


def test_a_lost_tale_heals(make_sale: MakeSale) -> None:
    """A worker died between its commit and the replication."""
    sale = make_sale(stock=10)
    queue_up(sale, 3)
    epoch, _, raw = replica.read_line(sale.pk, 10)
    assert settlement.decide(sale.pk, epoch, parse_line(raw)[0])
    assert replica.read_view(sale.pk).in_line == 3
    run_caretaker()
    assert replica.read_view(sale.pk).in_line == 0
    assert reconciliation.verify(sale.pk).faults == {}


def test_a_rebuild_in_parts_tells_everything(
    make_sale: MakeSale, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replication, "_PART", 4)
    sale = make_sale(stock=30)
    queue_up(sale, 30)
    settlement.settle(sale.pk)
    replica.remove([sale.pk])
    run_caretaker()
    assert len(replica.read_answers(sale.pk)) == 30
    assert len(replica.read_bought(sale.pk)) == 30
    assert reconciliation.verify(sale.pk).faults == {}


def after_part(number: int, happens: Callable[[], None], patch: pytest.MonkeyPatch) -> None:
    """Run `happens` after so many parts of a delta have been applied."""
    tell, parts = replica.apply_part, itertools.count(1)

    def tell_and_go_on(sale: int, part: str) -> tuple[bool, int]:
        told = tell(sale, part)
        if next(parts) == number:
            happens()
        return told

    patch.setattr(replica, "apply_part", tell_and_go_on)


def test_a_wipe_in_the_middle_of_a_rebuild_is_rebuilt_again(
    make_sale: MakeSale, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replication, "_PART", 4)
    sale = make_sale(stock=30)
    queue_up(sale, 30)
    settlement.settle(sale.pk)
    replica.remove([sale.pk])
    after_part(5, lambda: replica.remove([sale.pk]), monkeypatch)
    run_caretaker()
    assert not replica.read_view(sale.pk).ready
    run_caretaker()
    assert len(replica.read_answers(sale.pk)) == 30
    assert reconciliation.verify(sale.pk).faults == {}


def test_a_gate_that_is_started_over_in_the_middle_of_a_rebuild_is_rebuilt_from_the_beginning(
    make_sale: MakeSale, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replication, "_PART", 5)
    sale = make_sale(stock=12)
    queue_up(sale, 12)
    settlement.settle(sale.pk)
    replica.remove([sale.pk])
    after_part(1, lambda: replication.discard_gate(sale.pk, "somebody else looked"), monkeypatch)
    run_caretaker()
    run_caretaker()
    assert replica.read_view(sale.pk).ready
    assert len(replica.read_answers(sale.pk)) == len(replica.read_bought(sale.pk)) == 12
    assert reconciliation.verify(sale.pk).faults == {}


def test_units_that_come_back_after_half_a_rebuild_do_not_count_any_more(
    make_sale: MakeSale, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replication, "_PART", 4)
    sale = make_sale(stock=8)
    purchases = queue_up(sale, 8)
    settlement.settle(sale.pk)
    replica.remove([sale.pk])

    def killed() -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        after_part(1, killed, patch)
        with pytest.raises(KeyboardInterrupt):
            replication.rebuild(sale.pk)
    assert len(replica.read_bought(sale.pk)) == 4
    for purchase in purchases:
        cancellation.cancel_order(purchase, by="staff")
    run_caretaker()
    assert replica.read_view(sale.pk).ready
    assert replica.read_bought(sale.pk) == {}


def test_a_pause_during_a_rebuild_holds_when_the_gate_opens(
    make_sale: MakeSale, monkeypatch: pytest.MonkeyPatch
) -> None:
    sale = make_sale(stock=5)
    replica.remove([sale.pk])
    apply = replication._apply

    def paused_before(number: int, delta: Delta) -> int:
        monkeypatch.setattr(replication, "_apply", apply)
        at_once(partial(sale_lifecycle.pause, sale.pk, by="staff"))
        return apply(number, delta)

    monkeypatch.setattr(replication, "_apply", paused_before)
    run_caretaker()
    assert replica.read_view(sale.pk).ready
    assert click(sale).reason == "paused"


def test_a_full_redis_that_restarts_settles_what_waits(make_sale: MakeSale) -> None:
    sale = make_sale(stock=5)
    queue_up(sale, 2)
    redis = blocking_clients.client_of(0)
    redis.script_flush()
    redis.config_set("maxmemory", "1mb")
    try:
        run_caretaker()
        settlement.settle(sale.pk)
    finally:
        redis.config_set("maxmemory", "0")
    assert sale.orders.count() == 2
    assert replica.read_view(sale.pk).in_line == 0


def test_one_sick_gate_keeps_no_other_cold(
    make_sale: MakeSale, monkeypatch: pytest.MonkeyPatch
) -> None:
    sick, well = make_sale(stock=5), make_sale(stock=5)
    queue_up(sick, 1)
    settlement.settle(sick.pk)
    replica.remove([sick.pk, well.pk])
    blocking_clients.client_of(0).set(scripts.keys(sick.pk).answers, "of another type")
    with monkeypatch.context() as patch:
        patch.setattr(replica, "empty_gate", lambda *_: False)  # it stays sick
        run_caretaker()
    assert replica.read_view(well.pk).ready
    assert not replica.read_view(sick.pk).ready
    run_caretaker()  # meets the corrupt data, and empties the gate
    run_caretaker()
    assert replica.read_view(sick.pk).ready


def test_a_gate_that_has_lost_its_way_is_rebuilt_instead_of_asked_for_ever(
    make_sale: MakeSale,
) -> None:
    """It has the version, but not the answer for which a purchase waits."""
    sale = make_sale(stock=5)
    queue_up(sale, 1)
    epoch, _, raw = replica.read_line(sale.pk, 10)
    assert settlement.decide(sale.pk, epoch, parse_line(raw)[0])
    sale.refresh_from_db()
    blocking_clients.client_of(0).hset(scripts.keys(sale.pk).gate, "version", sale.version)
    settlement.settle(sale.pk)
    run_caretaker()
    assert replica.read_view(sale.pk).in_line == 0
    assert reconciliation.verify(sale.pk).faults == {}


def test_a_long_tale_is_announced_in_several_messages(
    make_sale: MakeSale, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A batch and one whose delta was lost need more than one message, and both are announced."""
    sale = make_sale(stock=10)
    queue_up(sale, 5)
    heard: list[int] = []
    monkeypatch.setattr(replication, "_ANNOUNCED", 2)
    monkeypatch.setattr(announce, "announce_change", lambda _, told=(): heard.append(len(told)))
    settlement.settle(sale.pk)
    assert heard == [2, 2, 1]


def test_what_a_rebuild_tells_again_is_no_news(
    make_sale: MakeSale, monkeypatch: pytest.MonkeyPatch
) -> None:
    sale = make_sale(stock=10)
    queue_up(sale, 5)
    settlement.settle(sale.pk)
    heard: list[int] = []
    monkeypatch.setattr(replication, "_ANNOUNCED", 2)
    monkeypatch.setattr(announce, "announce_change", lambda _, told=(): heard.append(len(told)))
    blocking_clients.client_of(0).flushall()
    run_caretaker()
    assert replica.read_view(sale.pk).ready
    assert set(heard) == {0}


def test_a_ready_gate_that_is_far_behind_is_rebuilt_in_parts(
    make_sale: MakeSale, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One script would stop Redis for seconds: a draw goes on while Redis is away."""
    sale = make_sale(stock=10)
    queue_up(sale, 6)
    monkeypatch.setattr(replication, "_BEHIND", 5)
    monkeypatch.setattr(replication, "_PART", 2)
    settlement.settle(sale.pk)
    assert not replica.read_view(sale.pk).ready
    run_caretaker()
    seen = replica.read_view(sale.pk)
    assert (seen.ready, seen.in_line, seen.stock) == (True, 0, {skus(sale)[0]: 4})
    assert reconciliation.verify(sale.pk).faults == {}
