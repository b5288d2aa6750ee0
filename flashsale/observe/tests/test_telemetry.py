"""The dashboard reads the counts of all processes: nothing twice, nothing lost."""

import json
import os
import random
import statistics
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
import redis

from flashsale.observe import telemetry, telemetry_reader
from flashsale.redis import blocking_clients
from tests import stack
from tests.cast import at_once
from tests.stack import wait_for

SALE = 4_000_000_000  # no other test's
ME = "web:tests:1:abcd"


@pytest.fixture(autouse=True)
def nothing_counted() -> Iterator[None]:
    for kept in (telemetry._seconds, telemetry._sales, telemetry._clicked):
        kept.clear()
    yield
    blocking_clients.telemetry_client().delete(f"telemetry:sale:{SALE}")


def counted() -> Counter[str]:
    telemetry.flush(ME)
    return telemetry_reader.totals([SALE])[SALE].clicks[SALE]


def test_clicks_are_counted_by_sale_and_answer() -> None:
    for answer in ("accepted", "accepted", "sold_out"):
        telemetry.count_click(SALE, answer)
    assert counted() == {"accepted": 2, "sold_out": 1}
    telemetry._unwritten_sales.add(SALE)
    assert counted() == {"accepted": 2, "sold_out": 1}  # written again after a lost reply


def test_what_processes_have_counted_adds_up() -> None:
    telemetry.count_click(SALE, "accepted")
    telemetry.flush("web:tests:2:before-it-was-started-again")
    assert counted() == {"accepted": 1}
    telemetry.count_click(SALE, "accepted")
    assert counted() == {"accepted": 3}  # this one counted two since it began, the other one


def test_threads_lose_no_count() -> None:
    def click() -> None:
        for _ in range(2000):
            telemetry.count_click(SALE, "limit")

    at_once(*[click] * 8, *[partial(telemetry.flush, ME)] * 4)
    assert counted() == {"limit": 16_000}


def test_an_older_count_is_not_written_over_a_newer_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that ends writes what it has counted, while its thread may be doing so."""
    execute, slow, overtaken = redis.client.Pipeline.execute, threading.Event(), threading.Event()

    def execute_slowly(pipe: Any) -> Any:
        if not slow.is_set():
            slow.set()
            overtaken.wait(1)  # which it is at once, where nothing forbids it
        return execute(pipe)

    def overtake() -> None:
        assert slow.wait(stack.DEADLINE)
        telemetry.count_click(SALE, "limit")
        telemetry.flush(ME)
        overtaken.set()

    telemetry.count_click(SALE, "limit")
    with monkeypatch.context() as patch:
        patch.setattr(redis.client.Pipeline, "execute", execute_slowly)
        assert at_once(partial(telemetry.flush, ME), overtake) == [None, None]
    assert counted() == {"limit": 2}


def test_what_redis_does_not_take_is_passed_on_later(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise redis.ConnectionError("away")

    telemetry.count_click(SALE, "closed")
    with monkeypatch.context() as patch:
        patch.setattr(redis.client.Pipeline, "execute", refuse)
        with pytest.raises(redis.ConnectionError):
            telemetry.flush(ME)
    assert counted() == {"closed": 1}


def test_a_second_stays_where_it_was_counted() -> None:
    telemetry.flush(ME)
    telemetry.count_settled(SALE, 7)
    [second] = telemetry._seconds
    telemetry.flush(ME)
    history = telemetry_reader.History(seconds=120)  # on a busy machine seconds pass in here

    def found() -> list[int]:
        return [s.at for s in history.read() if s.settled[SALE] == 7]

    assert wait_for(found, "the second is over") == [second]
    assert len(history.read()) == 120


def test_what_was_counted_is_forgotten_after_its_time() -> None:
    """Each second of a shop's life would stay in Redis for ever."""
    telemetry.count_click(SALE, "limit")
    [second] = telemetry._seconds
    telemetry.flush(ME)
    redis = blocking_clients.telemetry_client()
    for key, kept in (
        (telemetry.second_key(second), telemetry.KEPT),
        (telemetry.totals_key(SALE), telemetry._TOTALS_KEPT),
    ):
        assert kept - 60 < redis.ttl(key) <= kept


def test_percentiles_are_right_to_within_three_per_cent() -> None:
    taken = [random.lognormvariate(2, 1) / 1000 for _ in range(5000)]
    found = telemetry_reader.latency(Counter(telemetry._bucket(seconds) for seconds in taken))
    cuts = statistics.quantiles([seconds * 1000 for seconds in taken], n=100)
    assert found.p50 == pytest.approx(cuts[49], rel=0.03)
    assert found.p95 == pytest.approx(cuts[94], rel=0.03)
    assert found.p99 == pytest.approx(cuts[98], rel=0.05)
    assert telemetry_reader.latency(Counter()).p50 is None


def timed(kind: str) -> Counter[int]:
    """Buckets that were counted, of `accept` or `confirm`."""
    names = [name for second in telemetry._seconds.values() for name in second.elements()]
    return Counter(int(name.split("|")[1]) for name in names if name.startswith(kind))


def test_a_click_is_timed_to_its_answer_and_to_its_confirmation() -> None:
    telemetry.count_accepted("a", time.perf_counter() - 0.1)
    telemetry._clicked["a"] -= 0.2
    telemetry.count_outcomes([("a", "confirmed")])
    accept, confirm = (
        telemetry_reader.latency(timed("accept")),
        telemetry_reader.latency(timed("confirm")),
    )
    assert accept.p50
    assert confirm.p50
    assert 97 <= accept.p50 < 1_000  # ms
    assert 291 <= confirm.p50 < 3_000


