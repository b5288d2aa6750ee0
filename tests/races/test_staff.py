"""Staff and shoppers on one variant at once: the books balance, and the ledger explains every unit."""

import threading
from collections import Counter
from collections.abc import Iterator
from functools import partial
from unittest.mock import patch
from uuid import uuid4

import pytest
from django.db import IntegrityError
from django.db.models import Sum

from conftest import MakeSale
from inventory.models import Sale, Variant
from orders import cancellation, changes, reconciliation, settlement, stock_changes
from tests import deadlines, stack
from tests.cast import Shopper, at_once, owned_units, queue_up, stocked
from tests.row_locks import without_row_locks
from tests.stack import wait_for


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with stack.Web.running() as web, stack.worker():
        yield web.url


def with_orders(make_sale: MakeSale, orders: int) -> Sale:
    sale = make_sale(stock=orders)
    queue_up(sale, orders)
    settlement.settle(sale.pk)
    assert sale.orders.count() == orders
    return sale


def test_50_restocks_cancellations_and_purchases_at_once(url: str, make_sale: MakeSale) -> None:
    sale = with_orders(make_sale, 10)
    variant = sale.variants.get()
    cancelled = [order.pk for order in sale.orders.all()]
    shoppers = [Shopper(url) for _ in range(15)]
    clicks = [(shopper, shopper.ticket(sale)) for shopper in shoppers]
    results = at_once(
        *[partial(stock_changes.restock, variant.pk, 2, by="anna", key=uuid4()) for _ in range(15)],
        *[partial(cancellation.cancel_order, order, by="ben") for order in cancelled * 2],
        *[partial(shopper.buy, sale, ticket) for shopper, ticket in clicks],
    )
    assert not [result for result in results if isinstance(result, Exception)]
    assert Counter(map(str, results[15:35])) == {"True": 10, "False": 10}
    accepted = [answer for answer in results[35:] if answer.status_code == 202]  # type: ignore[attr-defined]  # all are answers
    wait_for(lambda: sale.orders.count() == 10 + len(accepted), "every accepted one is decided")

    variant.refresh_from_db()
    sold = owned_units(sale)
    assert variant.stock == 10 + 15 * 2 - sold
    by_reason = dict(variant.movements.values_list("reason").annotate(Sum("delta")).order_by())
    explained = {"received": 10 + 30, "cancelled": 10, "sold": -10 - sold}
    assert by_reason == {reason: units for reason, units in explained.items() if units}
    assert sale.audit.filter(action="restocked").count() == 15
    assert sale.audit.filter(action="cancelled").count() == 10
    assert reconciliation.verify(sale.pk).faults == {}


def test_its_twin_without_the_sales_lock_tells_a_version_twice(make_sale: MakeSale) -> None:
    """Both have read the sale before either writes: of two changes the gate hears one."""
    sale = make_sale(stock={"shoe": 5, "bag": 5})
    shoe, bag = sale.variants.order_by("pk")
    sale.refresh_from_db()
    both_have_read = threading.Barrier(2)
    lock_variant = changes.lock_variant

    def lock_together(variant: int, locked: list[Sale]) -> Variant:
        both_have_read.wait(deadlines.seconds(10))
        return lock_variant(variant, locked)

    with (
        without_row_locks(),
        patch.object(stock_changes, "lock_variant", lock_together),
    ):
        at_once(*[partial(stock_changes.restock, each.pk, 3, by="anna") for each in (shoe, bag)])
    before = sale.version
    sale.refresh_from_db()
    assert sale.version == before + 1


def test_the_twin_of_one_form_without_its_look_is_stopped_by_the_key(make_sale: MakeSale) -> None:
    """Without the look at the audit the second sending is refused by PostgreSQL, not carried out."""
    sale = make_sale(stock=1)
    variant = sale.variants.get()
    restock = partial(stock_changes.restock, variant.pk, 5, by="anna", key=uuid4())
    with patch.object(stock_changes, "is_written_down", lambda key: False):
        first, second = sorted(at_once(restock, restock), key=str)
    assert first is True
    assert isinstance(second, IntegrityError)
    variant.refresh_from_db()
    assert variant.stock == 6


def test_restocks_at_once_of_what_is_in_no_sale_all_count() -> None:
    """No sale's lock keeps them apart: the variant's own does."""
    variant = stocked(f"bag-{uuid4().hex[:8]}", 1)
    results = at_once(
        *[partial(stock_changes.restock, variant.pk, 2, by="anna", key=uuid4()) for _ in range(12)]
    )
    assert not [result for result in results if isinstance(result, Exception)]
    variant.refresh_from_db()
    assert variant.stock == 1 + 12 * 2
