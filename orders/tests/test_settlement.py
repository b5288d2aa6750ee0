"""Settlement turns the line into orders, in line order, by stock and limit alone."""

from typing import Any

import pytest
from django.db import DataError, connection, transaction

from conftest import MakeSale
from flashsale.http.shoppers import new_shopper
from flashsale.redis import blocking_clients
from inventory.gate import replica
from inventory.gate.entries import parse_line
from inventory.gate.scripts import keys
from inventory.models import Sale, StockMovement
from inventory.shown import digest_of
from orders import bell, caretaker, reconciliation, replication, sale_lifecycle, settlement
from orders.allotment import Decision
from orders.models import Order
from orders.tickets import new_purchase
from tests.cast import click, promise_too_much, queue_up, rename, run_caretaker, skus, stray


def line(sale: Sale) -> list[str]:
    """The purchases in the line, in order, read without the tested code."""
    entries: Any = blocking_clients.client_of(0).xrange(keys(sale.pk).line)
    return [fields["purchase"] for _, fields in entries]


def statuses(sale: Sale) -> dict[str, str]:
    return {order.pk.hex: order.status for order in sale.orders.all()}


def test_first_come_first_served_over_several_batches(
    make_sale: MakeSale, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settlement, "BATCH", 7)
    sale = make_sale(stock=20)
    promise_too_much(sale, 50)
    queue_up(sale, 50)
    waiting = line(sale)
    settlement.settle(sale.pk)
    found = statuses(sale)
    assert [found[purchase] for purchase in waiting] == ["confirmed"] * 20 + ["rejected"] * 30
    assert sale.orders.filter(reason="sold_out").count() == 30
    assert reconciliation.verify(sale.pk).faults == {}


@pytest.mark.parametrize("joined_by", ["hashjoin", "mergejoin", "nestloop"])
def test_a_batch_of_two_variants_is_written_in_line_order(
    make_sale: MakeSale, joined_by: str
) -> None:
    """However PostgreSQL joins the names to the orders."""
    sale = make_sale(stock={f"{joined_by}-left": 20, f"{joined_by}-right": 20})
    for turn in range(12):
        click(sale, sku=skus(sale)[turn % 2])
    waiting = line(sale)
    others = {"hashjoin", "mergejoin", "nestloop"} - {joined_by}
    with transaction.atomic(), connection.cursor() as cursor:
        for other in others:
            cursor.execute(f"SET LOCAL enable_{other} = off")
        settlement.settle(sale.pk)
    written = sale.orders.order_by("settled_at").values_list("pk", flat=True)
    assert [purchase.hex for purchase in written] == waiting


def digest(sale: Sale) -> str:
    return digest_of(sale.variants.get()).hex()


def test_what_was_changed_after_the_click_is_not_sold(make_sale: MakeSale) -> None:
    """Also if the change is staff's own, and whatever the web process believed."""
    sale = make_sale(stock=5)
    click(sale, shown=digest(sale))
    rename(sale)
    click(sale, shown=digest(sale))
    settlement.settle(sale.pk)
    decided = sale.orders.order_by("accepted_at").values_list("status", "reason")
    assert list(decided) == [("rejected", "changed"), ("confirmed", "")]
    assert sale.variants.get().stock == 4
    assert reconciliation.verify(sale.pk).faults == {}


def test_an_entry_of_the_last_release_does_not_say_what_was_shown_and_is_sold(
    make_sale: MakeSale,
) -> None:
    sale = make_sale(stock=5)
    purchase = stray(sale)
    click(sale)
    rename(sale)
    settlement.settle(sale.pk)
    assert list(statuses(sale).values()) == ["confirmed"] * 2, purchase


def test_an_entry_that_shows_nonsense_is_rejected_alone(make_sale: MakeSale) -> None:
    sale = make_sale(stock=5)
    click(sale, shown="nonsense " * 9)
    click(sale, shown=digest(sale))
    settlement.settle(sale.pk)
    assert sorted(statuses(sale).values()) == ["confirmed", "rejected"]
    assert sale.orders.get(status="rejected").reason == "changed"


