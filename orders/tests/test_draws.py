"""A draw, from its time to its end."""

import json
import threading
from dataclasses import replace
from datetime import timedelta
from unittest.mock import patch
from uuid import UUID

import pytest
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from conftest import MakeSale
from flashsale.redis import blocking_clients
from inventory.gate import replica
from inventory.models import Sale
from orders import (
    cancellation,
    caretaker,
    finishing,
    holds,
    reconciliation,
    replication,
    sale_lifecycle,
    settlement,
    standby,
    stock_changes,
)
from orders.changes import NotPossible, change_sales
from orders.draws import (
    allotting,
    beacon,
    freezing,
    merkle,
    ranking,
    record,
    reveal,
    seed,
    steps,
    verification,
)
from orders.draws.steps import Hindrance, hindrance
from orders.models import Draw, Lot
from orders.order_status import Status
from tests.cast import bring_draw_forward, click, end_holds, queue_up, run_caretaker, skus
from tests.stack import wait_for

State = Sale.Draw


def enter(sale: Sale, entries: dict[str, list[int]]) -> None:
    """Let shoppers enter for so many units each, by the beginning of a sku."""
    for sku in skus(sale):
        for quantity in entries.get(sku.partition("-")[0], []):
            queue_up(sale, 1, sku=sku, quantity=quantity)
    settlement.settle(sale.pk)


def state(sale: Sale) -> str:
    sale.refresh_from_db()
    return sale.draw


def close(sale: Sale) -> None:
    bring_draw_forward(sale)
    assert steps.advance(sale.pk)
    assert state(sale) == State.CLOSED


def freeze(sale: Sale) -> Draw:
    close(sale)
    assert steps.advance(sale.pk)
    assert state(sale) == State.FROZEN
    return Draw.objects.get(pk=sale.pk)


def draw(sale: Sale) -> Draw:
    """Carry out the whole draw, or the rest of it."""
    if state(sale) == State.OPEN:
        bring_draw_forward(sale)
    caretaker.advance_draws()
    assert state(sale) == State.DONE
    return Draw.objects.get(pk=sale.pk)


def expected_winners(sale: Sale) -> set[UUID]:
    """By the published figures alone."""
    drawn = Draw.objects.get(pk=sale.pk)
    lots = {lot.pk: lot for lot in Lot.objects.filter(sale=sale, set_aside=False)}
    randomness = beacon.randomness_of(bytes.fromhex(drawn.signature))
    order = ranking.order_by_rank(bytes.fromhex(drawn.seed), randomness, lots)
    assert [lots[entry].rank for entry in order] == list(range(1, len(lots) + 1))
    ranked = [(entry, lots[entry].sku, lots[entry].quantity) for entry in order]
    return set(ranking.winners(ranked, drawn.stock))


def winners(sale: Sale) -> set[UUID]:
    return {order.pk for order in sale.orders.all() if order.owned}


def faults(sale: Sale) -> dict[str, object]:
    return dict(reconciliation.verify(sale.pk).faults)


# --- The whole draw -------------------------------------------------------------------------------


@pytest.mark.parametrize(("hold", "standby"), [(0, False), (10, False), (10, True)])
def test_a_draw_gives_the_stock_by_lot(make_sale: MakeSale, hold: int, standby: bool) -> None:
    sale = make_sale({"shoe": 4, "bag": 3}, limit=3, draw_in=60, hold=hold, standby=standby)
    enter(sale, {"shoe": [1, 2, 3, 1, 2, 1], "bag": [2, 2, 1]})
    assert set(sale.orders.values_list("status", "place")) == {("waiting", None)}
    assert faults(sale) == {}
    with patch.object(allotting, "BATCH", 2):
        drawn = draw(sale)
    assert (drawn.allotted, drawn.entries) == (9, 9)
    assert winners(sale) == expected_winners(sale)
    given = set(sale.orders.filter(owned__gt=0).values_list("status", flat=True))
    assert given == {Status.HELD if hold else Status.CONFIRMED}
    lost = set(sale.orders.exclude(pk__in=winners(sale)).values_list("status", "reason"))
    assert lost == {(Status.WAITING, "") if standby else (Status.REJECTED, "not_drawn")}
    ranks = dict(Lot.objects.filter(sale=sale).values_list("order", "rank"))
    assert dict(sale.orders.values_list("pk", "place")) == ranks
    assert faults(sale) == {}


