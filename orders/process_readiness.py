"""First readiness of a web process: it waits for a worker and for the gates of open sales.

A ready gate accepts clicks; a worker makes gates ready and decides. A web process that has seen
both once does not check again: clicks are accepted without a worker, so a missing worker must not
take web processes out of the load balancer.
"""

import logging
from collections.abc import Callable, Iterable

import redis
from django.conf import settings
from django.db import DatabaseError, connection
from django.utils import timezone

from flashsale.database import in_thread
from flashsale.observe import telemetry_reader
from flashsale.redis import blocking_clients
from inventory.gate import replica
from inventory.gate.state import Pulse
from inventory.models import Sale

log = logging.getLogger(__name__)

_NAMED = 3  # sales that the message names


class FirstReadiness:
    """The parts that this web process has seen ready so far."""

    def __init__(self) -> None:
        self._over = False
        # Gates that were ready once are not checked again: in a rush a gate is behind PostgreSQL
        # for a moment after each settlement.
        self._ready: set[int] = set()
        self._logged: dict[str, str] = {}

    async def missing(self) -> dict[str, str]:
        """Missing parts, `worker` and `gates`, each with a text for operators. Empty once both were
        seen."""
        if self._over:
            return {}
        checks = {"worker": _missing_worker, "gates": self._missing_gates}
        found = {part: await self._check(part, check) for part, check in checks.items()}
        missing = {part: text for part, text in found.items() if text}
        self._over = not missing
        return missing

    async def _check(self, part: str, check: Callable[[], str]) -> str:
        """Takes at most PATIENCE. Logs a repeated error once: `/readyz` is called many times a
        second."""
        try:
            text = await in_thread(check)
        except (redis.RedisError, DatabaseError, OSError, TimeoutError) as error:
            text = f"not known ({type(error).__name__})"
            if self._logged.get(part) != text:
                log.warning("not ready: cannot check %s: %s", part, error)
        self._logged[part] = text
        return text

    def _missing_gates(self) -> str:
        try:
            waiting = {pk: slug for pk, slug in _open_sales() if pk not in self._ready}
            for server, share in blocking_clients.group_by_server(waiting):
                # Updated in the thread: the result of a server that answers after PATIENCE still
                # counts.
                self._ready |= _ready_of(server, share) if share else set()
        finally:
            connection.close()
        slugs = [slug for pk, slug in waiting.items() if pk not in self._ready]
        if not slugs:
            return ""
        more = ", …" if len(slugs) > _NAMED else ""
        return f"{len(slugs)} not ready: {', '.join(slugs[:_NAMED])}{more}"


def _missing_worker() -> str:
    seen = any(one.role == "worker" and one.alive for one in telemetry_reader.processes())
    return "" if seen else "not seen"


def _open_sales() -> Iterable[tuple[int, str]]:
    now = timezone.now()
    sales = Sale.objects.filter(
        status__in=(Sale.Status.LIVE, Sale.Status.PAUSED), opens_at__lte=now, closes_at__gt=now
    )
    return sales.order_by("pk").values_list("pk", "slug")


def _ready_of(server: redis.Redis, sales: list[int]) -> set[int]:
    """The sales of a server whose gates accept clicks and are at PostgreSQL's version.

    A server of a cluster that is away counts as ready: `/readyz` reports it by itself, and the
    others sell.
    """
    try:
        # Without the scripts Redis was restarted, and its gates cannot be trusted.
        pulses = replica.read_pulses(sales) if replica.knows_scripts(server) else {}
    except (redis.ConnectionError, redis.TimeoutError):
        if settings.REDIS_CLUSTER:
            return set(sales)
        raise
    # PostgreSQL is read after the gates, as by the caretaker: a gate that is ahead now really is.
    return {
        sale.pk for sale in Sale.objects.filter(pk__in=pulses) if _is_ready(sale, pulses[sale.pk])
    }


def _is_ready(sale: Sale, pulse: Pulse) -> bool:
    return (
        pulse.ready
        and not pulse.corrupt
        and (pulse.epoch, pulse.version) == (sale.epoch, sale.version)
    )
