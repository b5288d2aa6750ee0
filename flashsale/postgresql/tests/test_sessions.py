"""No session that can only read outlives the time in which the server was read-only."""

import contextlib
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import psycopg
import pytest
from django.conf import settings
from django.contrib.sessions.models import Session
from django.db import DatabaseError, InternalError, connection, transaction
from django.utils import timezone
from psycopg_pool import ConnectionPool

from flashsale.database import (
    ask_together,
    give_back_after,
    only_reads,
    why_read_only,
)
from flashsale.postgresql import base
from tests import deadlines, read_only, stack


def process_id() -> int:
    [[(number,)]] = ask_together(("SELECT pg_backend_pid()", []))
    return int(number)


def write() -> None:
    Session.objects.create(session_key=f"{time.monotonic_ns()}", expire_date=timezone.now())


def write_in_two_transactions() -> None:
    with transaction.atomic(), transaction.atomic():
        write()


@pytest.mark.parametrize("work", [write, write_in_two_transactions])
def test_a_session_that_has_refused_to_write_is_used_for_nothing_else(
    work: Callable[[], None],
) -> None:
    with read_only.by_role():
        before = process_id()
        with pytest.raises(DatabaseError) as refused:
            work()
        assert only_reads(refused.value)
        after = process_id()  # by the same thread, without giving it back
        assert after != before
        connection.close()
        assert process_id() != before


def test_sessions_that_can_only_read_are_used_up_by_the_writes_that_they_refuse(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As behind a pooler that does not report what a session may do."""
    monkeypatch.setattr(base, "can_only_read", lambda session: False)
    with read_only.by_role():
        for _ in range(5):
            give_back_after(process_id)
        with pytest.raises(DatabaseError):
            write()
    stack.wait_for(written, "it can be written to")


def written() -> bool:
    with contextlib.suppress(InternalError):
        write()
        return True
    return False


def test_a_session_that_has_only_read_is_not_handed_out_later() -> None:
    with read_only.by_role():
        give_back_after(process_id)
        assert why_read_only() == "default_transaction_read_only is on"
        connection.close()
    stack.wait_for(every_session_is_old, "all sessions that began meanwhile are old")
    write()


def every_session_is_old() -> bool:
    """Also of those that the pool is opening in the background."""
    pool: ConnectionPool = connection.pool  # type: ignore[attr-defined]  # PostgreSQL's backend has one
    stats = pool.get_stats()
    opened = stats["pool_size"] == stats["pool_available"]
    return opened and time.monotonic() - max(base._began.values()) > base.KEPT


def test_without_that_it_would_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base, "KEPT", 1e9)
    with read_only.by_role():
        give_back_after(process_id)
    with pytest.raises(DatabaseError):
        write()
    read_only.forget_sessions()


def test_many_reads_from_a_server_that_can_only_be_read_need_few_sessions(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(base, "KEPT", 1e9)  # a second, of a machine that is fast enough
    most = settings.DATABASES["default"]["OPTIONS"]["pool"]["max_size"]
    with read_only.by_role():
        assert len({give_back_after(process_id) for _ in range(5 * most)}) <= most
    read_only.forget_sessions()


def test_a_pool_whose_sessions_were_all_ended_hands_out_another_at_once() -> None:
    with ThreadPoolExecutor(6) as threads:
        barrier = Barrier(6)

        def use() -> int:
            try:
                barrier.wait(stack.DEADLINE)
                return process_id()
            finally:
                barrier.wait(stack.DEADLINE)
                connection.close()

        used = set(threads.map(lambda _: use(), range(6)))
    assert len(used) == 6
    read_only.end_sessions()
    began = time.monotonic()
    write()
    assert time.monotonic() - began < deadlines.seconds(0.5)


def test_a_session_to_a_promoted_standby_goes_on() -> None:
    with read_only.as_standby():
        assert why_read_only() == "it is a standby"
        with pytest.raises(DatabaseError) as refused:
            write()
        assert only_reads(refused.value)
    write()


def test_other_errors_keep_the_session() -> None:
    before = process_id()
    with pytest.raises(DatabaseError) as refused:
        ask_together(("SELECT * FROM nowhere", []))
    assert not only_reads(refused.value)
    assert isinstance(refused.value.__cause__, psycopg.errors.UndefinedTable)
    assert process_id() == before
