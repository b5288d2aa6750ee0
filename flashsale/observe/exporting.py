"""The OpenTelemetry part of traces. Imported only with an endpoint: the import costs time and memory."""

import atexit
import threading
from collections.abc import Sequence
from contextvars import ContextVar
from uuid import UUID

from django.conf import settings
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import Decision, Sampler, SamplingResult
from opentelemetry.trace import Link, SpanKind, Tracer, TraceState
from opentelemetry.util.types import Attributes

_TIMEOUT = 2  # seconds for one export
_LAST_EXPORT = 1.0  # seconds for the export when the process ends
# The last 62 bits of a purchase's id (a UUID) are random; the two bits before them are its variant.
_RANDOM = 1 << 62


class ShareOfPurchases(Sampler):
    """Samples a share of all purchases, the same ones in every process.

    OpenTelemetry's own sampler expects ids whose 64 low bits are all random.
    """

    def __init__(self, share: float) -> None:
        self._below = share * _RANDOM

    def should_sample(
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,
        trace_state: TraceState | None = None,
    ) -> SamplingResult:
        kept = trace_id % _RANDOM < self._below
        return SamplingResult(Decision.RECORD_AND_SAMPLE if kept else Decision.DROP, attributes)

    def get_description(self) -> str:
        return f"{self._below / _RANDOM:g} of all purchases"


class _ByPurchase(RandomIdGenerator):
    """Uses the purchase's id as the trace's id, so that web processes and workers write one trace."""

    def __init__(self, purchase: ContextVar[UUID]) -> None:
        self._purchase = purchase

    def generate_trace_id(self) -> int:
        return self._purchase.get().int


def make_tracer(role: str, purchase: ContextVar[UUID]) -> Tracer:
    """Make a tracer that exports spans in the background, and drops those that cannot be sent.

    `purchase` names the purchase of the span that is started next.
    """
    provider = TracerProvider(
        sampler=ShareOfPurchases(settings.OTEL_TRACES_SAMPLER_ARG),
        resource=Resource.create({"service.name": f"flashsale-{role}"}),
        id_generator=_ByPurchase(purchase),
        shutdown_on_exit=False,  # it waits half a minute if the collector is down
    )
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(timeout=_TIMEOUT)))
    atexit.register(_export_last, provider)
    return provider.get_tracer("flashsale")


def _export_last(provider: TracerProvider) -> None:
    exporting = threading.Thread(target=provider.force_flush, daemon=True)
    exporting.start()
    exporting.join(_LAST_EXPORT)