def test_the_gate_tells_the_place_of_a_loser_on_standby(make_sale: MakeSale) -> None:
    sale = make_sale(stock=1, draw_in=60, hold=10, standby=True)
    enter(sale, {"shoe": [1, 1, 1]})
    draw(sale)
    places = {
        replica.read_answer(sale.pk, order.pk.hex)[0].place  # type: ignore[union-attr]
        for order in sale.orders.filter(status=Status.WAITING)
    }
    assert places == {2, 3}
    assert replica.read_view(sale.pk).waiting == {skus(sale)[0]: 2}


def test_a_draw_without_entries_is_done_and_sells_by_arrival(make_sale: MakeSale) -> None:
    sale = make_sale(stock=2, draw_in=60)
    drawn = draw(sale)
    assert drawn.entries == 0
    alone = record.leaf_of_sale(sale.slug, drawn.stock)
    assert drawn.root == merkle.hash_leaf(alone).hex()
    assert click(sale).code == "queued"
    settlement.settle(sale.pk)
    assert sale.orders.get().status == Status.CONFIRMED
    assert faults(sale) == {}


def test_a_draw_at_the_close_is_carried_out_and_then_the_sale_finishes(make_sale: MakeSale) -> None:
    sale = make_sale(stock=1, draw_in=3600, standby=True)
    enter(sale, {"shoe": [1, 1]})
    with change_sales([sale.pk]), connection.cursor() as cursor:
        cursor.execute("ALTER TABLE inventory_sale DISABLE TRIGGER sale_goes_forward")
        over = "UPDATE inventory_sale SET draw_at = now(), closes_at = now() WHERE id = %s"
        cursor.execute(over, [sale.pk])
        cursor.execute("ALTER TABLE inventory_sale ENABLE TRIGGER sale_goes_forward")
    run_caretaker()
    assert not finishing.finish_sale(sale.pk) or state(sale) == State.DONE
    draw(sale)
    caretaker.serve_standby()
    assert finishing.finish_sale(sale.pk)
    ends = sorted(sale.orders.values_list("status", "reason"))
    assert ends == [("confirmed", ""), ("rejected", "sold_out")]
    assert faults(sale) == {}


def test_a_sale_by_arrival_has_no_draw(make_sale: MakeSale) -> None:
    sale = make_sale(stock=1)
    assert not Draw.objects.filter(sale=sale).exists()
    assert sale.pk not in steps.find_due()
    assert not steps.advance(sale.pk)
    assert hindrance(sale) == Hindrance.NONE


# --- Before the draw ------------------------------------------------------------------------------


def test_a_shopper_takes_an_entry_back_and_enters_anew(make_sale: MakeSale) -> None:
    sale = make_sale({"shoe": 1, "bag": 1}, draw_in=60)
    enter(sale, {"shoe": [1]})
    [entry] = sale.orders.all()
    shoe, bag = skus(sale)
    assert click(sale, shopper=entry.shopper, sku=bag).reason == "entered"
    assert cancellation.give_back(entry.pk)
    assert not cancellation.give_back(entry.pk)
    assert cancellation.find_given_back([entry.pk]) == {entry.pk}
    assert click(sale, shopper=entry.shopper, sku=bag).code == "queued"
    settlement.settle(sale.pk)
    sale.refresh_from_db()
    assert sale.waiting == {bag: 1}
    assert faults(sale) == {}
    draw(sale)
    assert Lot.objects.get(sale=sale).sku == bag
    assert shoe not in sale.waiting


