"""A draw that does not move is found, with the reason."""

from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings as configured
from django.utils import timezone
from pytest_django import Settings

from conftest import MakeSale
from flashsale.http import signing
from inventory.gate import replica
from inventory.models import Sale
from orders import sale_lifecycle
from orders.draws import beacon, steps
from orders.late_draws import LATE, list_late_draws, read_draws
from orders.models import Draw
from tests.cast import bring_draw_forward, run_caretaker
from tests.draws import change_past_rules, enter, make_draw

SOON = LATE.total_seconds() + 5


def said(sale: Sale) -> str:
    """Why its draw is late; "" if it is not."""
    return next((late.words for late in list_late_draws() if late.sale == sale), "")


def due(make_sale: MakeSale, **rules: Any) -> Sale:
    sale = make_draw(make_sale, stock=2, **rules)
    enter(sale, ["192.0.2.1"])
    return sale


def test_a_draw_whose_time_has_come_is_late_after_a_minute(make_sale: MakeSale) -> None:
    sale = due(make_sale)
    assert said(sale) == ""
    bring_draw_forward(sale, -SOON + 10)
    assert said(sale) == ""
    bring_draw_forward(sale, -SOON)
    assert said(sale) == "it has not begun"
    run_caretaker()
    sale.refresh_from_db()
    assert (sale.draw, said(sale)) == ("done", "")


def test_a_paused_sale_is_the_reason(make_sale: MakeSale) -> None:
    sale = due(make_sale)
    sale_lifecycle.pause(sale.pk, by="staff")
    bring_draw_forward(sale, -SOON)
    run_caretaker()
    assert "the sale is paused" in said(sale)


def test_so_is_a_gate_that_is_away(make_sale: MakeSale, monkeypatch: pytest.MonkeyPatch) -> None:
    sale = due(make_sale)
    bring_draw_forward(sale, -SOON)
    assert steps.advance(sale.pk)
    replica.empty_gate(sale.pk)
    assert "not in PostgreSQL yet" in said(sale)


def frozen(sale: Sale, ago: float) -> Draw:
    """Freeze its draw, so many seconds ago."""
    bring_draw_forward(sale, -ago - 1)
    assert steps.advance(sale.pk)
    assert steps.advance(sale.pk)
    at = timezone.now() - timedelta(seconds=ago)
    statement = "UPDATE orders_draw SET frozen_at = %s WHERE sale_id = %s"
    change_past_rules("orders_draw", statement, at, sale.pk)
    return Draw.objects.get(pk=sale.pk)


def test_so_is_a_beacon_that_does_not_answer(make_sale: MakeSale) -> None:
    sale = due(make_sale, beacon="quicknet")
    draw = frozen(sale, SOON)
    assert draw.round
    assert said(sale) == ""  # its round is still to come
    _set_round(sale, beacon.round_at(timezone.now() - LATE - timedelta(seconds=5)))
    assert "no server of the beacon (DRAND_URLS)" in said(sale)
    _set_round(sale, beacon.round_at(timezone.now() - LATE + timedelta(seconds=20)))
    assert said(sale) == ""


def _set_round(sale: Sale, number: int) -> None:
    statement = "UPDATE orders_draw SET round = %s WHERE sale_id = %s"
    change_past_rules("orders_draw", statement, number, sale.pk)


def test_so_is_a_key_that_was_thrown_away(make_sale: MakeSale, settings: Settings) -> None:
    sale = due(make_sale)
    frozen(sale, SOON)
    settings.SECRET_KEY = "another-key-for-tests-" + "y" * 30
    signing._keys.cache_clear()
    try:
        assert not steps.advance(sale.pk)
        assert "SECRET_KEY_FALLBACKS" in said(sale)
    finally:
        signing._keys.cache_clear()
    assert configured.SECRET_KEY == settings.SECRET_KEY


def test_drafts_and_finished_sales_are_not_late(make_sale: MakeSale) -> None:
    draft = make_sale(live=False, draw_in=5, opens_in=-600)
    bring_draw_forward(draft, -SOON)
    assert said(draft) == ""
    over = due(make_sale)
    bring_draw_forward(over, -SOON)
    Sale.objects.filter(pk=over.pk).update(finished=True)
    assert said(over) == ""


def test_draws_are_read_only_if_there_are_some(make_sale: MakeSale) -> None:
    assert read_draws([make_sale()]) == {}
    sale = make_draw(make_sale)
    assert read_draws([sale])[sale.pk].commitment
