"""The table of arrows and the set of owning statuses agree with PostgreSQL."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import product

import pytest
from django.conf import settings
from django.db import IntegrityError, connection, transaction
from django.db.backends.utils import CursorWrapper

from conftest import MakeSale
from flashsale.http.shoppers import new_shopper
from inventory.gate.entries import _STATUSES
from inventory.models import Sale
from orders.models import Order
from orders.order_status import ARROWS, Status
from orders.tickets import new_purchase

_UNITS = 3
_ROW = re.compile(r"(\w+): \[(.*?)\]")


def test_the_arrows_are_those_that_postgresql_allows(make_sale: MakeSale) -> None:
    sale = make_sale(live=False)
    with unfinished_business() as cursor:
        assert arrows_of_postgresql(cursor, sale) == arrows()


def test_the_statuses_are_those_that_postgresql_knows() -> None:
    with connection.cursor() as cursor:
        assert statuses(cursor) == set(Status) == set(ARROWS)


def test_the_gate_and_the_page_know_the_same() -> None:
    assert {*_STATUSES} == {"queued", *Status}
    script = (settings.BASE_DIR / "static/js/shop.js").read_text()
    [table] = re.findall(r"const NEXT = \{(.*)\};", script)
    told = {before: set(re.findall(r"\w+", after)) for before, after in _ROW.findall(table)}
    assert told.pop("queued") == {"refused", *Status}
    assert told == {before: set(after) for before, after in ARROWS.items()}


@pytest.mark.parametrize("status", Status)
def test_postgresql_and_python_agree_on_who_owns_units(make_sale: MakeSale, status: Status) -> None:
    sale = make_sale(live=False)
    with unfinished_business():
        owned = order(sale, status).owned
    assert owned == (_UNITS if status.owns_units else 0)


def test_what_an_order_owns_follows_its_status(make_sale: MakeSale) -> None:
    sale = make_sale(live=False)
    with unfinished_business():
        bought = order(sale, Status.CONFIRMED)
        bought.status, bought.version = Status.CANCELLED, 3
        bought.save(update_fields=["status", "version"])
        bought.refresh_from_db()
    assert bought.owned == 0


def test_its_twin_with_another_arrow_in_the_trigger_is_found(make_sale: MakeSale) -> None:
    sale = make_sale(live=False)
    with unfinished_business() as cursor:
        cursor.execute("SELECT pg_get_functiondef('orders_order_final'::regproc)")
        [function] = cursor.fetchone()
        others = function.replace("ELSE false", "ELSE NEW.status = 'cancelled'")
        assert others != function
        cursor.execute(others)
        found = arrows_of_postgresql(cursor, sale) - arrows()
        assert found == {("rejected", "cancelled"), ("cancelled", "cancelled")}


def test_a_hold_keeps_its_end(make_sale: MakeSale) -> None:
    sale = make_sale(live=False)
    with unfinished_business():
        held = order(sale, Status.HELD)
        held.status, held.version = Status.CONFIRMED, 3
        held.hold_until = held.hold_until and held.hold_until + timedelta(minutes=1)
        with pytest.raises(IntegrityError, match="is final"), transaction.atomic():
            held.save(update_fields=["status", "version", "hold_until"])
        held.save(update_fields=["status", "version"])


def test_only_a_rejection_gets_a_reason(make_sale: MakeSale) -> None:
    sale = make_sale(live=False)
    with unfinished_business():
        waiting = order(sale, Status.WAITING)
        waiting.status, waiting.version, waiting.reason = Status.REJECTED, 3, "sold_out"
        waiting.save(update_fields=["status", "version", "reason"])
        held = order(sale, Status.HELD)
        held.status, held.version, held.reason = Status.CANCELLED, 3, "sold_out"
        with pytest.raises(IntegrityError, match="is final"), transaction.atomic():
            held.save(update_fields=["status", "version", "reason"])


@pytest.mark.parametrize("status", [Status.HELD, Status.EXPIRED])
def test_a_hold_has_an_end(make_sale: MakeSale, status: Status) -> None:
    sale = make_sale(live=False)
    with unfinished_business(), pytest.raises(IntegrityError, match="order_hold_ends"):
        order(sale, status, hold_until=None)


# --- Helpers --------------------------------------------------------------------------------------


@contextmanager
def unfinished_business() -> Iterator[CursorWrapper]:
    """A transaction that is rolled back."""
    with transaction.atomic(), connection.cursor() as cursor:
        yield cursor
        transaction.set_rollback(True)


def statuses(cursor: CursorWrapper) -> set[str]:
    cursor.execute(
        "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = 'order_status_known'"
    )
    [condition] = cursor.fetchone()
    return set(re.findall(r"'(\w+)'", condition))


def arrows() -> set[tuple[str, str]]:
    return {(before, after) for before in ARROWS for after in ARROWS[before]}


def arrows_of_postgresql(cursor: CursorWrapper, sale: Sale) -> set[tuple[str, str]]:
    """Every pair is tried. A rejected order needs a reason, which none may take away, and a hold an
    end: these rules would hide what the trigger lets through."""
    cursor.execute("ALTER TABLE orders_order DROP CONSTRAINT order_reason_iff_rejected")
    cursor.execute("ALTER TABLE orders_order DROP CONSTRAINT order_hold_ends")
    known = statuses(cursor)
    return {(a, b) for a, b in product(known, known) if may_move(cursor, order(sale, a), b)}


def may_move(cursor: CursorWrapper, moved: Order, status: str) -> bool:
    statement = "UPDATE orders_order SET status = %s, version = version + 1 WHERE id = %s"
    try:
        with transaction.atomic():
            cursor.execute(statement, [status, moved.pk])
    except IntegrityError as refusal:
        if "is final" not in str(refusal):
            raise
        return False
    return True


_NOW = datetime(2030, 1, 1, tzinfo=UTC)


def order(sale: Sale, status: str, hold_until: datetime | None = _NOW) -> Order:
    return Order.objects.create(
        pk=new_purchase(sale.pk),
        sale=sale,
        variant=sale.variants.get(),
        shopper=new_shopper(),
        quantity=_UNITS,
        unit_price=100,
        currency="EUR",
        status=status,
        reason="limit" if status == "rejected" else "",
        version=2,
        accepted_at=_NOW,
        settled_at=_NOW,
        hold_until=hold_until,
    )
