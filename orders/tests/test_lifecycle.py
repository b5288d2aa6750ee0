"""Changes by staff hold from the moment they return, and stock, ledger and orders agree."""

from datetime import UTC, datetime, timedelta
from functools import partial
from unittest.mock import Mock
from uuid import uuid4

import pytest
import redis
from django.core.exceptions import ValidationError
from django.db import IntegrityError
from django.utils import timezone

from conftest import MakeSale
from flashsale.redis import clients
from inventory.gate import replica
from inventory.gate.scripts import keys
from inventory.models import Listing, Product, Sale
from orders import (
    cancellation,
    changes,
    finishing,
    lifecycle,
    reconciliation,
    settlement,
    stock_changes,
)
from tests.cast import at_once, click, queue_up, run_caretaker, skus, stocked
from tests.stack import wait_for

GHOST = 10**12 + 1  # a sale whose gate an old copy of Redis brought back


def test_a_pause_refuses_and_a_resume_sells_again(make_sale: MakeSale) -> None:
    sale = make_sale(stock=5)
    lifecycle.pause(sale.pk, by="staff")
    assert queue_up(sale, 1) == []
    lifecycle.resume(sale.pk, by="staff")
    assert len(queue_up(sale, 1)) == 1


def test_ended_is_final(make_sale: MakeSale) -> None:
    sale = make_sale()
    lifecycle.end(sale.pk, by="staff")
    for change in (
        lifecycle.resume,
        lifecycle.pause,
        lifecycle.schedule,
        lifecycle.go_live,
        lifecycle.end,
    ):
        with pytest.raises(changes.NotPossible):
            change(sale.pk, by="staff")


def test_a_restock_makes_a_sold_out_sale_buyable_again(make_sale: MakeSale) -> None:
    sale = make_sale(stock=1)
    queue_up(sale, 1)
    settlement.settle(sale.pk)
    assert queue_up(sale, 1) == []
    stock_changes.restock(sale.products.get().pk, 2, by="staff")
    assert len(queue_up(sale, 3)) == 2


@pytest.mark.parametrize("units", [0, -5])
def test_only_a_positive_number_comes_in(make_sale: MakeSale, units: int) -> None:
    with pytest.raises(changes.NotPossible):
        stock_changes.restock(make_sale().products.get().pk, units, by="staff")


def test_a_cancelled_order_returns_its_units_once_and_can_be_bought_again(
    make_sale: MakeSale,
) -> None:
    sale = make_sale(stock=1)
    [purchase] = queue_up(sale, 1)
    settlement.settle(sale.pk)
    assert cancellation.cancel_order(purchase, by="staff")
    assert not cancellation.cancel_order(purchase, by="staff")
    assert sale.products.get().stock == 1
    assert replica.read_answer(sale.pk, purchase.hex)[0] is not None
    assert len(queue_up(sale, 1)) == 1
    assert reconciliation.verify(sale.pk).faults == {}


def test_a_greater_limit_lets_the_same_shopper_buy_more(make_sale: MakeSale) -> None:
    sale = make_sale(stock=5, limit=1)
    assert queue_up(sale, 1, quantity=2) == []
    lifecycle.change_limit(sale.pk, 2, by="staff")
    assert len(queue_up(sale, 1, quantity=2)) == 1
    lifecycle.change_limit(sale.pk, 1, by="staff")
    sale.refresh_from_db()
    assert (sale.limit, sale.greatest_limit) == (1, 2)


def test_an_ended_sale_is_finished_when_its_line_is_empty(make_sale: MakeSale) -> None:
    sale = make_sale(stock=5)
    product = sale.products.get()
    queue_up(sale, 1)
    lifecycle.end(sale.pk, by="staff")
    finishing.finish_sales()
    assert not Sale.objects.get(pk=sale.pk).finished  # a purchase waits
    settlement.settle(sale.pk)
    finishing.finish_sales()
    assert Sale.objects.get(pk=sale.pk).finished
    assert sale.pk not in replica.list_gates()
    run_caretaker()
    assert sale.pk not in replica.list_gates()
    other = make_sale(live=False, opens_in=60)
    Listing.objects.create(sale=other, product=product)  # its products may be sold again


