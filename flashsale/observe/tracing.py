"""Traces, where OTEL_EXPORTER_OTLP_ENDPOINT says whom to tell: one for each purchase, from click to commit.

A purchase's id is its trace's. So web processes and workers write one trace without passing anything on,
and whoever knows a purchase finds it. OTEL_TRACES_SAMPLER_ARG says which share is kept: all keep the same.
"""

import time
from collections.abc import Iterable
from contextvars import ContextVar
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple
from uuid import UUID

from django.conf import settings

if TYPE_CHECKING:
    from opentelemetry.trace import Tracer

purchase: ContextVar[UUID] = ContextVar("traced purchase")

_tracer: "Tracer | None" = None


class Step(NamedTuple):
    """What took until now."""

    purchase: UUID
    since: datetime | float  # or so many seconds
    attributes: dict[str, str | int]


def start(role: str) -> None:
    """Does nothing where nobody is to be told. Whoever does not listen loses traces, and stops nobody."""
    global _tracer
    if settings.OTEL_EXPORTER_OTLP_ENDPOINT:
        from flashsale.observe.exporting import make_tracer  # costs time and memory

        _tracer = make_tracer(role, purchase)


def write_spans(name: str, taken: Iterable[Step]) -> None:
    """Writes a span for each. Of the iterable nothing is asked where nobody is to be told."""
    if _tracer:
        now = time.time_ns()
        for step in taken:
            purchase.set(step.purchase)
            began = _nanoseconds(step.since, now)
            _tracer.start_span(name, start_time=began, attributes=step.attributes).end(now)


def _nanoseconds(since: datetime | float, now: int) -> int:
    if isinstance(since, datetime):
        return int(since.timestamp() * 1e9)
    return now - int(since * 1e9)
