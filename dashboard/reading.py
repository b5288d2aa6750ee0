"""Take snapshots of the shop for the dashboard, `/metrics` and `manage.py sale_watch`.

Each store is read apart from the others: a store that is down takes only its own figures away. The
snapshot then holds the last known ones, and an alarm that says so.
"""

import threading
import time
from dataclasses import replace
from datetime import datetime
from functools import cache

import redis
from django.db import DatabaseError
from django.utils import timezone

from dashboard import stores
from dashboard.alarms import GatesBehind, find_alarms
from dashboard.bounded_call import BoundedCall
from dashboard.draw_words import describe_draw
from dashboard.snapshot import Part, SaleFigures, Snapshot, VariantFigures
from dashboard.stores import Counted, Gate, Gates, Stored
from flashsale.observe import telemetry, telemetry_reader
from flashsale.observe.telemetry_reader import Second
from flashsale.redis.refusals import describe, refusal
from inventory.models import Sale, Variant

RECENT = 10  # seconds over which latencies are shown


@cache
def observer() -> "Observer":
    """The observer that all HTTP requests of this process share: each keeps ten minutes of history."""
    return Observer()


class Observer:
    """Takes snapshots, one after the other, and remembers what the next one needs.

    Shows the sales that staff work with now, or `only` the one with this primary key. Blocks, for a few
    seconds at most if a store hangs. Never raises because a store is down.
    """

    def __init__(self, only: int | None = None) -> None:
        self._only = only
        self._stored = Stored()
        self._counted = Counted()
        self._history = telemetry_reader.History()
        self._gates_behind = GatesBehind()
        self._postgresql = BoundedCall()
        self._one_at_a_time = threading.Lock()
        self._last: tuple[float, Snapshot] | None = None  # and when it was ready

    def look(self) -> Snapshot:
        """Take a snapshot. Callers that wait while another looks share one snapshot, made after they
        came: a store that hangs for seconds would make a queue of them."""
        asked_at = time.monotonic()
        with self._one_at_a_time:
            if self._last is None or self._last[0] < asked_at:
                snapshot = self._look()
                self._last = time.monotonic(), snapshot
            return self._last[1]

    def _look(self) -> Snapshot:
        stored, postgresql = self._read_postgresql()
        gates, redis_part = stores.read_gates([sale.pk for sale in stored.sales if _has_gate(sale)])
        counted, telemetry_part = self._read_telemetry([sale.pk for sale in stored.sales])
        parts = [postgresql, redis_part, telemetry_part]
        snapshot = _compose(stored, gates, counted, parts)
        return replace(
            snapshot,
            alarms=[*find_alarms(snapshot), *self._gates_behind.find_alarms(snapshot)],
        )

    def _read_postgresql(self) -> tuple[Stored, Part]:
        try:
            self._stored = self._postgresql.run(lambda: stores.read_postgresql(self._only))
        except (DatabaseError, TimeoutError) as error:
            words = f"not reachable ({type(error).__name__}); showing the last known figures"
            return self._stored, Part("PostgreSQL", False, words)
        if self._stored.read_only:
            words = f"can only be read ({self._stored.read_only}); {self._stored.words}"
            return self._stored, Part("PostgreSQL", False, words, read_only=True)
        return self._stored, Part("PostgreSQL", True, self._stored.words)

    def _read_telemetry(self, sales: list[int]) -> tuple[Counted, Part]:
        try:
            self._counted, part = stores.read_telemetry(self._history, sales)
        except (redis.RedisError, OSError) as error:
            read_only = refusal(error) is not None
            return self._counted, Part("Telemetry", False, describe(error), read_only)
        return self._counted, part


def _compose(stored: Stored, gates: Gates | None, counted: Counted, parts: list[Part]) -> Snapshot:
    """The snapshot, still without its alarms."""
    now = gates.now if gates else timezone.now()
    second = counted.history[-1] if counted.history else Second(int(now.timestamp()))
    recent = telemetry_reader.merge(counted.history[-RECENT:])
    return Snapshot(
        at=now,
        sales=[_figures(sale, stored, gates, counted, second, now) for sale in stored.sales],
        hidden_sales=stored.hidden_sales,
        parts=parts,
        processes=counted.processes,
        second=second,
        accept=telemetry_reader.latency(recent.accept),
        confirm=telemetry_reader.latency(recent.confirm),
        history=counted.history,
        timed=counted.totals.get(telemetry.ALL, Second(0)),
        audit=stored.audit,
        poison=stored.poison_orders,
        overdue_holds=stored.overdue_holds,
        late_draws=stored.late_draws,
        payments=stored.payments,
        mails=stored.mails,
        alarms=[],
    )


def _figures(
    sale: Sale,
    stored: Stored,
    gates: Gates | None,
    counted: Counted,
    second: Second,
    now: datetime,
) -> SaleFigures:
    gate = gates.gates.get(sale.pk) if gates else None
    gate_state = _gate_state(sale, gate)
    total = counted.totals.get(sale.pk, Second(0))
    return SaleFigures(
        sale=sale,
        phase=sale.phase(now),
        state=sale.state(now),
        variants=[
            _variant_figures(sale, variant, gate_state, gate)
            for variant in stored.variants[sale.pk]
        ],
        poison=stored.poison.get(sale.pk, 0),
        open_holds=stored.open_holds.get(sale.pk),
        draw=stored.draws.get(sale.pk),
        draw_words=describe_draw(sale, stored.draws.get(sale.pk), now),
        gate=gate_state,
        gate_version=gate.view.version if gate else None,
        waiting=gate.view.in_line if gate else None,
        oldest=gate.pulse.waited if gate else None,
        clicks=second.clicks[sale.pk],
        settled=second.settled[sale.pk],
        total=total.clicks[sale.pk],
        settled_total=total.settled[sale.pk],
    )


def _gate_state(sale: Sale, gate: Gate | None) -> str:
    if not _has_gate(sale):
        return "none"
    if gate is None:
        return "unknown"
    return "ready" if gate.view.ready else "not_ready"


def _has_gate(sale: Sale) -> bool:
    return not sale.finished and sale.status != Sale.Status.DRAFT


def _variant_figures(
    sale: Sale, variant: Variant, gate_state: str, gate: Gate | None
) -> VariantFigures:
    waiting = sale.waiting.get(variant.sku, 0)
    if gate_state == "unknown":
        return VariantFigures(variant, None, None, waiting)
    in_flight = gate.view.in_flight.get(variant.sku, 0) if gate else 0
    # As the gate's `View.left`.
    left = 0 if sale.awaits_draw or waiting else max(0, variant.stock - in_flight)
    return VariantFigures(variant, in_flight, left, waiting)
