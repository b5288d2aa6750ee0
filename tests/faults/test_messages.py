"""What carries messages fails, or loses them: each only says that something may be looked at, so it costs
a moment and nothing else."""

from collections.abc import Iterator
from contextlib import AbstractContextManager

import pytest
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Origin

from conftest import MakeSale
from flashsale.redis.web_connections import TIMEOUT
from inventory.models import Sale
from storefront.live_sale import TICK
from tests import servers, stack
from tests.cast import Shopper
from tests.faults.outages import Crowd, final, settled_and_balanced, within
from tests.faults.proxy import Proxy

NEWS = b"\r\nmessage\r\n"  # Redis' word for what was published and is delivered now


@pytest.fixture(scope="module")
def broker() -> Iterator[Proxy]:
    with Proxy(servers.VALKEY.url).running() as proxy:
        yield proxy


@pytest.fixture(scope="module")
def channels() -> Iterator[Proxy]:
    with Proxy(servers.VALKEY.url).running() as proxy:
        yield proxy


@pytest.fixture(scope="module")
def cache() -> Iterator[Proxy]:
    with Proxy(servers.VALKEY.url).running() as proxy:
        yield proxy


@pytest.fixture(scope="module")
def web(broker: Proxy, channels: Proxy, cache: Proxy) -> Iterator[stack.Web]:
    proxied = {
        "CELERY_BROKER_URL": broker.url,
        "CHANNEL_URL": channels.url,
        "CACHE_URL": cache.url,
        "RATE_PER_SHOPPER": "0",
    }
    with stack.Web.running(**proxied) as web, stack.worker(**proxied):
        yield web


@pytest.mark.matrix("Celery's broker", "gone")
def test_a_broker_that_is_gone_delays_nobodys_click_and_the_caretaker_settles(
    web: stack.Web, broker: Proxy, make_sale: MakeSale
) -> None:
    assert_sold(web, make_sale(stock=20), broker.gone())


@pytest.mark.matrix("Celery's broker", "silent")
def test_a_broker_that_is_silent_delays_nobodys_click_and_the_caretaker_settles(
    web: stack.Web, broker: Proxy, make_sale: MakeSale
) -> None:
    assert_sold(web, make_sale(stock=20), broker.silent())


@pytest.mark.matrix("the cache's Redis", "gone")
def test_without_a_cache_everything_is_sold(
    web: stack.Web, cache: Proxy, make_sale: MakeSale
) -> None:
    assert_sold(web, make_sale(stock=20), cache.gone())


@pytest.mark.matrix("the cache's Redis", "silent")
def test_a_silent_cache_delays_nobody(web: stack.Web, cache: Proxy, make_sale: MakeSale) -> None:
    assert_sold(web, make_sale(stock=20), cache.silent())


@pytest.mark.matrix("the channel layer", "gone")
def test_pages_find_out_by_themselves_where_the_channel_layer_is_gone(
    web: stack.Web, channels: Proxy, make_sale: MakeSale
) -> None:
    assert_seen(web, make_sale(stock=20), channels.gone())


@pytest.mark.matrix("the channel layer", "silent")
def test_pages_find_out_by_themselves_where_the_channel_layer_is_silent(
    web: stack.Web, channels: Proxy, make_sale: MakeSale
) -> None:
    assert_seen(web, make_sale(stock=20), channels.silent())


@pytest.mark.matrix("the channel layer", "loses every message")
def test_pages_find_out_by_themselves_where_every_message_is_lost(
    web: stack.Web, channels: Proxy, make_sale: MakeSale
) -> None:
    assert_seen(web, make_sale(stock=20), channels.keeping_back(NEWS))


def assert_sold(web: stack.Web, sale: Sale, outage: AbstractContextManager[None]) -> None:
    shopper = Shopper(web.url)
    ticket, crowd = shopper.ticket(sale), Crowd(web.url, sale, 10)
    with outage:
        with within(TIMEOUT):
            accepted = shopper.buy(sale, ticket)
            answers = crowd.click()
        assert {answer.status_code for answer in [accepted, *answers]} == {202}
        assert final(shopper, accepted.json()["purchase"]) == "confirmed"
        assert settled_and_balanced(sale)


def assert_seen(web: stack.Web, sale: Sale, outage: AbstractContextManager[None]) -> None:
    """The stock by the socket all the same, the outcome when the page asks."""
    shopper = Shopper(web.url)
    ticket = shopper.ticket(sale)
    with outage, page_of(web, sale) as page:
        page.recv(stack.DEADLINE)  # as it is when the page is opened
        accepted = shopper.buy(sale, ticket)
        assert accepted.status_code == 202
        with within(2 * TICK):
            told = str(page.recv(stack.DEADLINE))
        assert 'data-left="19"' in told
        assert final(shopper, accepted.json()["purchase"]) == "confirmed"
    assert settled_and_balanced(sale)


def page_of(web: stack.Web, sale: Sale) -> ClientConnection:
    address = web.url.replace("http", "ws") + f"/ws/sales/{sale.slug}/"
    return connect(address, origin=Origin(web.url), proxy=None)