def test_a_rejected_change_is_settled_once(make_sale: MakeSale) -> None:
    """Its entry comes again, as after a lost reply of COMMIT."""
    sale = make_sale(stock=5)
    click(sale, shown=digest(sale))
    rename(sale)
    sale.refresh_from_db()
    entries = parse_line(replica.read_line(sale.pk, 9)[2])[0]
    for version in (sale.version + 1, sale.version + 1):
        delta = settlement.decide(sale.pk, sale.epoch, entries)
        assert delta
        assert delta.to == version
    settlement.settle(sale.pk)
    assert sale.orders.get().reason == "changed"
    assert line(sale) == []
    assert reconciliation.verify(sale.pk).faults == {}


def test_a_batch_is_one_version_and_one_movement(make_sale: MakeSale) -> None:
    sale = make_sale(stock=20)
    queue_up(sale, 12)
    settlement.settle(sale.pk)
    before, sale = sale.version, Sale.objects.get(pk=sale.pk)
    assert sale.version == before + 1
    sold = StockMovement.objects.get(sale=sale, reason="sold")
    assert (sold.delta, sold.balance, sold.sale_version) == (-12, 8, sale.version)


@pytest.mark.parametrize("how", [sale_lifecycle.pause, sale_lifecycle.end])
def test_what_was_accepted_before_a_pause_or_the_end_is_settled(
    make_sale: MakeSale, how: object
) -> None:
    sale = make_sale(stock=5)
    queue_up(sale, 3)
    assert callable(how)
    how(sale.pk, by="staff")
    assert queue_up(sale, 3) == []
    settlement.settle(sale.pk)
    assert set(statuses(sale).values()) == {"confirmed"}


def test_the_limit_is_postgresqls_to_keep(make_sale: MakeSale) -> None:
    """A gate that has lost the units bought accepts the shopper again; settlement rejects."""
    sale = make_sale(stock=9, limit=1)
    queue_up(sale, 1)
    settlement.settle(sale.pk)
    shopper = sale.orders.get().shopper
    stray(sale, shopper=shopper.hex)
    settlement.settle(sale.pk)
    assert sorted(sale.orders.values_list("status", "reason")) == [
        ("confirmed", ""),
        ("rejected", "limit"),
    ]


@pytest.mark.parametrize(
    "fields",
    [
        {"sku": "nothing"},
        {"quantity": "99999999999999999999"},
        {"quantity": "0"},
        {"quantity": "-3"},
    ],
)
def test_a_poison_entry_is_rejected_alone(make_sale: MakeSale, fields: dict[str, str]) -> None:
    sale = make_sale(stock=9)
    queue_up(sale, 2)
    poison = new_purchase(sale.pk)
    stray(sale, purchase=poison.hex, **fields)
    queue_up(sale, 2)
    settlement.settle(sale.pk)
    order = Order.objects.get(pk=poison)
    assert order.status == "rejected"
    assert order.reason in ("error", "limit")
    assert sorted(statuses(sale).values()) == ["confirmed"] * 4 + ["rejected"]
    assert line(sale) == []
    assert reconciliation.verify(sale.pk).faults == {}


