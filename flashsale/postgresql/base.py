"""Django's PostgreSQL backend, whose pool hands out no session that is broken or can only read.

A failover leaves sessions to a server that is a standby by now, and sessions that began while the server
was read-only. Such a session answers every read and refuses every write, for as long as a pool keeps it.
A failover also breaks all idle sessions at once, which psycopg's pool replaces with growing pauses: a
process with four of them got none within three seconds.

PostgreSQL reports to each session whether it can only read, with the reply to any statement; no query is
needed. A pooler in between may hide that: then the first refused write (SQLSTATE 25006) tells.
"""

import time
from typing import Any, cast
from weakref import WeakKeyDictionary

import psycopg
from django.db.backends.postgresql import base
from django.db.utils import DatabaseErrorWrapper
from django.utils.functional import cached_property
from psycopg_pool import ConnectionPool

# Seconds for which a session that can only read is used, for reads: the server itself may be read-only, and
# a new session for each of them would cost more than it helps.
KEPT = 0.5

_REPORTED = (b"in_hot_standby", b"default_transaction_read_only")

Session = psycopg.Connection[Any]


def can_only_read(session: Session) -> bool:
    """Whether PostgreSQL has reported that the session can only read."""
    return any(session.pgconn.parameter_status(name) == b"on" for name in _REPORTED)


class _Errors(DatabaseErrorWrapper):
    """Translates psycopg's errors to Django's, and notes that the session has refused to write."""

    def __exit__(self, kind: Any, error: Any, traceback: Any) -> None:
        if isinstance(error, psycopg.errors.ReadOnlySqlTransaction):
            self.wrapper.has_refused = True  # type: ignore[attr-defined]  # not in the stubs
        super().__exit__(kind, error, traceback)


class DatabaseWrapper(base.DatabaseWrapper):
    has_refused = False  # the session has refused to write

    @cached_property
    def wrap_database_errors(self) -> _Errors:
        return _Errors(self)

    def _configure_connection(self, connection: Session) -> bool:
        """Called once for each session of the pool."""
        _began[connection] = time.monotonic()
        return bool(super()._configure_connection(connection))  # type: ignore[misc]  # not in the stubs

    def get_new_connection(self, conn_params: Any) -> Session:
        if not self.pool:
            return cast(Session, super().get_new_connection(conn_params))
        oldest = time.monotonic() - KEPT
        for _ in range(self.pool.max_size + 1):  # all of them may be broken
            session: Session = super().get_new_connection(conn_params)
            if _works(session) and (_began[session] >= oldest or not can_only_read(session)):
                return session
            session.close()
            self.pool.putconn(session)  # which replaces it
        raise psycopg.OperationalError("all sessions of the pool were lost, and new ones are too")

    def ensure_connection(self) -> None:
        if self.has_refused and not self.in_atomic_block:
            self.close()
        super().ensure_connection()

    def _close(self) -> None:
        if self.has_refused and self.connection is not None:
            self.has_refused = False
            self.connection.close()  # the pool replaces it
            if self.pool:
                self.pool.drain()  # the others began at the same time
        super()._close()  # type: ignore[misc]  # not in the stubs


_began: WeakKeyDictionary[Session, float] = WeakKeyDictionary()


def _works(session: Session) -> bool:
    """Ask PostgreSQL, which reports with its reply what has changed."""
    try:
        ConnectionPool.check_connection(session)
    except psycopg.Error:
        return False
    return True
