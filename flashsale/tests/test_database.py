"""Transactions that hold nobody up."""

import pytest
from django.db import DatabaseError, IntegrityError, connection, transaction

from flashsale.database import (
    IDLE_TIMEOUT,
    LOCK_TIMEOUT,
    TRANSACTION_TIMEOUT,
    bounded,
    later,
    together,
)


def setting(name: str) -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_setting(%s)", [name])
        return str(cursor.fetchone()[0])


@pytest.mark.parametrize(
    ("name", "bound"),
    [
        ("lock_timeout", LOCK_TIMEOUT),
        ("idle_in_transaction_session_timeout", IDLE_TIMEOUT),
        (
            "transaction_timeout",
            TRANSACTION_TIMEOUT,
        ),  # of PostgreSQL 17, which the embedded one has
    ],
)
def test_a_bound_ends_with_its_transaction(name: str, bound: str) -> None:
    before = setting(name)
    with bounded():
        assert setting(name) == bound
    assert setting(name) == before != bound


@transaction.atomic
def twice_the_same() -> None:
    later("CREATE TEMPORARY TABLE together (id int PRIMARY KEY)", [])
    with together():
        for number in (1, 1, 2):
            later("INSERT INTO together VALUES (%s)", [number])


def test_what_is_asked_together_comes_in_the_order_of_the_questions() -> None:
    with transaction.atomic():
        with together():
            asked = [later("SELECT %s::int", [number]) for number in range(5)]
        assert [rows() for rows in asked] == [[(number,)] for number in range(5)]


def test_what_postgresql_refuses_is_raised_as_djangos_error_and_undone() -> None:
    with pytest.raises(IntegrityError):
        twice_the_same()
    with pytest.raises(DatabaseError, match="does not exist"), transaction.atomic():
        later("SELECT * FROM together", [])
