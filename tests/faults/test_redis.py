"""Redis fails under a running shop: shoppers are answered in time, and nothing is lost or sold twice."""

import contextlib
import resource
import shutil
import signal
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from unittest.mock import patch

import httpx
import pytest

from conftest import MakeSale
from flashsale.redis import blocking_clients
from flashsale.redis.web_connections import TIMEOUT
from inventory.gate import replica
from orders import stock_changes
from storefront import own_purchases
from tests import servers, stack
from tests.cast import PAGE, Shopper, skus
from tests.faults.outages import Crowd, bought_again, final, settled_and_balanced, within
from tests.faults.proxy import Proxy
from tests.faults.rush import Rush

SELLING_AGAIN = 2.0  # seconds after an empty Redis is reached


@pytest.fixture(scope="module")
def redis() -> Iterator[Proxy]:
    with Proxy(servers.VALKEY.url).running() as proxy:
        yield proxy


@pytest.fixture(scope="module")
def postgresql() -> Iterator[Proxy]:
    """For the worker alone."""
    with Proxy(servers.POSTGRES.url).running() as proxy:
        yield proxy


@pytest.fixture(scope="module")
def worker(redis: Proxy, postgresql: Proxy) -> Iterator[stack.Process]:
    with stack.worker(REDIS_URL=redis.url, DATABASE_URL=postgresql.url) as worker:
        yield worker


@pytest.fixture(scope="module")
def web(redis: Proxy, worker: stack.Process) -> Iterator[stack.Web]:
    with stack.Web.running(REDIS_URL=redis.url, RATE_PER_SHOPPER="0") as web:
        yield web


@pytest.mark.matrix("Redis", "slow")
@pytest.mark.deep
def test_a_slow_redis_makes_answers_late_and_none_wrong(
    web: stack.Web, redis: Proxy, make_sale: MakeSale
) -> None:
    sale, shopper = make_sale(stock=5), Shopper(web.url)
    ticket = shopper.ticket(sale)
    with redis.slow(0.3):
        with within(TIMEOUT):
            accepted = shopper.buy(sale, ticket)
        assert accepted.status_code == 202
        assert final(shopper, accepted.json()["purchase"]) == "confirmed"
    assert settled_and_balanced(sale)


@pytest.mark.matrix("Redis", "silent")
@pytest.mark.deep
def test_a_crowd_in_front_of_a_silent_redis_is_told_to_ask_again_and_each_buys_once(
    web: stack.Web, redis: Proxy, make_sale: MakeSale
) -> None:
    sale, shopper = make_sale(stock=200), Shopper(web.url)
    bought = shopper.buy(sale).json()["purchase"]
    assert final(shopper, bought) == "confirmed"
    crowd = Crowd(web.url, sale, 100)
    with redis.silent():
        with within(2 * TIMEOUT):
            answers = crowd.click()
        assert {answer.status_code for answer in answers} == {503}
        assert all(answer.headers["retry-after"] for answer in answers)
        with within(own_purchases._PATIENCE):
            page = shopper.client.get(f"/sales/{sale.slug}/", headers=PAGE)
        assert page.status_code == 200
        with within(TIMEOUT):
            assert shopper.order(bought).json()["status"] == "confirmed"
    assert {answer.status_code for answer in crowd.click()} <= {200, 202}
    assert settled_and_balanced(sale)
    assert sale.orders.filter(status="confirmed").count() == 101


@pytest.mark.matrix("Redis", "gone")
def test_redis_away_and_back_under_a_running_shop(
    web: stack.Web, redis: Proxy, make_sale: MakeSale
) -> None:
    sale, shopper = make_sale(stock=300), Shopper(web.url)
    ticket, before, after = shopper.ticket(sale), *(Crowd(web.url, sale, 100) for _ in range(2))
    assert {answer.status_code for answer in before.click()} == {202}
    with valkey_gone(redis):
        with within(TIMEOUT):
            busy = shopper.buy(sale, ticket)
        assert (busy.status_code, busy.json()) == (503, {"error": "busy"})
        assert busy.headers["retry-after"]
        page = shopper.client.get(f"/sales/{sale.slug}/", headers=PAGE)
        assert page.status_code == 200
    assert final(shopper, bought_again(shopper, sale, ticket)) == "confirmed"
    # Nobody meets a connection from before.
    assert {answer.status_code for answer in after.click()} == {202}
    assert settled_and_balanced(sale)
    assert sale.orders.filter(status="confirmed").count() == 201