def test_only_confirmations_of_its_own_clicks_are_timed_and_each_once() -> None:
    clicked_at = time.perf_counter()
    for purchase, status in (("a", "confirmed"), ("b", "rejected"), ("c", "confirmed")):
        telemetry.count_accepted(purchase, clicked_at)
        telemetry.count_outcomes([(purchase, status)])
        telemetry.count_outcomes([(purchase, status)])  # announced twice, counted once
    telemetry.count_outcomes([("of another process", "confirmed")])
    assert (timed("accept").total(), timed("confirm").total()) == (3, 2)


def test_what_is_too_old_is_forgotten_also_while_redis_is_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def away() -> redis.Redis:
        raise redis.ConnectionError("away")

    telemetry.count_accepted("old", time.perf_counter() - telemetry._GIVEN_UP - 1)
    telemetry.count_accepted("new", time.perf_counter())
    telemetry._seconds[1] = Counter({f"clicks|{SALE}|limit": 1})
    telemetry._unwritten_seconds.add(1)
    with monkeypatch.context() as patch:
        patch.setattr(blocking_clients, "telemetry_client", away)
        with pytest.raises(redis.ConnectionError):
            telemetry.flush(ME)
    assert list(telemetry._clicked) == ["new"]
    assert 1 not in telemetry._seconds


def test_what_is_over_and_written_down_is_not_kept_here() -> None:
    now = int(time.time())
    for age in (0, 5, 60):
        telemetry._seconds[now - age] = Counter({f"clicks|{SALE}|limit": 1})
        telemetry._unwritten_seconds.add(now - age)
    telemetry.flush(ME)
    telemetry.flush(ME)
    assert {now - second for second in telemetry._seconds} == {0, 5}
    assert {s.at for s in telemetry_reader.History(seconds=90).read() if s.answers["limit"]} >= {
        now - 60
    }


def test_what_a_process_counted_last_is_not_lost_with_it() -> None:
    sale = f"{os.getpid()}{time.monotonic_ns() % 10**6}"
    counts = f"from flashsale.observe import telemetry as t; t.start('worker'); t.count_settled({sale}, 3)"
    code = f"import django; django.setup(); {counts}"
    subprocess.run([sys.executable, "-c", code], cwd=stack.ROOT, check=True, timeout=stack.DEADLINE)
    assert telemetry_reader.totals([int(sale)])[int(sale)].settled.total() == 3


def test_a_process_that_falls_silent_is_not_alive_and_in_the_end_not_there() -> None:
    now = time.time()
    for name, age in (("worker:a:1:x", 0), ("worker:b:2:x", 20), ("worker:c:3:x", 100)):
        written = json.dumps({"at": now - age, "sockets": 3})
        blocking_clients.telemetry_client().hset(telemetry.PROCESSES_KEY, name, written)
    ours = [process for process in telemetry_reader.processes() if process.host in "abc"]
    assert [(process.host, process.alive) for process in ours] == [("a", True), ("b", False)]
    assert ours[0].gauges == {"sockets": 3}
    blocking_clients.telemetry_client().hdel(
        telemetry.PROCESSES_KEY, "worker:a:1:x", "worker:b:2:x"
    )


@pytest.mark.parametrize(
    "written",
    [
        *("", "x", "[]", "7", '{"clicks|x|limit": 1}', '{"clicks": 1}', '{"accept|999999|": 1}'),
        *(
            "[" * 100_000,
            '{"clicks|1|limit": "many"}',
            '{"clicks|1|limit": 1e400}',
            '{"settled|1|": null}',
        ),
    ],
)
def test_what_no_process_of_ours_has_written_is_passed_over(written: str) -> None:
    second = telemetry_reader.Second(1)
    second.take({"another program": written, "ours": '{"clicks|1|limit": 2}'})
    assert second.answers == {"limit": 2}
    assert telemetry_reader.latency(second.accept) == telemetry_reader.Latency()
    strange: dict[Any, Any] = {"nobody": written, "web:a:b:c": written, "web:a:1:x": '{"at": null}'}
    blocking_clients.telemetry_client().hset(telemetry.PROCESSES_KEY, mapping=strange)
    assert not [process for process in telemetry_reader.processes() if process.host == "a"]
    blocking_clients.telemetry_client().hdel(telemetry.PROCESSES_KEY, *strange)


def test_a_process_that_was_heard_of_in_the_future_is_not_alive() -> None:
    """Redis' clock was put back, so the age is unknown."""
    name, written = "worker:ahead:1:x", json.dumps({"at": time.time() + 30})
    blocking_clients.telemetry_client().hset(telemetry.PROCESSES_KEY, name, written)
    [process] = [process for process in telemetry_reader.processes() if process.host == "ahead"]
    assert not process.alive
    blocking_clients.telemetry_client().hdel(telemetry.PROCESSES_KEY, name)


def test_bytes_of_other_programs_are_passed_over() -> None:
    blocking_clients.client_of(0).hset(telemetry.PROCESSES_KEY, b"\xff", b"\xfe")
    telemetry_reader.processes()
    blocking_clients.client_of(0).hdel(telemetry.PROCESSES_KEY, b"\xff")


def test_all_clicks_of_all_sales_add_up() -> None:
    seconds = [telemetry_reader.Second(1), telemetry_reader.Second(2)]
    for second in seconds:
        written = {"clicks|1|accepted": 2, "clicks|2|accepted": 3, "settled|1|": 4}
        second.take({"a process": json.dumps(written)})
    whole = telemetry_reader.merge(seconds)
    assert (whole.at, whole.answers["accepted"], whole.settled[1]) == (2, 10, 8)
    assert telemetry_reader.latency(whole.accept) == telemetry_reader.Latency()
