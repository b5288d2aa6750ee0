"""What a web process waits for before it is ready for the first time: a worker, and open sales' gates.

A ready gate accepts a click, and a worker makes gates ready and decides. Once a web process has seen both
it does not look again: acceptance works without a worker, and a web process must not leave the balancer
for want of one.
"""

import logging
from collections.abc import Callable, Iterable

import redis
from django.conf import settings
from django.db import DatabaseError, connection
from django.utils import timezone

from flashsale.database import in_thread
from flashsale.observe import telemetry_reader
from flashsale.redis import clients
from inventory.gate import replica
from inventory.gate.state import Pulse
from inventory.models import Sale

log = logging.getLogger(__name__)

_NAMED = 3  # sales whose gates are not ready


class Opening:
    """What one web process has seen so far."""

    def __init__(self) -> None:
        self._over = False
        # Each is waited for once: in a rush a gate is behind PostgreSQL for a moment after each settlement.
        self._ready: set[int] = set()
        self._logged: dict[str, str] = {}

    async def missing(self) -> dict[str, str]:
        """What is missing, by part: `worker`, `gates`. Empty when nothing is, and from then on."""
        if self._over:
            return {}
        looks = {"worker": _missing_worker, "gates": self._missing_gates}
        found = {part: await self._look(part, look) for part, look in looks.items()}
        missing = {part: words for part, words in found.items() if words}
        self._over = not missing
        return missing

    async def _look(self, part: str, look: Callable[[], str]) -> str:
        """Bounded by PATIENCE. An error is logged once: `/readyz` is asked many times a second."""
        try:
            words = await in_thread(look)
        except (redis.RedisError, DatabaseError, OSError, TimeoutError) as error:
            words = f"not known ({type(error).__name__})"
            if self._logged.get(part) != words:
                log.warning("not ready: cannot look for %s: %s", part, error)
        self._logged[part] = words
        return words

    def _missing_gates(self) -> str:
        try:
            waiting = {pk: slug for pk, slug in _open_sales() if pk not in self._ready}
            for server, share in clients.group_by_server(waiting):
                # In the thread, so that a server that is silent for longer than a look is waited for once.
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
    """Those of a server's sales whose gates accept a click, and know all that PostgreSQL has committed.

    A server of a cluster that is away is not waited for: `/readyz` names it, and the others sell.
    """
    try:
        # The scripts first: without them Redis was restarted, and its gates are not to be believed.
        pulses = replica.read_pulses(sales) if replica.knows_scripts(server) else {}
    except (redis.ConnectionError, redis.TimeoutError):
        if settings.REDIS_CLUSTER:
            return set(sales)
        raise
    # After the gates, as the caretaker reads them: a gate that is ahead of PostgreSQL now really is.
    return {
        sale.pk for sale in Sale.objects.filter(pk__in=pulses) if _is_ready(sale, pulses[sale.pk])
    }


def _is_ready(sale: Sale, pulse: Pulse) -> bool:
    return (
        pulse.ready
        and not pulse.corrupt
        and (pulse.epoch, pulse.version) == (sale.epoch, sale.version)
    )
