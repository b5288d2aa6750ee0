"""Serve `/metrics`: the dashboard's figures in Prometheus' format, for holders of the token.

Every web process answers for the whole shop, from the counts of all processes: scrape any one of them.
The sales are those that the dashboard shows.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.utils.crypto import constant_time_compare
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from dashboard.reading import observer
from dashboard.snapshot import SaleFigures, Snapshot
from flashsale.observe import telemetry, telemetry_reader

BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)  # seconds


@require_safe
@never_cache
def metrics(request: HttpRequest) -> HttpResponse:
    """404 if METRICS_TOKEN is not set, which switches the metrics off; 403 without the token."""
    if not settings.METRICS_TOKEN:
        return HttpResponse("No METRICS_TOKEN is set.\n", status=404, content_type="text/plain")
    given = request.headers.get("Authorization", "")
    if not constant_time_compare(given, f"Bearer {settings.METRICS_TOKEN}"):
        return HttpResponse(
            "The token is missing or wrong.\n", status=403, content_type="text/plain"
        )
    registry = CollectorRegistry()
    registry.register(_SnapshotCollector(observer().look()))
    return HttpResponse(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)


class _SnapshotCollector(Collector):
    """Collects the metrics of one snapshot."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot

    def collect(self) -> Iterable[Metric]:
        return families(self._snapshot)


def families(snapshot: Snapshot) -> Iterator[Metric]:
    """Yield all metrics. A figure whose store cannot be read is left out."""
    yield from _of_sales(snapshot.sales)
    timed = snapshot.timed
    yield _histogram("click", "From a click to its answer, accepted clicks only", timed.accept)
    yield _histogram("confirm", 'From a click to "secured" on its way to the page', timed.confirm)
    yield GaugeMetricFamily("flashsale_sockets", "Open pages with a socket", snapshot.sockets)
    processes = GaugeMetricFamily("flashsale_processes", "Live processes", labels=["role"])
    for role in ("web", "worker", "beat"):
        processes.add_metric([role], snapshot.alive(role))
    yield processes
    yield from _of_mails(snapshot)
    up = GaugeMetricFamily("flashsale_store_up", "1 if the store answers", labels=["store"])
    for part in snapshot.parts:
        up.add_metric([part.name.lower()], part.ok)
    yield up
    yield from _of_payments(snapshot)
    yield _of_draws(snapshot)
    alarms = GaugeMetricFamily(
        "flashsale_alarms",
        "Alarms of the dashboard; docs/running-a-sale.md says what to do",
        labels=["code"],
    )
    for code in sorted({alarm.code for alarm in snapshot.alarms}):
        alarms.add_metric([code], sum(alarm.code == code for alarm in snapshot.alarms))
    yield alarms


def _of_payments(snapshot: Snapshot) -> Iterator[Metric]:
    figures = snapshot.payments
    for name, words, counted in (
        ("flashsale_payments", "Attempts to pay", figures.attempts),
        ("flashsale_refunds", "Refunds", figures.refunds),
    ):
        family = GaugeMetricFamily(name, words, labels=["state"])
        for state in sorted(counted):
            family.add_metric([state], counted[state])
        yield family
    yield GaugeMetricFamily(
        "flashsale_payment_unknown_seconds",
        "For how long the end of the oldest unknown payment has been so",
        figures.oldest_unknown,
    )
    yield CounterMetricFamily(
        "flashsale_payment_events_forged",
        "Events that no payment provider signed",
        snapshot.timed.payments["forged"],
    )


def _of_draws(snapshot: Snapshot) -> Metric:
    words = "For how long a draw that is due has not moved, from a minute on"
    late = GaugeMetricFamily("flashsale_draw_late_seconds", words, labels=["sale"])
    for each in snapshot.late_draws:
        late.add_metric([each.sale.slug], (snapshot.at - each.since).total_seconds())
    return late


_READY = {"ready": 1, "not_ready": 0}  # a draft has no gate

_GAUGES: dict[str, tuple[str, Callable[[SaleFigures], float | None]]] = {
    "line_purchases": ("Purchases that wait in the line", lambda seen: seen.waiting),
    "line_age_seconds": (
        "How long the head of the line has waited",
        lambda seen: _seconds(seen.oldest),
    ),
    "version": ("Version of the sale in PostgreSQL", lambda seen: seen.sale.version),
    "gate_version": ("Version of the gate", lambda seen: seen.gate_version),
    "gate_ready": ("1 if the gate is ready, else 0", lambda seen: _READY.get(seen.gate)),
    "poison_orders": ("Purchases that could not be processed", lambda seen: seen.poison),
    "waiting_orders": (
        "Orders that wait, for a draw or on standby",
        lambda seen: sum(seen.sale.waiting.values()),
    ),
    "held_orders": ("Orders whose units are held", lambda seen: seen.sale.held),
    "confirmed_orders": ("Orders confirmed and not cancelled", lambda seen: seen.sale.confirmed),
}


def _of_sales(sales: list[SaleFigures]) -> Iterator[Metric]:
    clicks = CounterMetricFamily("flashsale_clicks", "Clicks by answer", labels=["sale", "answer"])
    settled = CounterMetricFamily("flashsale_settled", "Purchases decided", labels=["sale"])
    for figures in sales:
        slug = figures.sale.slug
        for answer in telemetry.ANSWERS:
            clicks.add_metric([slug, answer], figures.total[answer])
        settled.add_metric([slug], figures.settled_total)
    yield clicks
    yield settled
    for name, (words, of) in _GAUGES.items():
        family = GaugeMetricFamily(f"flashsale_sale_{name}", words, labels=["sale"])
        for figures in sales:
            if (value := of(figures)) is not None:
                family.add_metric([figures.sale.slug], value)
        yield family
    left = GaugeMetricFamily(
        "flashsale_units_left", "Units that can be bought now", labels=["sale", "product"]
    )
    for figures in sales:
        for variant in figures.variants:
            if variant.left is not None:
                left.add_metric([figures.sale.slug, variant.variant.sku], variant.left)
    yield left


def _of_mails(snapshot: Snapshot) -> Iterator[Metric]:
    mails = snapshot.mails
    counted = CounterMetricFamily("flashsale_mails", "Mails by outcome", labels=["outcome"])
    for outcome in telemetry.MAILS:
        counted.add_metric([outcome], snapshot.timed.mails[outcome])
    yield counted
    yield GaugeMetricFamily("flashsale_mails_waiting", "Mails that are not sent yet", mails.waiting)
    age = (snapshot.at - mails.oldest).total_seconds() if mails.oldest else 0.0
    words = "How long the oldest of these has waited"
    yield GaugeMetricFamily("flashsale_mails_age_seconds", words, max(0.0, age))


def _seconds(milliseconds: int | None) -> float | None:
    return None if milliseconds is None else milliseconds / 1000


def _histogram(name: str, words: str, buckets: Counter[int]) -> HistogramMetricFamily:
    bounds = (*BOUNDS, math.inf)
    counts = telemetry_reader.count_up_to(buckets, bounds)
    labels = [f"{bound:g}" if bound < math.inf else "+Inf" for bound in bounds]
    return HistogramMetricFamily(
        f"flashsale_{name}_seconds",
        words,
        buckets=list(zip(labels, counts, strict=True)),
        sum_value=telemetry_reader.total_seconds(buckets),
    )
