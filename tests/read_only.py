"""Servers that answer and cannot be written to, and can be again afterwards."""

import contextlib
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import psycopg
from django.conf import settings
from django.db import connection

from flashsale.database import drop_broken_connections
from flashsale.redis import blocking_clients
from tests import servers, stack

ReadOnly = Callable[[], AbstractContextManager[None]]

_END_OTHERS = (
    "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
    " WHERE usename = current_user AND pid <> pg_backend_pid()"
)


# --- PostgreSQL ----------------------------------------------------------------------------------


@contextlib.contextmanager
def by_role() -> Iterator[None]:
    """As behind a name that moves to another server and back: all sessions are ended, and those that begin
    meanwhile can only read, for as long as they live."""
    role = psycopg.sql.Identifier(settings.DATABASES["default"]["USER"])
    with _session() as session:
        session.execute(
            psycopg.sql.SQL("ALTER ROLE {} SET default_transaction_read_only = on").format(role)
        )
        session.execute(_END_OTHERS)
        connection.close()
        try:
            yield
        finally:
            # This session began before.
            session.execute(
                psycopg.sql.SQL("ALTER ROLE {} RESET default_transaction_read_only").format(role)
            )


def end_sessions() -> None:
    """As a failover does; all of them, also those of other processes."""
    with _session() as session:
        session.execute(_END_OTHERS)


def forget_sessions() -> None:
    """Leave no session of this process that began meanwhile to the next test."""
    connection.close()
    connection.pool.drain()  # type: ignore[attr-defined]  # unknown to the stubs


@contextlib.contextmanager
def by_configuration() -> Iterator[None]:
    """As a provider does whose disk is full: the setting is changed under all sessions, and back."""
    # Where ALTER SYSTEM writes; the shop's role may not.
    configured = servers.POSTGRES.data / "postgresql.auto.conf"
    before = configured.read_text()
    configured.write_text(f"{before}default_transaction_read_only = on\n")
    _reload(read_only=True)
    try:
        yield
    finally:
        configured.write_text(before)
        _reload(read_only=False)


@contextlib.contextmanager
def as_standby() -> Iterator[None]:
    """The server starts as a standby, and becomes the primary under the sessions that have begun."""
    servers.POSTGRES.stop()
    (servers.POSTGRES.data / "standby.signal").touch()
    servers.POSTGRES.start()
    drop_broken_connections()
    try:
        yield
    finally:
        (servers.POSTGRES.data / "promote").touch()  # as `pg_ctl promote` does
        assert servers.POSTGRES.pid
        os.kill(servers.POSTGRES.pid, signal.SIGUSR1)
        stack.wait_for(lambda: not _is_read_only(), "the standby is promoted")


@contextlib.contextmanager
def _session() -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    with psycopg.connect(servers.POSTGRES.url, autocommit=True) as session:
        yield session


def _is_read_only() -> bool:
    with _session() as session:
        return session.execute("SHOW transaction_read_only").fetchone() == ("on",)


def _reload(*, read_only: bool) -> None:
    assert servers.POSTGRES.pid
    os.kill(servers.POSTGRES.pid, signal.SIGHUP)
    stack.wait_for(lambda: _is_read_only() is read_only, "the setting is read")


# --- Redis ---------------------------------------------------------------------------------------


@contextlib.contextmanager
def as_replica() -> Iterator[None]:
    """A replica whose primary does not answer."""
    server = blocking_clients.client_of(0)
    server.replicaof("127.0.0.1", "1")
    try:
        yield
    finally:
        server.replicaof("NO", "ONE")


@contextlib.contextmanager
def without_replicas() -> Iterator[None]:
    """A primary that has lost its replicas, and may not be written to without."""
    server = blocking_clients.client_of(0)
    server.config_set("min-replicas-to-write", 1)
    try:
        yield
    finally:
        server.config_set("min-replicas-to-write", 0)


@contextlib.contextmanager
def without_permission() -> Iterator[None]:
    """A server whose user may only read, as some providers set it for a replica."""
    server = blocking_clients.client_of(0)
    server.execute_command("ACL", "SETUSER", "default", "-@write")  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        server.execute_command("ACL", "SETUSER", "default", "+@all")  # type: ignore[no-untyped-call]


@contextlib.contextmanager
def after_a_failed_snapshot() -> Iterator[None]:
    """A server whose snapshot has failed, and which takes no writes until one succeeds."""
    server = blocking_clients.client_of(0)
    snapshot = servers.VALKEY.folder / "dump.rdb"
    snapshot.mkdir()  # where a file should be
    server.config_set("save", "3600 1000000000")
    server.bgsave()
    stack.wait_for(
        lambda: not server.info("persistence")["rdb_bgsave_in_progress"], "the snapshot has failed"
    )
    try:
        yield
    finally:
        server.config_set("save", "")
        snapshot.rmdir()
