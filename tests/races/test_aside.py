"""Several of the staff set the same entries aside while the draw begins: each is set aside once, or takes
part."""

from collections.abc import Callable, Collection
from contextlib import AbstractContextManager
from functools import partial
from unittest.mock import patch
from uuid import UUID

import pytest
from django.db import OperationalError

from conftest import MakeSale
from flashsale.database import bounded_transaction
from inventory.models import Sale
from orders import aside
from orders.changes import NotPossible
from orders.models import Order
from tests.cast import at_once
from tests.draws import enter, make_draw
from tests.row_locks import without_row_locks

ENTRIES = 20


def set_aside(sale: Sale, entries: Collection[UUID]) -> Callable[[], object]:
    return partial(aside.set_aside, sale.pk, entries, by="anna", reason="one person")


def close(sale: Sale) -> None:
    """What the draw does when it begins."""
    with bounded_transaction():
        locked = Sale.objects.select_for_update(no_key=True).get(pk=sale.pk)
        locked.draw, locked.version = Sale.Draw.CLOSED, locked.version + 1
        locked.save(update_fields=["draw", "version"])


def waiting(sale: Sale) -> tuple[int, int]:
    """Orders that wait, and how many the sale has counted."""
    sale.refresh_from_db()
    counted: int = sum(sale.waiting.values())
    return sale.orders.filter(status=Order.Status.WAITING).count(), counted


def test_each_entry_is_set_aside_once_or_takes_part(make_sale: MakeSale) -> None:
    sale = make_draw(make_sale, stock=5)
    entries = enter(sale, ["192.0.2.1"] * ENTRIES)
    parts = [entries[: ENTRIES // 2], entries[ENTRIES // 4 :], entries]
    results = at_once(*[set_aside(sale, part) for part in parts], partial(close, sale))
    failed = [each for each in results if isinstance(each, Exception)]
    assert not [each for each in failed if not isinstance(each, NotPossible)]
    took = sum(each for each in results if isinstance(each, int))
    assert waiting(sale) == (ENTRIES - took, ENTRIES - took)
    assert sale.audit.filter(action="aside").count() == took


def close_meanwhile(sale: Sale) -> AbstractContextManager[object]:
    """Where a set-aside has looked at the sale, and not written yet."""
    look = aside._lock_waiting

    def wrapped(key: int, orders: Collection[UUID]) -> list[Order]:
        [closed] = at_once(partial(close, sale))
        if isinstance(closed, Exception):
            raise closed
        return look(key, orders)

    return patch.object(aside, "_lock_waiting", wrapped)


def test_the_draw_waits_for_a_set_aside(make_sale: MakeSale) -> None:
    sale = make_draw(make_sale)
    entries = enter(sale, ["192.0.2.1"])
    with (
        close_meanwhile(sale),
        pytest.raises(OperationalError),
    ):  # it has waited for the lock for too long
        set_aside(sale, entries)()
    assert waiting(sale) == (1, 1)
    assert sale.draw == "open"


def test_without_row_locks_an_entry_is_set_aside_after_the_draw_began(make_sale: MakeSale) -> None:
    sale = make_draw(make_sale)
    entries = enter(sale, ["192.0.2.1"])
    with without_row_locks(), close_meanwhile(sale):
        assert set_aside(sale, entries)() == 1
    assert waiting(sale) == (0, 0)
    assert sale.draw == "closed"