def test_a_batch_that_failed_is_settled_a_few_at_a_time(
    make_sale: MakeSale, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Others that wait for the sale's lock get it in between."""
    monkeypatch.setattr(settlement, "_ONE_BY_ONE", 2)
    sale = make_sale(stock=9)
    queue_up(sale, 5)
    write = settlement._write

    def refuse_several(sale: Sale, decisions: list[Decision], before: int = 0) -> int:
        if len(decisions) > 1:
            raise DataError
        return write(sale, decisions, before)

    monkeypatch.setattr(settlement, "_write", refuse_several)
    settlement.settle(sale.pk)
    assert list(statuses(sale).values()) == ["confirmed"] * 5
    versions = sale.orders.values_list("version", flat=True).order_by("settled_at")
    assert [list(versions).count(version) for version in sorted(set(versions))] == [2, 2, 1]
    assert line(sale) == []


def test_a_long_line_lets_other_sales_have_the_worker_and_rings_again(
    make_sale: MakeSale, monkeypatch: pytest.MonkeyPatch
) -> None:
    rung: list[int] = []
    monkeypatch.setattr(settlement, "BATCH", 2)
    monkeypatch.setattr(settlement, "MOST_PURCHASES", 4)
    monkeypatch.setattr(bell, "ring", rung.append)
    sale = make_sale(stock=9)
    queue_up(sale, 7)
    settlement.settle(sale.pk)
    assert (sale.orders.count(), len(line(sale)), rung) == (4, 3, [sale.pk])


def test_what_was_committed_and_not_told_is_told_by_the_next(
    make_sale: MakeSale, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With its answers, and without a rebuild, which would replicate them too."""
    sale = make_sale(stock=9)
    queue_up(sale, 2)
    stood, epoch = replica.read_position(sale.pk)
    with monkeypatch.context() as dying:
        dying.setattr(replication, "replicate", lambda *_: False)
        settlement.settle(sale.pk)
    assert replica.read_position(sale.pk) == (stood, epoch)
    settlement.settle(sale.pk)
    assert replica.read_position(sale.pk) == (stood + 1, epoch)
    assert {answer.status for answer in replica.read_answers(sale.pk).values()} == {"confirmed"}
    assert replica.read_view(sale.pk).ready


def test_garbage_in_the_line_holds_nobody_up(make_sale: MakeSale) -> None:
    sale = make_sale(stock=9)
    blocking_clients.client_of(0).xadd(keys(sale.pk).line, {"what": "is this"})
    queue_up(sale, 2)
    settlement.settle(sale.pk)
    assert list(statuses(sale).values()) == ["confirmed"] * 2
    assert line(sale) == []


def test_a_purchase_that_stands_in_the_line_twice_is_one_order(make_sale: MakeSale) -> None:
    sale = make_sale(stock=9)
    queue_up(sale, 1)
    [(_, fields)] = replica.read_line(sale.pk, 10)[2]
    stray(sale, **fields)
    settlement.settle(sale.pk)
    assert sale.orders.count() == 1
    assert line(sale) == []
    assert reconciliation.verify(sale.pk).faults == {}


def test_a_line_read_under_another_mark_is_left_alone(make_sale: MakeSale) -> None:
    sale = make_sale(stock=9)
    queue_up(sale, 2)
    epoch, _, raw = replica.read_line(sale.pk, 10)
    replica.begin_epoch([sale.pk], "another")
    run_caretaker()
    assert not settlement.decide(sale.pk, epoch, parse_line(raw)[0])
    assert sale.orders.count() == 0
    settlement.settle(sale.pk)
    assert sale.orders.count() == 2


def test_the_caretaker_settles_a_line_whose_bell_was_lost(
    make_sale: MakeSale, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(caretaker, "_WAITED_TOO_LONG", -1)
    sale = make_sale(stock=9)
    queue_up(sale, 2)
    run_caretaker()
    assert set(statuses(sale).values()) == {"confirmed"}


def test_a_purchase_that_could_not_be_processed_keeps_its_answer(
    make_sale: MakeSale, monkeypatch: pytest.MonkeyPatch
) -> None:
    sale = make_sale(stock=9)
    purchase, shopper = new_purchase(sale.pk), new_shopper()
    click(sale, purchase, shopper)
    write = settlement._write

    def refused(sale: Sale, decisions: list[Decision], before: int = 0) -> int:
        if any(decision.status == Order.Status.CONFIRMED for decision in decisions):
            raise DataError
        return write(sale, decisions, before)

    monkeypatch.setattr(settlement, "_write", refused)
    settlement.settle(sale.pk)
    again = click(sale, purchase, shopper)
    assert again.code == "known"
    assert again.answer is not None
    assert (again.answer.status, again.answer.reason) == ("rejected", "error")