def test_an_entry_counts_for_the_limit_until_it_has_lost(make_sale: MakeSale) -> None:
    sale = make_sale(stock=1, draw_in=60)
    enter(sale, {"shoe": [1, 1]})
    counted = {
        order.shopper: replica.read_bought_by(sale.pk, order.shopper.hex)
        for order in sale.orders.all()
    }
    assert set(counted.values()) == {1}
    draw(sale)
    for order in sale.orders.all():
        assert replica.read_bought_by(sale.pk, order.shopper.hex) == order.owned
    assert faults(sale) == {}


def test_an_entry_that_was_set_aside_is_a_lot_without_a_rank(make_sale: MakeSale) -> None:
    sale = make_sale(stock=5, draw_in=60)
    enter(sale, {"shoe": [1, 1, 1]})
    aside = sale.orders.first()
    assert aside
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            "UPDATE orders_order SET status = 'cancelled', reason = 'set_aside', version = version + 1"
            " WHERE id = %s",
            [aside.pk],
        )
        waiting = json.dumps({aside.sku: 2})
        cursor.execute(
            "UPDATE inventory_sale SET version = version + 1, waiting = %s WHERE id = %s",
            [waiting, sale.pk],
        )
    run_caretaker()
    drawn = draw(sale)
    assert (drawn.entries, drawn.allotted) == (3, 3)
    assert list(Lot.objects.filter(sale=sale, set_aside=True).values_list("order", "rank")) == [
        (aside.pk, None)
    ]
    assert len(winners(sale)) == 2
    assert faults(sale) == {}


def test_a_sale_that_ends_before_its_draw_rejects_its_entries(make_sale: MakeSale) -> None:
    sale = make_sale(stock=5, draw_in=60, standby=True)
    enter(sale, {"shoe": [1, 1, 1]})
    queue_up(sale, 1)
    sale_lifecycle.end(sale.pk, by="staff")
    assert state(sale) == State.OFF
    assert not finishing.finish_sale(sale.pk)
    settlement.settle(sale.pk)
    with patch.object(standby, "BATCH", 2):
        caretaker.serve_standby()
    ends = set(sale.orders.values_list("status", "reason"))
    assert ends == {("rejected", "not_drawn")}
    assert faults(sale) == {}
    assert finishing.finish_sale(sale.pk)


def test_the_close_does_not_move_before_the_draw(make_sale: MakeSale) -> None:
    sale = make_sale(draw_in=600)
    with pytest.raises(NotPossible, match="draw"):
        sale_lifecycle.change_window(
            sale.pk, closes_at=timezone.now() + timedelta(seconds=300), by="staff"
        )


@pytest.mark.parametrize(
    ("draw_in", "beacon", "said"),
    [(-1, "", "lie ahead"), (60, "moon", "no beacon"), (None, "quicknet", "Only a sale")],
)
def test_what_cannot_be_drawn_is_not_scheduled(
    make_sale: MakeSale, draw_in: float | None, beacon: str, said: str
) -> None:
    sale = make_sale(live=False, draw_in=draw_in)
    with pytest.raises(NotPossible, match=said):
        sale_lifecycle.schedule(sale.pk, by="staff", beacon=beacon)
    sale.refresh_from_db()
    assert sale.status == Sale.Status.DRAFT


def test_scheduling_commits_to_a_sealed_seed_and_a_round(make_sale: MakeSale) -> None:
    sale = make_sale(draw_in=60, beacon="quicknet")
    drawn = Draw.objects.get(pk=sale.pk)
    secret = seed.open_sealed(drawn.sealed_seed, drawn.commitment)
    assert secret.hex() not in drawn.sealed_seed
    assert (drawn.seed, drawn.beacon) == ("", "quicknet")
    assert sale.draw_at
    assert drawn.round
    ahead = beacon.time_of(drawn.round) - sale.draw_at
    assert timedelta(seconds=30) < ahead <= timedelta(seconds=34)


def test_go_live_commits_a_draft_once(make_sale: MakeSale) -> None:
    sale = make_sale(live=False, opens_in=30, draw_in=60)
    sale_lifecycle.go_live(sale.pk, by="staff")
    later = make_sale(opens_in=30, draw_in=60)
    committed = Draw.objects.get(pk=later.pk).commitment
    sale_lifecycle.go_live(later.pk, by="staff")
    assert Draw.objects.get(pk=later.pk).commitment == committed
    assert Draw.objects.filter(pk=sale.pk).exists()


