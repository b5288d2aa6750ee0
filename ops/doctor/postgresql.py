"""Check PostgreSQL's settings and the migrations."""

from collections.abc import Iterator
from typing import Any

from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from flashsale.database import why_read_only
from ops.doctor.findings import Finding, failed, ok, warning

_LOST = "what was confirmed to a shopper could be lost."
# By setting: the only right value, and the effect of any other.
_REQUIRED = {
    "fsync": ("on", _LOST),
    "full_page_writes": ("on", _LOST),
    "synchronous_commit": ("on", _LOST),
    "transaction_isolation": ("read committed", "what others commit would be overlooked."),
    "TimeZone": ("UTC", "something between here and there changes what Django has set."),
}
_READ_ONLY = "default_transaction_read_only"


def check_server() -> Iterator[Finding]:
    """Connect and compare the settings. Django itself refuses a version that is too old."""
    about = connection.settings_dict
    [(version,)] = query("SHOW server_version")
    where = f"{about['HOST'] or 'local socket'}:{about['PORT'] or 5432}/{about['NAME']}"
    yield ok("PostgreSQL", f"Version {version} answers at {where}.")
    for setting, (required, otherwise) in _REQUIRED.items():
        [(actual,)] = query("SELECT current_setting(%s)", setting)
        if actual != required:
            seen = f"{setting} is {actual}: {otherwise}"
            yield failed("PostgreSQL", seen, f"Set it to {required}.")


def check_writable() -> Iterator[Finding]:
    if not (reason := why_read_only()):
        return
    advice = "Point DATABASE_URL to its primary, or promote it."
    if query("SELECT NOT pg_is_in_recovery()") == [(True,)]:
        [(source,)] = query("SELECT source FROM pg_settings WHERE name = %s", _READ_ONLY)
        advice = f"Set it to off; the present value is set by: {source}."
    yield failed("PostgreSQL", f"It can only be read, {reason}: nothing can be sold.", advice)


def check_migrations() -> Iterator[Finding]:
    executor = MigrationExecutor(connection)
    graph = executor.loader.graph
    missing = [str(step) for step, _ in executor.migration_plan(graph.leaf_nodes())]
    apps = {app for app, _ in graph.nodes}
    unknown = {(app, name) for app, name in executor.loader.applied_migrations if app in apps}
    unknown -= set(graph.nodes)
    if missing:
        seen = f"{len(missing)} migrations are missing, the first is {missing[0]}."
        yield failed("migrations", seen, "Run `manage.py prepare`.")
    elif unknown:
        seen = (
            f"The database is newer than this program: {'.'.join(min(unknown))} is not known here."
        )
        yield warning("migrations", seen, "Deploy the version that has migrated it.")
    else:
        yield ok("migrations", "All are applied.")


def query(statement: str, *values: str) -> list[tuple[Any, ...]]:
    """Run a statement and return all rows. Raises DatabaseError."""
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        return list(cursor.fetchall())


CHECKS = (check_server, check_writable, check_migrations)