@pytest.mark.matrix("Redis", "wiped")
@pytest.mark.parametrize("how", ["flushed", "replaced by an empty one"])
@pytest.mark.deep
def test_a_wiped_redis_sells_again_in_the_middle_of_a_rush(
    web: stack.Web, redis: Proxy, make_sale: MakeSale, how: str, capsys: pytest.CaptureFixture[str]
) -> None:
    sale = make_sale(stock=150)
    wipe = flush if how == "flushed" else partial(replace, redis)
    with Rush(web.url, sale).going_on() as rush:
        paused = [selling_again_after(wipe, rush) for _ in range(5)]
        stack.wait_for(lambda: rush.sold_out, "sold out")
    said = ", ".join(f"{seconds:.2f}" for seconds in paused)
    with capsys.disabled():
        print(f"\n{how}: selling again after {statistics.median(paused):.2f} s (of {said})")
    fates = rush.fates()
    assert set(fates.values()) <= {"confirmed", "rejected", "lost, and refused"}
    assert settled_and_balanced(sale)  # nobody is over the limit of one
    assert sale.orders.filter(status="confirmed").count() == 150


def selling_again_after(wipe: Callable[[], None], rush: Rush) -> float:
    """Seconds until a click is accepted that was made after it."""
    began = time.monotonic()
    stack.wait_for(lambda: len(rush.accepted_since(began)) >= 10, "a rush")
    wipe()
    wiped = time.monotonic()
    stack.wait_for(lambda: rush.accepted_since(wiped), "selling again", 10 * SELLING_AGAIN)
    return rush.accepted_since(wiped)[0] - wiped


def flush() -> None:
    blocking_clients.client_of(0).flushall()


def replace(redis: Proxy) -> None:
    with valkey_gone(redis):
        shutil.rmtree(kept_by_valkey())


@pytest.mark.matrix("Redis", "restored from an old copy")
def test_an_old_copy_of_redis_sells_nothing_that_was_sold_since(
    web: stack.Web, redis: Proxy, postgresql: Proxy, make_sale: MakeSale, tmp_path: Path
) -> None:
    sale = make_sale(stock=10)
    early, late, last = (Crowd(web.url, sale, size) for size in (4, 5, 30))
    early.click()
    assert settled_and_balanced(sale)
    shutil.copytree(kept_by_valkey(), tmp_path / "copy")
    late.click()
    assert settled_and_balanced(sale)
    with valkey_gone(redis):
        shutil.rmtree(kept_by_valkey())
        shutil.copytree(tmp_path / "copy", kept_by_valkey())
    # Clicked without pause from the first moment on, while the gates are told slowly: none may answer
    # before it was.
    with postgresql.slow(0.1), within(SELLING_AGAIN):
        answers = stack.wait_for(lambda: decided(last.click()), "selling again")
    assert sorted(answers) == ["accepted", *["sold_out"] * 29]
    assert {one.json()["status"] for one in late.click()} == {"confirmed"}
    assert settled_and_balanced(sale)


def decided(answers: list[httpx.Response]) -> list[str]:
    """What each was told, unless somebody is still to try again."""
    if any(answer.status_code == 503 for answer in answers):
        return []
    return ["accepted" if a.status_code in (200, 202) else a.json()["reason"] for a in answers]


