"""Rules of PostgreSQL for orders without a variant, and so without a listing."""

from datetime import UTC, datetime

import pytest
from django.db import IntegrityError, connection, transaction

from conftest import MakeSale
from flashsale.http.shoppers import new_shopper
from orders.models import Order
from orders.tickets import new_purchase


def poison(sale: int) -> Order:
    now = datetime.now(UTC)
    return Order.objects.create(
        pk=new_purchase(sale),
        sale_id=sale,
        shopper=new_shopper(),
        quantity=0,
        unit_price=0,
        status="rejected",
        reason="error",
        version=2,
        accepted_at=now,
        settled_at=now,
    )


def refused(statement: str, *values: int) -> None:
    with (
        pytest.raises(IntegrityError, match="has orders"),
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        cursor.execute(statement, values)


def test_a_sale_that_has_nothing_but_a_poison_order_stays_what_it_is(make_sale: MakeSale) -> None:
    sale = make_sale(live=False)
    with transaction.atomic():
        sale.listings.all().delete()
        poison(sale.pk)
        refused("DELETE FROM inventory_sale WHERE id = %s", sale.pk)
        refused("UPDATE inventory_sale SET id = %s WHERE id = %s", 999_999_999, sale.pk)
        transaction.set_rollback(True)


def test_a_poison_order_is_of_a_sale() -> None:
    with pytest.raises(IntegrityError, match="there is no sale"), transaction.atomic():
        poison(999_999_999)
