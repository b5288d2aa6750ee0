"""A purchase is one trace across processes, and its id is the purchase's."""

import signal
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field
from uuid import UUID

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from opentelemetry.sdk.trace.sampling import Decision

from conftest import MakeSale
from flashsale.observe.exporting import ShareOfPurchases
from orders.tickets import new_purchase
from tests import stack
from tests.cast import Shopper, hears_the_bell
from tests.faults.outages import Crowd, final
from tests.listening import listening


@dataclass
class Collector:
    """Takes traces, as OpenTelemetry's collector does."""

    url: str = ""
    received: list[tuple[str, Span]] = field(default_factory=list)

    def take(self, body: bytes) -> None:
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            names = {each.key: each.value.string_value for each in resource.resource.attributes}
            for scope in resource.scope_spans:
                self.received += [(names["service.name"], span) for span in scope.spans]

    def spans_of(self, purchase: str) -> dict[str, tuple[str, Span]]:
        about = UUID(purchase).bytes
        return {span.name: (role, span) for role, span in self.received if span.trace_id == about}


@pytest.fixture
def collector() -> Iterator[Collector]:
    collector = Collector()
    with listening(collector.take) as port:
        collector.url = f"http://127.0.0.1:{port}"
        yield collector


def traced(collector: Collector, share: str = "1") -> dict[str, str]:
    return {
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
        "OTEL_TRACES_SAMPLER_ARG": share,
        "OTEL_BSP_SCHEDULE_DELAY": "50",  # ms
    }


def test_a_purchase_is_a_trace_from_click_to_commit(
    make_sale: MakeSale, collector: Collector
) -> None:
    settings, sale = traced(collector), make_sale()
    with stack.Web.running(**settings) as web, stack.worker(**settings):
        stack.wait_for(hears_the_bell, "the worker has started")
        shopper = Shopper(web.url)
        purchase = shopper.buy(sale).json()["purchase"]
        assert final(shopper, purchase) == "confirmed"
        stack.wait_for(lambda: len(collector.spans_of(purchase)) == 2, "both have exported")
    (web_role, click), (worker_role, settlement) = (
        collector.spans_of(purchase)[name] for name in ("click", "settlement")
    )
    assert (web_role, worker_role) == ("flashsale-web", "flashsale-worker")
    assert attributes(click) == {"answer": "queued", "reason": "", "sale": sale.pk, "status": 202}
    assert attributes(settlement)["outcome"] == "confirmed"
    for span in (click, settlement):
        assert 0 < span.end_time_unix_nano - span.start_time_unix_nano < 60e9


def attributes(span: Span) -> dict[str, str | int]:
    return {
        each.key: each.value.int_value
        if each.value.HasField("int_value")
        else each.value.string_value
        for each in span.attributes
    }


def test_a_share_of_zero_exports_nothing_and_a_silent_collector_delays_nothing(
    make_sale: MakeSale, collector: Collector
) -> None:
    sale, settings = make_sale(), traced(collector, "0")
    deaf = settings | {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}
    with stack.Web.running(**settings) as web, stack.worker(**deaf, LOG_LEVEL="CRITICAL"):
        shopper = Shopper(web.url)
        assert final(shopper, shopper.buy(sale).json()["purchase"]) == "confirmed"
    assert collector.received == []


def test_a_share_of_all_purchases_is_kept() -> None:
    ids = [new_purchase(7).int for _ in range(10_000)]
    for share in (0, 0.1, 0.5, 0.9, 1):
        sampler = ShareOfPurchases(share)
        decisions = [sampler.should_sample(None, one, "click").decision for one in ids]
        kept = decisions.count(Decision.RECORD_AND_SAMPLE)
        assert abs(kept / len(ids) - share) < 0.02, share


def test_who_does_not_answer_keeps_no_process_from_ending(make_sale: MakeSale) -> None:
    sale = make_sale(stock=50)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        settings = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{silent.getsockname()[1]}",
            "OTEL_BSP_SCHEDULE_DELAY": "50",
        }
        with stack.Web.running(**settings, RATE_PER_SHOPPER="0") as web:
            assert Crowd(web.url, sale, 20).click()
            web.stop()  # kills a process that has not ended after ten seconds
            assert web.popen
            assert web.popen.returncode != -signal.SIGKILL