# --- Closing and freezing -------------------------------------------------------------------------


def test_a_draw_waits_for_its_time_by_both_clocks(make_sale: MakeSale) -> None:
    sale = make_sale(draw_in=60)
    assert not steps.advance(sale.pk)
    bring_draw_forward(sale)
    view = replica.read_view(sale.pk)
    with patch.object(replica, "read_view") as read:
        read.return_value.now = view.draw_at - 60_000  # Redis' clock was stepped back
        assert not steps.advance(sale.pk)
    assert state(sale) == State.OPEN
    bring_draw_forward(sale, 30)
    with patch.object(replica, "read_view") as read:
        read.return_value.now = view.draw_at + 60_000
        assert not steps.advance(sale.pk)  # PostgreSQL's clock decides, too
    assert state(sale) == State.OPEN


def test_a_paused_sale_is_not_drawn_until_it_goes_on_or_is_over(make_sale: MakeSale) -> None:
    sale = make_sale(draw_in=60)
    sale_lifecycle.pause(sale.pk, by="staff")
    bring_draw_forward(sale)
    sale.refresh_from_db()
    assert hindrance(sale) == Hindrance.PAUSED
    caretaker.advance_draws()
    assert state(sale) == State.OPEN
    sale_lifecycle.resume(sale.pk, by="staff")
    draw(sale)


def test_a_closed_draw_takes_no_more_entries_and_settles_those_in_line(
    make_sale: MakeSale,
) -> None:
    sale = make_sale(stock=9, draw_in=60)
    queue_up(sale, 3)
    close(sale)
    assert click(sale).reason == "drawing"
    assert hindrance(sale) == Hindrance.LINE
    assert not steps.advance(sale.pk)  # there is a line
    settlement.settle(sale.pk)
    assert draw(sale).entries == 3
    assert faults(sale) == {}


def test_redis_wiped_in_the_window_loses_no_settled_entry(make_sale: MakeSale) -> None:
    sale = make_sale(stock=9, draw_in=60)
    enter(sale, {"shoe": [1, 1, 1]})
    replica.remove([sale.pk])
    run_caretaker()
    queue_up(sale, 1)
    settlement.settle(sale.pk)
    assert draw(sale).entries == 4
    assert faults(sale) == {}


def test_redis_wiped_between_close_and_freeze_holds_the_freeze(make_sale: MakeSale) -> None:
    sale = make_sale(stock=9, draw_in=60)
    enter(sale, {"shoe": [1, 1, 1]})
    close(sale)
    replica.remove([sale.pk])
    assert not steps.advance(sale.pk)
    assert state(sale) == State.CLOSED
    caretaker.heal_all()
    assert draw(sale).entries == 3
    assert faults(sale) == {}


def test_a_close_that_a_worker_of_the_last_release_replicated_is_frozen(
    make_sale: MakeSale, monkeypatch: pytest.MonkeyPatch
) -> None:
    sale = make_sale(stock=1, draw_in=60)
    enter(sale, {"shoe": [1, 1]})

    def replicate_as_released(sale_id: int) -> None:
        delta = replication.delta_since(sale_id, replica.read_view(sale_id).version)
        assert delta
        known = {rule: delta.rules[rule] for rule in ("status", "limit", "opens_at", "closes_at")}
        replication._apply(sale_id, replace(delta, rules=known))

    monkeypatch.setattr(steps, "replicate_change", replicate_as_released)
    close(sale)
    view = replica.read_view(sale.pk)
    assert (view.ready, view.version, view.draw) == (True, sale.version, State.OPEN)
    assert not steps.advance(sale.pk)
    caretaker.heal_all()
    assert steps.advance(sale.pk)
    assert state(sale) == State.FROZEN
    assert faults(sale) == {}


