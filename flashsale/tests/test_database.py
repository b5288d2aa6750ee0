"""Transactions with time limits."""

import asyncio
import select
from collections.abc import Callable
from contextlib import nullcontext

import psycopg
import pytest
from django.db import (
    DatabaseError,
    IntegrityError,
    InternalError,
    connection,
    connections,
    transaction,
)
from django.db.backends.base.base import BaseDatabaseWrapper

from flashsale.database import (
    IDLE_TIMEOUT,
    LOCK_TIMEOUT,
    TRANSACTION_TIMEOUT,
    ask_together,
    bounded_transaction,
    in_thread,
    stop_preparing,
)
from tests.stack import wait_for


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
    with bounded_transaction():
        assert setting(name) == bound
    assert setting(name) == before != bound


def test_what_prepares_may_idle_until_it_stops_preparing() -> None:
    idling = "idle_in_transaction_session_timeout"
    with bounded_transaction(prepares=True):
        assert setting(idling) == TRANSACTION_TIMEOUT
        stop_preparing()
        assert setting(idling) == IDLE_TIMEOUT


@transaction.atomic
def twice_the_same() -> None:
    with connection.cursor() as cursor:
        cursor.execute("CREATE TEMPORARY TABLE together (id int PRIMARY KEY)")
    ask_together(
        *[("INSERT INTO together VALUES (%s) RETURNING id", [number]) for number in (1, 1, 2)]
    )


def test_what_is_asked_together_comes_in_the_order_of_the_questions() -> None:
    asked = [("SELECT %s::int", [number]) for number in range(5)]
    assert ask_together(*asked) == [[(number,)] for number in range(5)]


def test_what_is_asked_has_the_values_that_were_given() -> None:
    odd = "%s '; SELECT 1 -- \\ %%"
    named = ("SELECT %(odd)s || '%%' || %(odd)s", {"odd": odd})
    assert ask_together(("SELECT %s", [odd]), named) == [[(odd,)], [(f"{odd}%{odd}",)]]


def test_what_postgresql_refuses_is_raised_as_djangos_error_and_undone() -> None:
    with pytest.raises(IntegrityError):
        twice_the_same()
    with pytest.raises(DatabaseError, match="does not exist"), transaction.atomic():
        ask_together(("SELECT 1", []), ("SELECT * FROM together", []))


def test_who_stands_still_after_several_questions_loses_the_transaction() -> None:
    """As in `bounded`, with a shorter patience."""
    with pytest.raises(InternalError, match="idle"):
        stand_still()
    connection.close()


@transaction.atomic
def stand_still() -> None:
    ask_together(("SELECT set_config('idle_in_transaction_session_timeout', '50ms', true)", []))
    ask_together(("SELECT 1", []), ("SELECT 2", []))
    wait_for(ended(connection.connection), "PostgreSQL ends the session")
    ask_together(("SELECT 3", []))


def ended(session: psycopg.Connection[object]) -> Callable[[], bool]:
    """Whether PostgreSQL has said anything unasked: it only does when it ends the session."""
    return lambda: bool(select.select([session.fileno()], [], [], 0)[0])


@pytest.mark.parametrize("statement", ["SELECT 1", "SELECT nonsense"])
def test_who_asks_in_a_thread_gives_the_connection_back(statement: str) -> None:
    used: list[BaseDatabaseWrapper] = []

    def question() -> None:
        used.append(connections["default"])
        with connection.cursor() as cursor:
            cursor.execute(statement)

    with pytest.raises(DatabaseError) if "nonsense" in statement else nullcontext():
        asyncio.run(in_thread(question))
    assert [each.connection for each in used] == [None]
