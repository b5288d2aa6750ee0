"""Staff set entries of a draw aside before it: once, with a reason that the shopper reads."""

from uuid import uuid4

import pytest
from django.db import connection

from conftest import MakeSale
from flashsale.http.shoppers import new_shopper
from flashsale.redis import blocking_clients
from inventory.gate import replica
from inventory.gate.scripts import keys
from inventory.models import Sale
from orders import cancellation, networks, sale_lifecycle, settlement
from orders.aside import MOST, reason_of, set_aside
from orders.changes import NotPossible
from orders.models import Order
from tests.cast import bring_draw_forward, click, queue_up, run_caretaker, skus
from tests.draws import enter, make_draw

WHY = "forty entries of one person"


def test_an_entry_is_set_aside_and_says_why(make_sale: MakeSale) -> None:
    sale = make_draw(make_sale, stock=5)
    first, second = enter(sale, ["192.0.2.1", "192.0.2.2"])
    assert set_aside(sale.pk, [first], by="anna", reason=WHY) == 1
    aside, stays = Order.objects.get(pk=first), Order.objects.get(pk=second)
    assert (aside.status, aside.reason, aside.owned) == ("cancelled", "set_aside", 0)
    assert (reason_of(aside), reason_of(stays)) == (WHY, "")
    entry = sale.audit.latest("id")
    assert (entry.action, entry.actor, entry.order) == ("aside", "anna", first)
    sale.refresh_from_db()
    assert sale.waiting == {skus(sale)[0]: 1}
    answer, _ = replica.read_answer(sale.pk, first.hex)
    assert answer
    assert (answer.status, answer.reason) == ("cancelled", "set_aside")


def test_its_shopper_does_not_enter_again(make_sale: MakeSale) -> None:
    sale, shopper = make_draw(make_sale, stock=5, limit=2), new_shopper()
    [entry] = enter(sale, ["192.0.2.1"], shopper=shopper)
    set_aside(sale.pk, [entry], by="anna", reason=WHY)
    assert click(sale, shopper=shopper).reason == "entered"
    replica.empty_gate(sale.pk)
    run_caretaker()
    assert click(sale, shopper=shopper).reason == "entered"


def test_settlement_knows_it_too(make_sale: MakeSale, monkeypatch: pytest.MonkeyPatch) -> None:
    """A gate may have let the shopper in before it was told."""
    sale, shopper = make_draw(make_sale, stock=5), new_shopper()
    [entry] = enter(sale, ["192.0.2.1"], shopper=shopper)
    set_aside(sale.pk, [entry], by="anna", reason=WHY)
    _forget_bought(sale, shopper.hex)
    assert click(sale, shopper=shopper).code == "queued"
    settlement.settle(sale.pk)
    again = Order.objects.filter(sale=sale, shopper=shopper).exclude(pk=entry).get()
    assert (again.status, again.reason) == ("rejected", "limit")


def _forget_bought(sale: Sale, shopper: str) -> None:
    assert blocking_clients.client_of(sale.pk).hdel(keys(sale.pk).bought, shopper) == 1


def test_who_is_set_aside_twice_is_counted_once(make_sale: MakeSale) -> None:
    sale = make_draw(make_sale, stock=5)
    entries = enter(sale, ["192.0.2.1", "192.0.2.2"])
    assert set_aside(sale.pk, entries[:1], by="anna", reason=WHY) == 1
    assert set_aside(sale.pk, entries, by="ben", reason="others") == 1
    assert reason_of(Order.objects.get(pk=entries[0])) == WHY
    sale.refresh_from_db()
    assert sale.waiting == {}


@pytest.mark.parametrize("draw", ["closed", "frozen", "done", "off"])
def test_after_the_draw_began_nobody_is_set_aside(make_sale: MakeSale, draw: str) -> None:
    sale = make_draw(make_sale, stock=5)
    entries = enter(sale, ["192.0.2.1"])
    Sale.objects.filter(pk=sale.pk).update(draw=draw)
    with pytest.raises(NotPossible, match="before the draw begins"):
        set_aside(sale.pk, entries, by="anna", reason=WHY)
    assert Order.objects.get(pk=entries[0]).status == "waiting"


def test_a_sale_by_arrival_sets_nobody_aside(make_sale: MakeSale) -> None:
    sale = make_sale()
    [order] = queue_up(sale, 1)
    settlement.settle(sale.pk)
    with pytest.raises(NotPossible):
        set_aside(sale.pk, [order], by="anna", reason=WHY)
    assert Order.objects.get(pk=order).status == "confirmed"


def test_entries_of_another_sale_stay(make_sale: MakeSale) -> None:
    sale, other = make_draw(make_sale), make_draw(make_sale)
    entries = enter(other, ["192.0.2.1"])
    with pytest.raises(NotPossible, match="waits any more"):
        set_aside(sale.pk, entries, by="anna", reason=WHY)
    assert Order.objects.get(pk=entries[0]).status == "waiting"


def test_a_reason_is_needed_and_a_bound_kept(make_sale: MakeSale) -> None:
    sale = make_draw(make_sale)
    with pytest.raises(NotPossible, match="Say why"):
        set_aside(sale.pk, [uuid4()], by="anna", reason="")
    with pytest.raises(NotPossible, match="At most"):
        set_aside(sale.pk, [uuid4() for _ in range(MOST + 1)], by="anna", reason=WHY)


def test_the_reason_is_found_by_an_index(make_sale: MakeSale) -> None:
    sale = make_draw(make_sale)
    [entry] = enter(sale, ["192.0.2.1"])
    set_aside(sale.pk, [entry], by="anna", reason=WHY)
    with connection.cursor() as cursor:
        cursor.execute("SET enable_seqscan = off")
        cursor.execute(
            "EXPLAIN SELECT reason FROM orders_auditentry WHERE action = 'aside' AND \"order\" = %s",
            [entry],
        )
        plan = "\n".join(row[0] for row in cursor.fetchall())
        cursor.execute("RESET enable_seqscan")
    assert "audit_of_order" in plan


def test_an_entry_keeps_its_network_until_it_is_erased(make_sale: MakeSale) -> None:
    sale = make_draw(make_sale, hold=10)
    [entry] = enter(sale, ["192.0.2.1"])
    assert Order.objects.get(pk=entry).network == networks.network_of(sale.pk, "192.0.2.1")
    assert networks.erase([entry]) == 1


def test_staff_cannot_cancel_an_entry_before_the_draw(make_sale: MakeSale) -> None:
    """It would be missing in the list unseen."""
    sale = make_draw(make_sale, stock=5)
    [entry] = enter(sale, ["192.0.2.1"])
    with pytest.raises(NotPossible, match="Set the entry aside"):
        cancellation.cancel_order(entry, by="anna")
    assert cancellation.give_back(entry)


def test_from_its_time_nobody_leaves_a_draw_that_is_paused(make_sale: MakeSale) -> None:
    """The beacon may be known, and so who wins."""
    sale = make_draw(make_sale, stock=5)
    [entry] = enter(sale, ["192.0.2.1"])
    sale_lifecycle.pause(sale.pk, by="anna")
    bring_draw_forward(sale)
    with pytest.raises(NotPossible, match="under way"):
        set_aside(sale.pk, [entry], by="anna", reason=WHY)
    with pytest.raises(NotPossible, match="under way"):
        cancellation.give_back(entry)
