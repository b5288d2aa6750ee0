"""Check the running processes: who is alive, how they sign, how many connections they may take."""

from collections.abc import Iterable, Iterator
from typing import Any

from django.conf import settings

from flashsale import variables
from flashsale.database import count_connections
from flashsale.http import signing
from flashsale.observe import telemetry_reader
from flashsale.observe.telemetry_reader import Process
from ops.doctor.findings import NEARLY_FULL, Finding, State, failed, ok, warning

# By role: how bad it is that none is alive, and its effect.
_ROLES = {
    "web": (State.FAILED, "nobody can see or buy anything."),
    "worker": (State.FAILED, "what is accepted is not decided, and gates stay not ready."),
    "beat": (State.WARNING, "sales that are over are not finished."),
}


def check_roles() -> Iterator[Finding]:
    alive = _list_alive()
    for role, (state, effect) in _ROLES.items():
        of_role = [process for process in alive if process.role == role]
        if of_role:
            yield ok(role, f"{len(of_role)} alive: {_name(of_role)}.")
        else:
            advice = "Start the shop, or this part of it."
            yield Finding(role, state, f"None is alive: {effect}", advice)


def check_keys() -> Iterator[Finding]:
    """Compare the keys of all web processes: each has to accept what another has signed."""
    ours = signing.key_number()
    others = [
        process
        for process in _list_alive()
        if process.role == "web" and process.gauges.get("key", ours) != ours
    ]
    if others:
        yield failed(
            "keys",
            f"Web processes sign with another SECRET_KEY than is set here: {_name(others)}.",
            "Set the same everywhere and start them again. Until then each needs the other's among its"
            " SECRET_KEY_FALLBACKS, or shoppers are refused at random.",
        )
    else:
        yield ok("keys", "All web processes sign with the SECRET_KEY that is set here.")


def check_database_connections() -> Iterator[Finding]:
    """Compare PostgreSQL's limit with the pools of all web and worker processes."""
    used, allowed = count_connections()
    pool: dict[str, Any] = settings.DATABASES["default"]["OPTIONS"].get("pool") or {}
    each = pool.get("max_size") or variables.whole("DATABASE_POOL", 12, least=1)
    pools = sum(process.role != "beat" for process in _list_alive())
    seen = (
        f"{used} of {allowed} connections are taken; {pools} processes may take {each} each"
        " (DATABASE_POOL)."
    )
    if max(used, pools * each) > allowed * NEARLY_FULL:
        advice = "Raise max_connections, lower DATABASE_POOL, or put PgBouncer between."
        yield warning("connections", seen, advice)
    else:
        yield ok("connections", seen)


def _list_alive() -> list[Process]:
    return [process for process in telemetry_reader.processes() if process.alive]


def _name(processes: Iterable[Process]) -> str:
    return ", ".join(f"{process.host}:{process.pid}" for process in processes)


CHECKS = (check_roles, check_keys, check_database_connections)
