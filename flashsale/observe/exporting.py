"""OpenTelemetry's side of traces. Imported only where an endpoint is set: it costs time and memory."""

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

_TIMEOUT = 2  # seconds for what is sent
_LAST_WORDS = 1.0  # seconds, in the end
# The bits at the end of a purchase's id that are random; the two before them say what kind of id it is.
_RANDOM = 1 << 62


class ShareOfPurchases(Sampler):
    """Keeps this share of all purchases, the same ones wherever it is asked. OpenTelemetry's own expects
    ids that are random up to their first bit."""

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
    """Uses the purchase's id as the trace's id: web processes and workers write one trace."""

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
        shutdown_on_exit=False,  # which waits for half a minute where nobody listens
    )
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(timeout=_TIMEOUT)))
    atexit.register(_say_last_words, provider)
    return provider.get_tracer("flashsale")


def _say_last_words(provider: TracerProvider) -> None:
    speaking = threading.Thread(target=provider.force_flush, daemon=True)
    speaking.start()
    speaking.join(_LAST_WORDS)
