"""The limiter and the circuit in front of a provider."""

import threading
from functools import partial

import pytest
from django.db import connection, transaction

from conftest import MakeSale
from orders.models import Order
from payments.paying import Unavailable
from payments.providers import guard, registry
from payments.providers.base import Busy, NoAnswer, Refused, Seen, Stage, Started
from payments.providers.guard import Guarded
from payments.tests.cast import Faulty, begin, held, paid_sale
from tests import deadlines
from tests.cast import at_once

ANSWER = Seen(Stage.OPEN, 100, "EUR")


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(guard, "time", clock)
    return clock


class Line:
    """A provider's line: it answers, or raises what a test says."""

    def __init__(self) -> None:
        self.error: Exception | None = None

    def fetch(self, real: object, reference: str) -> Seen:
        if self.error:
            raise self.error
        return ANSWER


def guarded(line: Line, rate: int = 0) -> tuple[Guarded, Faulty]:
    provider = Faulty(fetch=line.fetch)
    return Guarded(provider, rate), provider


def test_so_many_calls_a_second_pass_and_the_rest_waits_or_is_refused(clock: Clock) -> None:
    began = clock.now
    limited, provider = guarded(Line(), rate=25)
    for _ in range(25):
        limited.fetch("x")
    assert clock.now == began  # a burst
    for _ in range(25):
        limited.fetch("x")
    assert clock.now == pytest.approx(began + 1)
    assert len(provider.calls) == 50


def test_a_call_that_would_wait_too_long_is_refused_with_the_time_to_wait(clock: Clock) -> None:
    limiter = guard.Limiter(2)
    clock.sleep = lambda seconds: None  # type: ignore[method-assign]  # others wait at the same time
    for _ in range(4):
        limiter.take()
    with pytest.raises(Busy) as refused:
        limiter.take()
    assert refused.value.retry_after == pytest.approx(1.5)


def test_kinds_of_calls_have_limits_of_their_own(clock: Clock) -> None:
    limited, _ = guarded(Line(), rate=1)
    began = clock.now
    limited.fetch("x")
    with pytest.raises(Refused):
        limited.void("not a payment", "key")
    assert clock.now == began


def test_a_provider_that_does_not_answer_is_left_alone_and_tried_again(clock: Clock) -> None:
    line = Line()
    limited, provider = guarded(line)
    line.error = NoAnswer("down")
    for _ in range(guard.FAILURES):
        with pytest.raises(NoAnswer):
            limited.fetch("x")
    with pytest.raises(Busy) as refused:
        limited.fetch("x")
    assert 0 < refused.value.retry_after <= guard.OPEN_FOR
    assert len(provider.calls) == guard.FAILURES
    clock.now += guard.OPEN_FOR
    with pytest.raises(NoAnswer):
        limited.fetch("x")  # one tries
    with pytest.raises(Busy):
        limited.fetch("x")
    clock.now += guard.OPEN_FOR
    line.error = None
    assert limited.fetch("x") == ANSWER
    assert limited.fetch("x") == ANSWER


@pytest.mark.parametrize("error", [Refused("no"), Busy("429")])
def test_a_refusal_is_an_answer(clock: Clock, error: Exception) -> None:
    line = Line()
    limited, provider = guarded(line)
    line.error = error
    for _ in range(guard.FAILURES + 2):
        with pytest.raises(type(error)):
            limited.fetch("x")
    assert len(provider.calls) == guard.FAILURES + 2


def test_a_fault_of_ours_is_an_answer_that_is_lost(clock: Clock) -> None:
    line = Line()
    limited, _ = guarded(line)
    line.error = KeyError("amount")
    with pytest.raises(NoAnswer):
        limited.fetch("x")


def test_pay_is_answered_at_once_while_the_provider_is_down_and_the_hold_is_kept(
    make_sale: MakeSale, monkeypatch: pytest.MonkeyPatch
) -> None:
    def down(real: object, asked: object) -> Started:
        raise NoAnswer("down")

    provider = Faulty(start=down)
    monkeypatch.setitem(registry._made, "demo", Guarded(provider, 0))
    orders = held(paid_sale(make_sale, stock=guard.FAILURES + 1), guard.FAILURES + 1)
    for order in orders:
        with pytest.raises(Unavailable) as refused:
            begin(order)
        assert refused.value.retry_after <= guard.OPEN_FOR
    assert len(provider.calls) == guard.FAILURES
    kept = Order.objects.filter(pk__in=[order.pk for order in orders], status="held")
    assert kept.count() == len(orders)


def test_a_provider_that_hangs_takes_only_so_many_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    hangs, reached = threading.Event(), threading.Semaphore(0)

    def hang(real: object, reference: str) -> Seen:
        reached.release()
        hangs.wait(deadlines.seconds(20))
        return ANSWER

    monkeypatch.setattr(guard, "PATIENCE", 0.01)
    limited = Guarded(Faulty(fetch=hang), 0)
    waiting = [
        threading.Thread(target=partial(limited.fetch, "x"), daemon=True)
        for _ in range(guard.AT_ONCE)
    ]
    for thread in waiting:
        thread.start()
    for _ in waiting:
        assert reached.acquire(timeout=deadlines.seconds(10))
    [refused] = at_once(partial(limited.fetch, "x"))
    assert isinstance(refused, Busy)
    hangs.set()
    for thread in waiting:
        thread.join(deadlines.seconds(10))
    assert limited.fetch("x") == ANSWER


def test_no_connection_to_postgresql_is_kept_while_a_provider_is_called() -> None:
    kept: list[object] = []

    def look(real: object, reference: str) -> Seen:
        kept.append(connection.connection)
        return ANSWER

    Order.objects.exists()
    Guarded(Faulty(fetch=look), 0).fetch("x")
    assert kept == [None]


def test_no_provider_is_called_in_a_transaction() -> None:
    limited, provider = guarded(Line())
    with pytest.raises(transaction.TransactionManagementError), transaction.atomic():
        limited.fetch("x")
    assert provider.calls == []