@pytest.mark.matrix("Redis", "out of memory")
def test_a_full_memory_takes_no_click_and_settles_what_it_took(
    web: stack.Web, worker: stack.Process, make_sale: MakeSale
) -> None:
    sale, shopper = make_sale(stock=30), Shopper(web.url)
    ticket, crowd = shopper.ticket(sale), Crowd(web.url, sale, 20)
    with contextlib.ExitStack() as meanwhile:
        with frozen(worker):
            assert {answer.status_code for answer in crowd.click()} == {202}
            meanwhile.enter_context(memory_full())
        assert settled_and_balanced(sale)
        with within(TIMEOUT):
            busy = shopper.buy(sale, ticket)
        assert (busy.status_code, busy.json()) == (503, {"error": "busy"})
        stock_changes.restock(
            sale.variants.get().pk, 5, by="staff"
        )  # the gate is told all the same
        assert replica.read_view(sale.pk).left(skus(sale)[0]) == 15
    assert final(shopper, bought_again(shopper, sale, ticket)) == "confirmed"
    assert settled_and_balanced(sale)


@pytest.mark.matrix("Redis", "out of memory when it starts")
def test_a_gate_is_rebuilt_in_a_full_memory(
    web: stack.Web, worker: stack.Process, make_sale: MakeSale
) -> None:
    sale = make_sale(stock=30)
    crowd = Crowd(web.url, sale, 20)
    with contextlib.ExitStack() as meanwhile:
        with frozen(worker):
            assert {answer.status_code for answer in crowd.click()} == {202}
            before = replica.read_view(sale.pk).epoch
            blocking_clients.client_of(0).script_flush()  # as a restart does
            meanwhile.enter_context(memory_full())
        stack.wait_for(lambda: replica.read_view(sale.pk).epoch != before, "the gate is rebuilt")
        assert settled_and_balanced(sale)
    assert {answer.status_code for answer in crowd.click()} == {200}


@pytest.mark.matrix("Redis", "its disk full")
def test_a_full_disk_ends_redis_and_loses_nobody_who_was_accepted(
    web: stack.Web, redis: Proxy, make_sale: MakeSale
) -> None:
    sale = make_sale(stock=10_000)
    accepted: list[tuple[Shopper, str]] = []

    def buy_until_it_ends() -> bool:
        shopper = Shopper(web.url)
        with within(2 * TIMEOUT):
            answer = shopper.buy(sale)
        assert answer.status_code in (202, 503)
        if answer.status_code == 202:
            accepted.append((shopper, answer.json()["purchase"]))
        return not servers.VALKEY.alive()

    with disk_nearly_full(redis):
        stack.wait_for(buy_until_it_ends, "its disk is full")
        assert "Exiting" in servers.VALKEY.log.read_text().splitlines()[-1]
    assert accepted
    assert {final(*one) for one in accepted} == {"confirmed"}
    assert settled_and_balanced(sale)


@contextlib.contextmanager
def disk_nearly_full(redis: Proxy) -> Iterator[None]:
    """Valkey finds room for a few purchases more. A limit on its files fails as a full disk does, if it
    ignores the signal that comes with it: Python would have its children die of that."""
    popen = partial(subprocess.Popen, restore_signals=False)
    with patch("flashsale.local.valkey.subprocess.Popen", popen), valkey_gone(redis):
        pass
    pid = servers.VALKEY.pid
    assert pid
    files = [servers.VALKEY.log, *kept_by_valkey().iterdir()]  # its log is to say why it ends
    largest = max(path.stat().st_size for path in files)
    hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)[1]
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (largest + 20_000, hard))
    try:
        yield
    finally:
        with valkey_gone(redis):  # and room again
            pass


@contextlib.contextmanager
def valkey_gone(redis: Proxy) -> Iterator[None]:
    with redis.gone():
        servers.VALKEY.kill()
        stack.wait_for(lambda: not servers.VALKEY.alive(), "Valkey is gone")
        try:
            yield
        finally:
            servers.VALKEY.start()


def kept_by_valkey() -> Path:
    """Its append-only file, which is several."""
    return servers.VALKEY.folder / "appendonlydir"


@contextlib.contextmanager
def memory_full() -> Iterator[None]:
    blocking_clients.client_of(0).config_set("maxmemory", 1)
    try:
        yield
    finally:
        blocking_clients.client_of(0).config_set("maxmemory", 0)


@contextlib.contextmanager
def frozen(process: stack.Process) -> Iterator[None]:
    process.signal(signal.SIGSTOP)
    try:
        yield
    finally:
        process.signal(signal.SIGCONT)
