"""`/metrics` answers holders of the token, and its figures are right."""

from collections import Counter
from collections.abc import Iterator

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from conftest import MakeSale
from flashsale.observe import telemetry, telemetry_reader
from inventory.models import Sale
from orders import settlement
from tests import deadlines, stack
from tests.cast import Shopper

TOKEN = "a-token-of-the-tests"
ASKING = {"Authorization": f"Bearer {TOKEN}"}


@pytest.fixture(scope="module")
def web() -> Iterator[str]:
    with stack.Web.running(METRICS_TOKEN=TOKEN) as web:
        yield web.url


Scraped = dict[tuple[str, frozenset[tuple[str, str]]], float]


def scraped(url: str) -> Scraped:
    reply = httpx.get(f"{url}/metrics", headers=ASKING, timeout=deadlines.seconds(20))
    assert reply.status_code == 200
    assert reply.headers["content-type"].startswith("text/plain; version=")
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(reply.text)
        for sample in family.samples
    }


def one(found: Scraped, name: str, **labels: str) -> float:
    return found[f"flashsale_{name}", frozenset(labels.items())]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 403),
        ({"Authorization": "Bearer other"}, 403),
        ({"Authorization": TOKEN}, 403),
        (ASKING, 200),
    ],
)
def test_only_the_token_opens_it(web: str, headers: dict[str, str], status: int) -> None:
    assert (
        httpx.get(f"{web}/metrics", headers=headers, timeout=deadlines.seconds(20)).status_code
        == status
    )


def test_without_a_token_it_is_not_there() -> None:
    with stack.Web.running() as web:
        assert (
            httpx.get(f"{web.url}/metrics", headers={"Authorization": "Bearer x"}).status_code
            == 404
        )


def test_it_counts_what_happened(web: str, make_sale: MakeSale) -> None:
    sale = make_sale(stock=7)
    before = scraped(web)
    buy(web, sale, 3)
    settlement.settle(sale.pk)
    buy(web, sale, 1)
    stack.wait_for(lambda: is_complete(web, sale), "all is passed on")
    now = scraped(web)
    assert one(now, "clicks_total", sale=sale.slug, answer="sold_out") == 0
    assert one(now, "sale_line_purchases", sale=sale.slug) == 1
    assert one(now, "sale_confirmed_orders", sale=sale.slug) == 3
    assert one(now, "sale_gate_ready", sale=sale.slug) == 1
    assert one(now, "sale_version", sale=sale.slug) == one(now, "sale_gate_version", sale=sale.slug)
    assert one(now, "units_left", sale=sale.slug, product=sale.variants.get().sku) == 3
    assert one(now, "store_up", store="postgresql") == 1
    assert one(now, "processes", role="web") >= 1
    timed = one(now, "click_seconds_count") - one(before, "click_seconds_count")
    assert timed >= 4
    assert one(now, "click_seconds_bucket", le="+Inf") == one(now, "click_seconds_count")
    assert one(now, "click_seconds_sum") > 0


def buy(web: str, sale: Sale, times: int) -> None:
    for _ in range(times):
        shopper = Shopper(web)
        assert shopper.buy(sale, shopper.ticket(sale)).status_code == 202


def is_complete(web: str, sale: Sale) -> bool:
    return one(scraped(web), "clicks_total", sale=sale.slug, answer="accepted") == 4


def test_times_are_counted_up_to_each_bound() -> None:
    timed = Counter({telemetry._bucket(seconds): 2 for seconds in (0.004, 0.2, 30)})
    assert telemetry_reader.count_up_to(timed, (0.005, 0.25, 10, float("inf"))) == [2, 4, 4, 6]
    assert telemetry_reader.total_seconds(timed) == pytest.approx(60.4, rel=0.05)
