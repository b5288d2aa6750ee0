"""Changes of a sale by staff hold from the moment they return."""

from datetime import UTC, datetime, timedelta

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError
from django.utils import timezone

from conftest import MakeSale
from inventory.gate import replica
from inventory.models import Listing, Variant
from orders import changes, finishing, sale_lifecycle, settlement
from tests.cast import click, queue_up, run_caretaker, skus, stocked
from tests.stack import wait_for


def test_a_pause_refuses_and_a_resume_sells_again(make_sale: MakeSale) -> None:
    sale = make_sale(stock=5)
    sale_lifecycle.pause(sale.pk, by="staff")
    assert queue_up(sale, 1) == []
    sale_lifecycle.resume(sale.pk, by="staff")
    assert len(queue_up(sale, 1)) == 1


def test_ended_is_final(make_sale: MakeSale) -> None:
    sale = make_sale()
    sale_lifecycle.end(sale.pk, by="staff")
    for change in (
        sale_lifecycle.resume,
        sale_lifecycle.pause,
        sale_lifecycle.schedule,
        sale_lifecycle.go_live,
        sale_lifecycle.end,
    ):
        with pytest.raises(changes.NotPossible):
            change(sale.pk, by="staff")


def test_a_greater_limit_lets_the_same_shopper_buy_more(make_sale: MakeSale) -> None:
    sale = make_sale(stock=5, limit=1)
    assert queue_up(sale, 1, quantity=2) == []
    sale_lifecycle.change_limit(sale.pk, 2, by="staff")
    assert len(queue_up(sale, 1, quantity=2)) == 1
    sale_lifecycle.change_limit(sale.pk, 1, by="staff")
    sale.refresh_from_db()
    assert (sale.limit, sale.greatest_limit) == (1, 2)


def test_a_variant_cannot_be_in_two_unfinished_sales(make_sale: MakeSale) -> None:
    sale, other = make_sale(), make_sale(live=False, opens_in=7200, closes_in=9000)
    with pytest.raises(IntegrityError):
        Listing.objects.create(sale=other, variant=sale.variants.get())


# --- The window --------------------------------------------------------------------------------


def test_a_scheduled_sale_opens_by_the_clock_and_a_started_one_now(make_sale: MakeSale) -> None:
    sale = make_sale(opens_in=600)
    assert click(sale).reason == "not_open"
    sale_lifecycle.go_live(sale.pk, by="staff")
    assert click(sale).code == "queued"
    with pytest.raises(changes.NotPossible, match="open already"):
        sale_lifecycle.go_live(sale.pk, by="staff")


def test_a_draft_is_made_of_variants_and_opened(make_sale: MakeSale) -> None:
    shoe, bag = stocked("draft-shoe", 3), stocked("draft-bag", 3)
    now = timezone.now()
    sale = sale_lifecycle.create(
        "a-draft",
        "A draft",
        now + timedelta(hours=1),
        now + timedelta(hours=2),
        skus=[bag.sku, shoe.sku],
        by="staff",
    )
    assert skus(sale) == [bag.sku, shoe.sku]
    sale_lifecycle.go_live(sale.pk, by="staff")
    run_caretaker()
    assert click(sale).code == "queued"
    assert [entry.action for entry in sale.audit.all()] == ["opened", "created"]
    settlement.settle(sale.pk)
    sale_lifecycle.end(sale.pk, by="staff")
    finishing.finish_sales()


def test_a_draft_of_nothing_or_of_two_currencies_is_not_opened(make_sale: MakeSale) -> None:
    sale = make_sale(live=False)
    yen = Variant.objects.create(sku="in-yen", name="Shoe", price=100, currency="JPY")
    Listing.objects.create(sale=sale, variant=yen)
    for change in (sale_lifecycle.schedule, sale_lifecycle.go_live):
        with pytest.raises(changes.NotPossible, match="one currency"):
            change(sale.pk, by="staff")
    sale.listings.all().delete()
    with pytest.raises(changes.NotPossible, match="no products"):
        sale_lifecycle.schedule(sale.pk, by="staff")


def test_the_close_is_moved_and_clicks_follow(make_sale: MakeSale) -> None:
    sale = make_sale(stock=5)
    soon = timezone.now() + timedelta(milliseconds=300)
    sale_lifecycle.change_window(sale.pk, closes_at=soon, by="staff")
    wait_for(lambda: click(sale).reason == "closed", "the close")
    with pytest.raises(changes.NotPossible, match="ended"):
        sale_lifecycle.change_window(sale.pk, closes_at=soon + timedelta(hours=1), by="staff")


def test_an_opening_moves_until_it_has_come(make_sale: MakeSale) -> None:
    sale, later = make_sale(opens_in=600), timezone.now() + timedelta(minutes=20)
    sale_lifecycle.change_window(sale.pk, opens_at=later, by="staff")
    assert replica.read_view(sale.pk).opens_at == round(later.timestamp() * 1000)
    sale_lifecycle.go_live(sale.pk, by="staff")
    with pytest.raises(changes.NotPossible, match="has opened"):
        sale_lifecycle.change_window(sale.pk, opens_at=later, by="staff")


@pytest.mark.parametrize("year", [1, 1999, 9999])
def test_a_year_that_not_every_page_can_show_is_refused(make_sale: MakeSale, year: int) -> None:
    sale = make_sale(live=False)
    moment = datetime(year, 12, 31, 23, 59, tzinfo=UTC)
    with pytest.raises(changes.NotPossible):
        sale_lifecycle.change_window(sale.pk, opens_at=moment, closes_at=moment, by="staff")
    with pytest.raises((changes.NotPossible, ValidationError)):
        sale_lifecycle.create("far", "Far", moment, moment, skus=skus(sale), by="staff")


def test_a_draft_whose_window_has_passed_gets_another(make_sale: MakeSale) -> None:
    sale = make_sale(live=False, opens_in=-600, closes_in=-300)
    later = timezone.now() + timedelta(hours=1)
    sale_lifecycle.change_window(sale.pk, opens_at=timezone.now(), closes_at=later, by="staff")
    sale_lifecycle.schedule(sale.pk, by="staff")


@pytest.mark.parametrize("hours", [-1, 0.0])
def test_a_close_in_the_past_is_refused(make_sale: MakeSale, hours: float) -> None:
    with pytest.raises(changes.NotPossible, match="end it"):
        sale_lifecycle.change_window(
            make_sale().pk, closes_at=timezone.now() + timedelta(hours=hours), by="staff"
        )


def test_a_window_does_not_move_into_another_sales_window(make_sale: MakeSale) -> None:
    first = make_sale()
    sale_lifecycle.end(first.pk, by="staff")
    finishing.finish_sale(first.pk)
    variant = first.variants.get()
    other = make_sale(live=False, opens_in=600, closes_in=1200)
    Listing.objects.create(sale=other, variant=variant, position=9)
    earlier = first.opens_at - timedelta(hours=1)
    with pytest.raises(changes.NotPossible, match="Another sale of one of these products"):
        sale_lifecycle.change_window(other.pk, opens_at=earlier, by="staff")