def test_a_sale_is_finished_only_once_its_gate_is_gone(
    make_sale: MakeSale, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No worker settles a finished sale: a purchase in its line would wait for ever."""
    sale = make_sale()
    lifecycle.end(sale.pk, by="staff")
    with monkeypatch.context() as away:
        away.setattr(replica, "purge_gate", Mock(side_effect=redis.ConnectionError("away")))
        with pytest.raises(redis.ConnectionError):
            finishing.finish_sale(sale.pk)
    assert not Sale.objects.get(pk=sale.pk).finished
    assert finishing.finish_sale(sale.pk)
    assert Sale.objects.get(pk=sale.pk).finished


def test_a_product_cannot_be_in_two_unfinished_sales(make_sale: MakeSale) -> None:
    sale, other = make_sale(), make_sale(live=False, opens_in=7200, closes_in=9000)
    with pytest.raises(IntegrityError):
        Listing.objects.create(sale=other, product=sale.products.get())


def test_a_cancelled_order_of_a_finished_sale_is_sold_by_the_next(make_sale: MakeSale) -> None:
    sale = make_sale(stock=1)
    [purchase] = queue_up(sale, 1)
    settlement.settle(sale.pk)
    lifecycle.end(sale.pk, by="staff")
    finishing.finish_sale(sale.pk)
    other = make_sale(live=False, opens_in=60)
    Listing.objects.create(sale=other, product=sale.products.get(), position=9)
    with pytest.raises(Exception, match="fixed"):
        Listing.objects.create(sale=Sale.objects.get(pk=sale.pk), product=stocked("late", 1))
    cancellation.cancel_order(purchase, by="staff")
    assert sale.products.get().stock == 1
    assert skus(other)[-1] == sale.products.get().sku
    assert reconciliation.verify(sale.pk).faults == {}


def test_what_is_left_of_a_finished_sales_gate_is_cleared_away(make_sale: MakeSale) -> None:
    """A caretaker has begun an epoch in the gate just after it was removed."""
    sale = make_sale(stock=5)
    lifecycle.end(sale.pk, by="staff")
    assert finishing.finish_sale(sale.pk)
    replica.begin_epoch([sale.pk], "a mark")
    finishing.finish_sales()
    assert sale.pk not in replica.list_gates()


def test_a_sale_that_is_ended_before_it_opens_leaves_its_window_free(make_sale: MakeSale) -> None:
    sale = make_sale(opens_in=600, closes_in=3600)
    lifecycle.end(sale.pk, by="staff")
    finishing.finish_sales()
    other = make_sale(live=False, opens_in=700, closes_in=3600)
    Listing.objects.create(sale=other, product=sale.products.get(), position=9)


# --- The window --------------------------------------------------------------------------------


def test_a_scheduled_sale_opens_by_the_clock_and_a_started_one_now(make_sale: MakeSale) -> None:
    sale = make_sale(opens_in=600)
    assert click(sale).reason == "not_open"
    lifecycle.go_live(sale.pk, by="staff")
    assert click(sale).code == "queued"
    with pytest.raises(changes.NotPossible, match="open already"):
        lifecycle.go_live(sale.pk, by="staff")


def test_a_draft_is_made_of_products_and_opened(make_sale: MakeSale) -> None:
    shoe, bag = stocked("draft-shoe", 3), stocked("draft-bag", 3)
    now = timezone.now()
    sale = lifecycle.create(
        "a-draft",
        "A draft",
        now + timedelta(hours=1),
        now + timedelta(hours=2),
        skus=[bag.sku, shoe.sku],
        by="staff",
    )
    assert skus(sale) == [bag.sku, shoe.sku]
    lifecycle.go_live(sale.pk, by="staff")
    run_caretaker()
    assert click(sale).code == "queued"
    assert [entry.action for entry in sale.audit.all()] == ["opened", "created"]
    settlement.settle(sale.pk)
    lifecycle.end(sale.pk, by="staff")
    finishing.finish_sales()


def test_a_draft_of_nothing_or_of_two_currencies_is_not_opened(make_sale: MakeSale) -> None:
    sale = make_sale(live=False)
    yen = Product.objects.create(sku="in-yen", name="Shoe", price=100, currency="JPY")
    Listing.objects.create(sale=sale, product=yen)
    for change in (lifecycle.schedule, lifecycle.go_live):
        with pytest.raises(changes.NotPossible, match="one currency"):
            change(sale.pk, by="staff")
    sale.listings.all().delete()
    with pytest.raises(changes.NotPossible, match="no products"):
        lifecycle.schedule(sale.pk, by="staff")


def test_the_close_is_moved_and_clicks_follow(make_sale: MakeSale) -> None:
    sale = make_sale(stock=5)
    soon = timezone.now() + timedelta(milliseconds=300)
    lifecycle.change_window(sale.pk, closes_at=soon, by="staff")
    wait_for(lambda: click(sale).reason == "closed", "the close")
    with pytest.raises(changes.NotPossible, match="ended"):
        lifecycle.change_window(sale.pk, closes_at=soon + timedelta(hours=1), by="staff")


def test_an_opening_moves_until_it_has_come(make_sale: MakeSale) -> None:
    sale, later = make_sale(opens_in=600), timezone.now() + timedelta(minutes=20)
    lifecycle.change_window(sale.pk, opens_at=later, by="staff")
    assert replica.read_view(sale.pk).opens_at == round(later.timestamp() * 1000)
    lifecycle.go_live(sale.pk, by="staff")
    with pytest.raises(changes.NotPossible, match="has opened"):
        lifecycle.change_window(sale.pk, opens_at=later, by="staff")


def test_what_was_done_before_changes_nothing_and_tells_nobody(
    make_sale: MakeSale, monkeypatch: pytest.MonkeyPatch
) -> None:
    sale, form = make_sale(stock=1), uuid4()
    product = sale.products.get()
    [purchase] = queue_up(sale, 1)
    settlement.settle(sale.pk)
    cancellation.cancel_order(purchase, by="staff")
    stock_changes.restock(product.pk, 5, by="staff", key=form)
    sale.refresh_from_db()
    before = sale.version

    def unexpected(sale: int) -> None:
        raise changes.NotReplicated("nothing was changed")

    monkeypatch.setattr(changes, "_replicate", unexpected)
    assert not cancellation.cancel_order(purchase, by="staff")
    assert not stock_changes.restock(product.pk, 5, by="staff", key=form)
    sale.refresh_from_db()
    assert sale.version == before


@pytest.mark.parametrize("year", [1, 1999, 9999])
def test_a_year_that_not_every_page_can_show_is_refused(make_sale: MakeSale, year: int) -> None:
    sale = make_sale(live=False)
    moment = datetime(year, 12, 31, 23, 59, tzinfo=UTC)
    with pytest.raises(changes.NotPossible):
        lifecycle.change_window(sale.pk, opens_at=moment, closes_at=moment, by="staff")
    with pytest.raises((changes.NotPossible, ValidationError)):
        lifecycle.create("far", "Far", moment, moment, skus=skus(sale), by="staff")


def test_a_draft_whose_window_has_passed_gets_another(make_sale: MakeSale) -> None:
    sale = make_sale(live=False, opens_in=-600, closes_in=-300)
    later = timezone.now() + timedelta(hours=1)
    lifecycle.change_window(sale.pk, opens_at=timezone.now(), closes_at=later, by="staff")
    lifecycle.schedule(sale.pk, by="staff")


@pytest.mark.parametrize("hours", [-1, 0.0])
def test_a_close_in_the_past_is_refused(make_sale: MakeSale, hours: float) -> None:
    with pytest.raises(changes.NotPossible, match="end it"):
        lifecycle.change_window(
            make_sale().pk, closes_at=timezone.now() + timedelta(hours=hours), by="staff"
        )


def test_a_window_does_not_move_into_another_sales_window(make_sale: MakeSale) -> None:
    first = make_sale()
    lifecycle.end(first.pk, by="staff")
    finishing.finish_sale(first.pk)
    product = first.products.get()
    other = make_sale(live=False, opens_in=600, closes_in=1200)
    Listing.objects.create(sale=other, product=product, position=9)
    earlier = first.opens_at - timedelta(hours=1)
    with pytest.raises(changes.NotPossible, match="Another sale of one of these products"):
        lifecycle.change_window(other.pk, opens_at=earlier, by="staff")


# --- Stock -------------------------------------------------------------------------------------


def test_a_correction_takes_units_away_with_a_reason(make_sale: MakeSale) -> None:
    sale = make_sale(stock=5)
    product = sale.products.get()
    assert stock_changes.correct(product.pk, -4, by="staff", reason="water damage")
    assert len(queue_up(sale, 3)) == 1
    movement = product.movements.first()
    assert movement
    assert (movement.delta, movement.note, movement.actor) == (-4, "water damage", "staff")
    with pytest.raises(changes.NotPossible, match="Only 1 units"):
        stock_changes.correct(product.pk, -2, by="staff", reason="lost")
    with pytest.raises(changes.NotPossible, match="needs a reason"):
        stock_changes.correct(product.pk, 1, by="staff", reason=" ")


def test_one_form_restocks_once_however_often_it_is_sent(make_sale: MakeSale) -> None:
    sale, form = make_sale(stock=1), uuid4()
    product = sale.products.get()
    restock = partial(stock_changes.restock, product.pk, 5, by="staff", key=form)
    assert sorted(map(str, at_once(*[restock] * 4))) == ["False", "False", "False", "True"]
    product.refresh_from_db()
    assert product.stock == 6
    assert reconciliation.verify(sale.pk).faults == {}


def test_a_close_that_was_moved_at_the_last_moment_holds(
    make_sale: MakeSale, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The gate does not have the new close yet, and the finishing worker has read the old one."""
    sale = make_sale(closes_in=3)
    with monkeypatch.context() as patched:
        patched.setattr(changes, "_replicate", lambda sale: None)
        later = timezone.now() + timedelta(hours=1)
        lifecycle.change_window(sale.pk, closes_at=later, by="staff")
    wait_for(
        lambda: replica.read_view(sale.pk).now > replica.read_view(sale.pk).closes_at,
        "the old close",
    )
    assert finishing.finish_sale(sale.pk) is False
    assert replica.read_view(sale.pk).ready


def test_a_ghost_that_will_not_go_keeps_no_sale_from_being_finished(
    make_sale: MakeSale, monkeypatch: pytest.MonkeyPatch
) -> None:
    sale = make_sale()
    lifecycle.end(sale.pk, by="staff")
    clients.client_of(GHOST).hset(keys(GHOST).gate, "version", 1)
    sale.refresh_from_db()
    assert not sale.finished
    with monkeypatch.context() as patched:
        forget = Mock(side_effect=redis.ConnectionError("gone"))
        patched.setattr(replica, "remove", forget)
        finishing.finish_sales()
    assert forget.called
    sale.refresh_from_db()
    assert sale.finished
    finishing.finish_sales()
    assert GHOST not in replica.list_gates()


def test_a_draft_that_is_scheduled_keeps_the_gate_that_it_gets(
    make_sale: MakeSale, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An old gate with its number was listed while it was a draft."""
    sale = make_sale(live=False)
    clients.client_of(sale.pk).hset(keys(sale.pk).gate, "version", 1)
    seen = replica.list_gates

    def scheduled_meanwhile(*servers: object) -> set[int]:
        found = seen()
        assert sale.pk in found
        lifecycle.schedule(sale.pk, by="staff")
        run_caretaker()
        return found

    with monkeypatch.context() as patched:
        patched.setattr(replica, "list_gates", scheduled_meanwhile)
        finishing.finish_sales()
    assert replica.read_view(sale.pk).ready
    assert len(queue_up(sale, 3)) == 3
