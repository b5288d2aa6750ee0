"""`verify` finds faults, names them, and finds none in a running sale."""

import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from uuid import UUID

import pytest
from django.core.management import call_command
from django.db import connection

from conftest import MakeSale
from flashsale.redis import blocking_clients
from inventory.gate import replica
from inventory.gate.scripts import keys
from inventory.models import Sale
from orders import cancellation, reconciliation, settlement, stock_changes
from tests.cast import at_once, queue_up, skus

GHOST = 10**12 + 2  # the number of a sale that does not exist


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """These faults do not go away by waiting."""
    monkeypatch.setattr(reconciliation, "_PATIENCE", 0.3)


@pytest.fixture
def sold(make_sale: MakeSale) -> Sale:
    """Ten units: three sold, one of them cancelled, two in the line."""
    sale = make_sale(stock=10)
    first, *_ = queue_up(sale, 3)
    settlement.settle(sale.pk)
    cancellation.cancel_order(first, by="staff")
    queue_up(sale, 2)
    return sale


@contextmanager
def broken(table: str, statement: str, repair: str, key: int | UUID) -> Iterator[None]:
    """Break it as a careless operator with raw SQL would; afterwards it is restored."""
    sql(f"ALTER TABLE {table} DISABLE TRIGGER USER")
    try:
        sql(statement, key)
        yield
    finally:
        sql(repair, key)
        sql(f"ALTER TABLE {table} ENABLE TRIGGER USER")


def sql(statement: str, *values: int | UUID) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)


def faults(sale: Sale) -> set[str]:
    return set(reconciliation.verify(sale.pk).faults)


def test_books_with_a_line_balance(sold: Sale) -> None:
    assert reconciliation.verify(sold.pk).faults == {}


def test_a_unit_that_vanished_is_found(sold: Sale) -> None:
    with broken(
        "inventory_product",
        "UPDATE inventory_product SET stock = stock - 1 WHERE id = %s",
        "UPDATE inventory_product SET stock = stock + 1 WHERE id = %s",
        sold.variants.get().pk,
    ):
        assert "stock_is_not_the_ledger" in faults(sold)


@pytest.mark.parametrize(
    ("change", "repair", "found"),
    [
        (
            "reason = 'error', status = 'rejected'",
            "reason = '', status = 'confirmed'",
            "answer_is_not_the_order",
        ),
        ("quantity = 5", "quantity = 1", "over_the_limit"),
        ("status = 'cancelled'", "status = 'confirmed'", "cancelled_not_returned_once"),
        ("status = 'cancelled'", "status = 'confirmed'", "sold_is_not_the_orders"),
        ("status = 'cancelled'", "status = 'confirmed'", "counts_are_not_the_orders"),
        ("version = version + 99", "version = version - 99", "order_does_not_belong"),
    ],
)
def test_an_order_that_was_tampered_with_is_found(
    sold: Sale, change: str, repair: str, found: str
) -> None:
    order = sold.orders.filter(status="confirmed").first()
    assert order
    update = "UPDATE orders_order SET {} WHERE id = %s"
    with broken("orders_order", update.format(change), update.format(repair), order.pk):
        assert found in faults(sold)


@pytest.mark.parametrize(
    ("key", "field", "fault"),
    [
        ("stock", "sku", "gate_stock_is_wrong"),
        ("gate", "limit", "gate_rules_are_wrong"),
        ("gate", "closes_at", "gate_rules_are_wrong"),
        ("gate", "version", "gate_is_ahead"),
        ("in_flight", "sku", "in_flight_is_not_the_line"),
        ("in_flight_by_shopper", "a stranger", "in_flight_by_shopper_is_not_the_line"),
        ("bought", "0" * 32, "bought_is_not_the_orders"),
    ],
)
def test_a_wrong_number_in_the_gate_is_found(sold: Sale, key: str, field: str, fault: str) -> None:
    name = skus(sold)[0] if field == "sku" else field
    blocking_clients.client_of(0).hincrby(getattr(keys(sold.pk), key), name, 1)
    assert fault in faults(sold)


def test_an_answer_that_vanished_is_found(sold: Sale) -> None:
    blocking_clients.client_of(0).hdel(
        keys(sold.pk).answers, next(iter(replica.read_answers(sold.pk)))
    )
    assert "answer_is_not_the_order" in faults(sold)


def test_an_entry_of_the_line_that_nobody_can_read_is_found(sold: Sale) -> None:
    blocking_clients.client_of(0).xadd(keys(sold.pk).line, {"what": "is this"})
    assert faults(sold) == {"line_cannot_be_read"}


def test_a_gate_that_no_sale_has_is_found() -> None:
    blocking_clients.client_of(GHOST).hset(keys(GHOST).gate, "version", 1)
    try:
        assert {"sale": str(GHOST)} in reconciliation.verify().faults["gate_without_a_sale"]
    finally:
        replica.remove([GHOST])
    assert "gate_without_a_sale" not in reconciliation.verify().faults


def test_a_cold_gate_is_found(sold: Sale) -> None:
    replica.begin_epoch([sold.pk], "not_ready")
    assert faults(sold) == {"gate_is_not_ready"}


def test_the_books_balance_at_every_look_while_a_sale_runs(
    make_sale: MakeSale, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconciliation, "_PATIENCE", 30.0)
    sale = make_sale(stock=400)
    variant = sale.variants.get().pk

    def trade() -> None:
        for _ in range(8):
            accepted = queue_up(sale, 30)
            settlement.settle(sale.pk)
            stock_changes.restock(variant, 2, by="staff")
            cancellation.cancel_order(accepted[0], by="staff")

    def look() -> list[dict[str, object]]:
        return [reconciliation.verify(sale.pk).as_json()["faults"] for _ in range(12)]

    *_, seen = at_once(trade, partial(settlement.settle, sale.pk), look)
    assert seen == [{}] * 12


def test_the_command_says_what_is_wrong_and_exits_with_3(sold: Sale) -> None:
    told = io.StringIO()
    call_command("verify", sale=sold.slug, stdout=told)
    assert "The books balance" in told.getvalue()
    blocking_clients.client_of(0).hincrby(keys(sold.pk).stock, skus(sold)[0], 1)
    told = io.StringIO()
    with pytest.raises(SystemExit, match="3"):
        call_command("verify", sale=sold.slug, json=True, stdout=told)
    assert json.loads(told.getvalue())["faults"]["gate_stock_is_wrong"]["count"] == 1
