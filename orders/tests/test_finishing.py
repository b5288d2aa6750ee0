"""Finishing: the gate of an ended sale with an empty line goes, and its variants are free again."""

from datetime import timedelta
from unittest.mock import Mock

import pytest
import redis
from django.utils import timezone

from conftest import MakeSale
from flashsale.redis import blocking_clients
from inventory.gate import replica
from inventory.gate.scripts import keys
from inventory.models import Listing, Sale
from orders import changes, finishing, sale_lifecycle, settlement
from tests import deadlines
from tests.cast import queue_up, run_caretaker
from tests.stack import wait_for

GHOST = 10**12 + 1  # a sale whose gate an old copy of Redis brought back


def test_an_ended_sale_is_finished_when_its_line_is_empty(make_sale: MakeSale) -> None:
    sale = make_sale(stock=5)
    variant = sale.variants.get()
    queue_up(sale, 1)
    sale_lifecycle.end(sale.pk, by="staff")
    finishing.finish_sales()
    assert not Sale.objects.get(pk=sale.pk).finished  # a purchase waits
    settlement.settle(sale.pk)
    finishing.finish_sales()
    assert Sale.objects.get(pk=sale.pk).finished
    assert sale.pk not in replica.list_gates()
    run_caretaker()
    assert sale.pk not in replica.list_gates()
    other = make_sale(live=False, opens_in=60)
    Listing.objects.create(sale=other, variant=variant)  # its variants may be sold again


def test_a_sale_is_finished_only_once_its_gate_is_gone(
    make_sale: MakeSale, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No worker settles a finished sale: a purchase in its line would wait for ever."""
    sale = make_sale()
    sale_lifecycle.end(sale.pk, by="staff")
    with monkeypatch.context() as away:
        away.setattr(replica, "purge_gate", Mock(side_effect=redis.ConnectionError("away")))
        with pytest.raises(redis.ConnectionError):
            finishing.finish_sale(sale.pk)
    assert not Sale.objects.get(pk=sale.pk).finished
    assert finishing.finish_sale(sale.pk)
    assert Sale.objects.get(pk=sale.pk).finished


def test_what_is_left_of_a_finished_sales_gate_is_cleared_away(make_sale: MakeSale) -> None:
    """A caretaker has begun an epoch in the gate just after it was removed."""
    sale = make_sale(stock=5)
    sale_lifecycle.end(sale.pk, by="staff")
    assert finishing.finish_sale(sale.pk)
    replica.begin_epoch([sale.pk], "a mark")
    finishing.finish_sales()
    assert sale.pk not in replica.list_gates()


def test_a_sale_that_is_ended_before_it_opens_leaves_its_window_free(make_sale: MakeSale) -> None:
    sale = make_sale(opens_in=600, closes_in=3600)
    sale_lifecycle.end(sale.pk, by="staff")
    finishing.finish_sales()
    other = make_sale(live=False, opens_in=700, closes_in=3600)
    Listing.objects.create(sale=other, variant=sale.variants.get(), position=9)


def test_a_close_that_was_moved_at_the_last_moment_holds(
    make_sale: MakeSale, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The gate does not have the new close yet, and the finishing worker has read the old one."""
    sale = make_sale(closes_in=deadlines.ahead(3))
    with monkeypatch.context() as patched:
        patched.setattr(changes, "replicate_change", lambda sale: None)
        later = timezone.now() + timedelta(hours=1)
        sale_lifecycle.change_window(sale.pk, closes_at=later, by="staff")
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
    sale_lifecycle.end(sale.pk, by="staff")
    blocking_clients.client_of(GHOST).hset(keys(GHOST).gate, "version", 1)
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
    blocking_clients.client_of(sale.pk).hset(keys(sale.pk).gate, "version", 1)
    seen = replica.list_gates

    def scheduled_meanwhile(*servers: object) -> set[int]:
        found = seen()
        assert sale.pk in found
        sale_lifecycle.schedule(sale.pk, by="staff")
        run_caretaker()
        return found

    with monkeypatch.context() as patched:
        patched.setattr(replica, "list_gates", scheduled_meanwhile)
        finishing.finish_sales()
    assert replica.read_view(sale.pk).ready
    assert len(queue_up(sale, 3)) == 3