def test_a_gate_replaced_during_the_freeze_holds_it(make_sale: MakeSale) -> None:
    sale = make_sale(stock=9, draw_in=60)
    enter(sale, {"shoe": [1, 1, 1]})
    close(sale)
    make_lots = freezing._make_lots

    def then_replaced(number: int) -> freezing.Frozen | None:
        made = make_lots(number)
        replica.remove([number])
        caretaker.heal_all()
        return made

    with patch.object(freezing, "_make_lots", then_replaced):
        assert not steps.advance(sale.pk)
    assert state(sale) == State.CLOSED
    assert draw(sale).entries == 3


def test_an_entry_of_a_restored_line_makes_new_lots(make_sale: MakeSale) -> None:
    sale = make_sale(stock=9, draw_in=60)
    enter(sale, {"shoe": [1, 1]})
    close(sale)
    made = freezing._make_lots(sale.pk)
    assert made
    assert made.entries == 2
    epoch = replica.read_view(sale.pk).epoch
    blocking_clients.client_of(0).hset(f"{{sale:{sale.pk}}}:gate", "draw", "open")
    draw_at = "9" * 13
    blocking_clients.client_of(0).hset(f"{{sale:{sale.pk}}}:gate", "draw_at", draw_at)
    assert click(sale).code == "queued"
    settlement.settle(sale.pk)
    assert not freezing._publish(sale.pk, epoch, made)
    replica.empty_gate(sale.pk)
    caretaker.heal_all()
    assert draw(sale).entries == 3
    assert faults(sale) == {}


def test_the_root_binds_the_stock_of_the_freeze(
    make_sale: MakeSale, monkeypatch: pytest.MonkeyPatch
) -> None:
    sale = make_sale(stock=2, draw_in=60)
    enter(sale, {"shoe": [1, 1, 1]})
    close(sale)
    make_lots, [variant] = freezing._make_lots, sale.variants.all()

    def then_restocked(sale_id: int) -> freezing.Frozen | None:
        made = make_lots(sale_id)
        stock_changes.restock(variant.pk, 1, by="anna", reason="one more pair")
        return made

    monkeypatch.setattr(freezing, "_make_lots", then_restocked)
    assert freezing.freeze(sale.pk)
    drawn = draw(sale)
    assert drawn.stock == {variant.sku: 3}
    assert len(winners(sale)) == 3
    assert verification.verify(sale).faults == []


def test_leaves_in_sql_are_those_of_the_record(make_sale: MakeSale) -> None:
    sale = make_sale({"shoe": 2, "bag.x_1": 3}, limit=2, draw_in=60)
    enter(sale, {"shoe": [1, 2], "bag.x_1": [2]})
    frozen = freeze(sale)
    lots = [
        record.leaf_of(record.Lot(lot.pk, lot.sku, lot.quantity, lot.set_aside, lot.rank))
        for lot in Lot.objects.filter(sale=sale).order_by("leaf")
    ]
    with transaction.atomic():
        assert list(freezing._read_leaves(sale.pk)) == lots
    leaf = record.leaf_of_sale(sale.slug, frozen.stock)
    assert merkle.root_of([leaf, *lots]).hex() == frozen.root


def test_lots_can_be_made_anew_until_the_freeze_and_are_kept_after_it(make_sale: MakeSale) -> None:
    sale = make_sale(stock=1, draw_in=60)
    enter(sale, {"shoe": [1, 1]})
    close(sale)
    assert freezing._make_lots(sale.pk)
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("DELETE FROM orders_lot WHERE sale_id = %s", [sale.pk])
        assert cursor.rowcount == 2
    assert steps.advance(sale.pk)
    for drawn in (False, True):
        if drawn:
            draw(sale)
        with pytest.raises(IntegrityError, match="are kept"), transaction.atomic():
            Lot.objects.filter(sale=sale, leaf=0).delete()
    assert Lot.objects.filter(sale=sale).count() == 2


# --- The beacon -----------------------------------------------------------------------------------

SIGNATURE = bytes(48)


