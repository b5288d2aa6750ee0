"""Cold gates: whatever happens to Redis, PostgreSQL's word is taken over before anything is sold."""

import pytest

from conftest import MakeSale
from flashsale import redis_clients
from inventory import gate
from orders import books, caretaker, sales, settlement, telling
from tests.cast import queue_up, skus


def test_a_rolled_back_gate_learns_what_it_has_forgotten(make_sale: MakeSale) -> None:
    """Redis restored from a copy that was made before the last batch."""
    sale = make_sale(stock=10)
    queue_up(sale, 3)
    redis = redis_clients.blocking()
    keys = [key for key in gate.keys(sale.pk) if redis.exists(key)]
    copy = {key: redis.dump(key) for key in keys}
    settlement.settle(sale.pk)
    queue_up(sale, 2)
    settlement.settle(sale.pk)

    redis.delete(*gate.keys(sale.pk))
    for key, dumped in copy.items():
        redis.restore(key, 0, dumped or b"")
    redis.script_flush()
    caretaker.look_after_all()
    seen = gate.view_now(sale.pk)
    assert seen.warm
    assert (seen.stock, seen.flight, seen.waiting) == ({skus(sale)[0]: 5}, {}, 0)
    assert books.verify(sale.pk).faults == {}


def test_a_gate_that_is_ahead_of_a_restored_postgresql_is_emptied(make_sale: MakeSale) -> None:
    sale = make_sale(stock=10)
    queue_up(sale, 3)
    redis_clients.blocking().hset(gate.keys(sale.pk).gate, "version", sale.version + 7)
    redis_clients.blocking().hset(gate.keys(sale.pk).answers, "f" * 32, "confirmed||a|b|1")
    assert not telling.tell(sale.pk)
    caretaker.look_after_all()
    seen = gate.view_now(sale.pk)
    assert (seen.version, seen.warm, seen.waiting) == (sale.version, True, 3)
    assert seen.flight == {skus(sale)[0]: 3}
    settlement.settle(sale.pk)
    assert sale.orders.count() == 3
    assert books.verify(sale.pk).faults == {}


def test_an_old_copy_does_not_bring_a_finished_sale_back(make_sale: MakeSale) -> None:
    sale = make_sale(stock=10)
    redis = redis_clients.blocking()
    copy = {key: redis.dump(key) for key in gate.keys(sale.pk) if redis.exists(key)}
    sales.end(sale.pk)
    assert sales.finish(sale.pk)
    for key, dumped in copy.items():
        redis.restore(key, 0, dumped or b"")
    redis.script_flush()
    caretaker.look_after_all()
    assert sale.pk not in gate.standing()
    assert queue_up(sale, 1) == []


def test_a_lost_tale_heals(make_sale: MakeSale) -> None:
    """A worker died between its commit and `tell`."""
    sale = make_sale(stock=10)
    queue_up(sale, 3)
    mark, _, raw = gate.read_line(sale.pk, 10)
    assert settlement.decide(sale.pk, mark, gate.parse_line(raw)[0])
    assert gate.view_now(sale.pk).waiting == 3
    caretaker.look_after_all()
    assert gate.view_now(sale.pk).waiting == 0
    assert books.verify(sale.pk).faults == {}


def test_a_rebuild_in_parts_tells_everything(
    make_sale: MakeSale, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(telling, "_PART", 4)
    sale = make_sale(stock=30)
    queue_up(sale, 30)
    settlement.settle(sale.pk)
    gate.forget([sale.pk])
    caretaker.look_after_all()
    assert len(gate.all_answers(sale.pk)) == 30
    assert len(gate.all_bought(sale.pk)) == 30
    assert books.verify(sale.pk).faults == {}
