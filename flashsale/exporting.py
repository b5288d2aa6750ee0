"""OpenTelemetry's side of traces."""

from django.conf import settings
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import TraceIdRatioBased
from opentelemetry.trace import Tracer

from flashsale import tracing


class _ByPurchase(RandomIdGenerator):
    def generate_trace_id(self) -> int:
        return tracing.purchase.get().int


def tracer(role: str) -> Tracer:
    """One that sends in the background what it is told, and forgets what cannot be sent."""
    provider = TracerProvider(
        sampler=TraceIdRatioBased(settings.OTEL_TRACES_SAMPLER_ARG),
        resource=Resource.create({"service.name": f"flashsale-{role}"}),
        id_generator=_ByPurchase(),
    )
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return provider.get_tracer("flashsale")