def test_a_beacon_that_is_away_holds_the_draw(
    make_sale: MakeSale, monkeypatch: pytest.MonkeyPatch
) -> None:
    sale = make_sale(stock=2, draw_in=60, beacon="quicknet")
    enter(sale, {"shoe": [1, 1, 1]})
    freeze(sale)
    assert hindrance(sale) == Hindrance.ROUND
    assert not steps.advance(sale.pk)  # the round is still to come
    asked = []

    def fetch(number: int) -> bytes:
        asked.append(number)
        if len(asked) == 1:
            raise beacon.BeaconAway("none answers")
        return SIGNATURE

    monkeypatch.setattr(beacon, "fetch", fetch)
    monkeypatch.setattr(beacon, "time_of", lambda number: timezone.now() - timedelta(seconds=1))
    assert not steps.advance(sale.pk)
    assert hindrance(sale) == Hindrance.BEACON
    assert not steps.advance(sale.pk)
    assert len(asked) == 1  # not asked again so soon
    assert Draw.objects.get(pk=sale.pk).seed == ""
    monkeypatch.setattr(reveal, "_PAUSE", 0.0)
    drawn = draw(sale)
    assert asked == [drawn.round, drawn.round]
    assert drawn.signature == SIGNATURE.hex()
    assert winners(sale) == expected_winners(sale)
    assert faults(sale) == {}


def test_servers_of_the_beacon_that_hang_hold_up_no_other_draw(
    make_sale: MakeSale, monkeypatch: pytest.MonkeyPatch
) -> None:
    sales = [make_sale(stock=1, draw_in=60 + 6 * number, beacon="quicknet") for number in range(3)]
    for sale in sales:
        enter(sale, {"shoe": [1]})
        freeze(sale)
    answered, asked = threading.Event(), []

    def hang(number: int) -> bytes:
        asked.append(number)
        assert answered.wait(20)
        return SIGNATURE

    monkeypatch.setattr(beacon, "fetch", hang)
    monkeypatch.setattr(beacon, "time_of", lambda number: timezone.now() - timedelta(seconds=1))
    monkeypatch.setattr(reveal, "_WAIT", 0.0)
    try:
        for _ in range(2):
            caretaker.advance_draws()
        other = make_sale(stock=1, draw_in=60)
        enter(other, {"shoe": [1]})
        draw(other)
        assert {state(sale) for sale in sales} == {State.FROZEN}
        wait_for(lambda: len(asked) == 3, "each round is asked for")
    finally:
        answered.set()
    wait_for(lambda: all(fetch.done() for fetch in reveal._fetches.values()), "all have answered")
    for sale in sales:
        draw(sale)
    assert len(asked) == 3
    assert reveal._fetches == {}


def test_a_seed_under_another_key_holds_the_draw(make_sale: MakeSale) -> None:
    sale = make_sale(stock=2, draw_in=60)
    freeze(sale)
    with patch.object(seed, "open_sealed", side_effect=seed.Unsealable("another key")):
        assert not steps.advance(sale.pk)
        assert hindrance(sale) == Hindrance.KEY
    with patch.object(reveal, "_PAUSE", 0.0):
        draw(sale)


# --- While it runs --------------------------------------------------------------------------------


def test_while_a_draw_runs_it_is_fixed_who_takes_part_and_what_can_be_won(
    make_sale: MakeSale,
) -> None:
    sale = make_sale(stock=2, draw_in=60, standby=True)
    enter(sale, {"shoe": [1, 1, 1]})
    close(sale)
    entry, variant = sale.orders.all()[0], sale.variants.get()
    for frozen in (False, True):
        if frozen:
            assert steps.advance(sale.pk)
        with pytest.raises(NotPossible, match="under way"):
            cancellation.give_back(entry.pk)
        with pytest.raises(NotPossible, match="under way"):
            cancellation.cancel_order(entry.pk, by="staff")
        with pytest.raises(NotPossible, match="under way"):
            stock_changes.correct(variant.pk, -1, by="staff", reason="broken")
    draw(sale)
    waiting = sale.orders.get(status=Status.WAITING)
    assert cancellation.give_back(waiting.pk)
    assert faults(sale) == {}


