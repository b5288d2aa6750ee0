"""Traces, exported to OTEL_EXPORTER_OTLP_ENDPOINT: one for each purchase, from click to commit.

A purchase's id is its trace's id. So web processes and workers write one trace without passing a context,
and an operator finds the trace by the purchase. OTEL_TRACES_SAMPLER_ARG is the sampled share: all processes
sample the same purchases.
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
    """A step of a purchase that ends now."""

    purchase: UUID
    since: datetime | float  # its beginning, or its duration in seconds
    attributes: dict[str, str | int]


def start(role: str) -> None:
    """Start to export. No-op without an OTLP endpoint; export failures lose traces and never block."""
    global _tracer
    if settings.OTEL_EXPORTER_OTLP_ENDPOINT:
        from flashsale.observe.exporting import make_tracer  # the import costs time and memory

        _tracer = make_tracer(role, purchase)


def write_spans(name: str, taken: Iterable[Step]) -> None:
    """Write a span for each step. Does not consume the iterable without an OTLP endpoint."""
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