def test_a_restock_during_the_draw_is_for_standby_after_it(make_sale: MakeSale) -> None:
    sale = make_sale(stock=1, draw_in=60, standby=True)
    enter(sale, {"shoe": [1, 1, 1]})
    freeze(sale)
    stock_changes.restock(sale.variants.get().pk, 1, by="staff")
    draw(sale)
    assert winners(sale) == expected_winners(sale)
    assert len(winners(sale)) == 1
    caretaker.serve_standby()
    assert set(sale.orders.filter(owned=1).values_list("place", flat=True)) == {1, 2}
    assert faults(sale) == {}


def test_a_sale_that_ends_during_its_draw_draws_to_the_end(make_sale: MakeSale) -> None:
    sale = make_sale(stock=1, draw_in=60)
    enter(sale, {"shoe": [1, 1, 1]})
    freeze(sale)
    sale_lifecycle.end(sale.pk, by="staff")
    assert not finishing.finish_sale(sale.pk)
    draw(sale)
    assert winners(sale) == expected_winners(sale)
    assert finishing.finish_sale(sale.pk)


def test_a_late_payment_gets_no_unit_that_a_draw_gives(make_sale: MakeSale) -> None:
    sale = make_sale(stock=2, draw_in=60, hold=10)
    enter(sale, {"shoe": [1]})
    draw(sale)
    [order] = sale.orders.all()
    end_holds(sale)
    caretaker.expire_holds()
    with patch.object(Sale, "awaits_draw", True):
        assert not holds.revive(order.pk)
    assert holds.revive(order.pk)


@pytest.mark.parametrize(
    ("broken", "kind"),
    [
        ("UPDATE orders_lot SET rank = rank + 7 WHERE sale_id = %s", "rank_is_not_of_the_seed"),
        ("DELETE FROM orders_lot WHERE sale_id = %s AND rank = 1", "lots_are_not_the_entries"),
        (
            "UPDATE orders_draw SET commitment = seed WHERE sale_id = %s",
            "seed_is_not_the_committed_one",
        ),
        ("UPDATE orders_order SET place = 9 WHERE sale_id = %s", "outcome_is_not_the_rank"),
        ("UPDATE inventory_sale SET waiting = '{}' WHERE id = %s", "waiting_is_not_the_orders"),
        (
            "UPDATE orders_order SET place = NULL WHERE sale_id = %s AND status = 'waiting'",
            "place_is_wrong",
        ),
        (
            "UPDATE orders_order SET place = 4 - place WHERE sale_id = %s",
            "passed_over",
        ),
        ("UPDATE inventory_sale SET draw = 'open' WHERE id = %s", "units_before_the_draw"),
        (
            """UPDATE orders_draw SET "left" = '{"%%s": 1}' WHERE sale_id = %s""",
            "drawn_units_left_over",
        ),
    ],
)
def test_verify_finds_a_broken_draw(make_sale: MakeSale, broken: str, kind: str) -> None:
    over = kind == "drawn_units_left_over"
    sale = make_sale(stock=1, draw_in=60, standby=not over)
    enter(sale, {"shoe": [1, 1, 1]})
    draw(sale)
    report = reconciliation.Report()
    triggers = {"orders_order": "order_final", "orders_draw": "draw_once", "orders_lot": "USER"}
    triggers["inventory_sale"] = "sale_goes_forward"
    found: list[str] = []
    with transaction.atomic(), connection.cursor() as cursor:
        for table, trigger in triggers.items():
            cursor.execute(f"ALTER TABLE {table} DISABLE TRIGGER {trigger}")
        cursor.execute(broken.replace("%%s", skus(sale)[0]), [sale.pk])
        for name, rule in reconciliation.RULES.items():
            cursor.execute(rule, {"sale": sale.pk})
            found += [name] * bool(cursor.fetchall())
        transaction.set_rollback(True)
    assert kind in found
    reconciliation.check_rules(sale.pk, report)
    assert report.faults == {}
