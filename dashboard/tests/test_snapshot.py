"""The figures of staff are right, alarms say why, and a store that is down takes only its own figures."""

import re
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from uuid import uuid4

import pytest
import redis
from django.db import OperationalError, transaction
from django.db.models import F

from conftest import MakeSale
from dashboard import alarms as alarms_module
from dashboard import bounded_call, snapshot, stores
from dashboard.bounded_call import BoundedCall
from dashboard.reading import Observer
from dashboard.snapshot import SaleFigures
from flashsale.observe import telemetry
from flashsale.redis import blocking_clients
from inventory.gate import replica
from inventory.gate.scripts import keys
from inventory.models import Sale
from orders import cancellation, finishing, replication, sale_lifecycle, settlement
from orders.models import Order
from tests import deadlines
from tests.cast import click, end_holds, queue_up, run_caretaker
from tests.stack import ROOT, wait_for


@pytest.fixture(autouse=True)
def all_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also the sales that other tests have left."""
    monkeypatch.setattr(stores, "SHOWN", 1000)
    monkeypatch.setattr(stores, "_OVER_SHOWN", 1000)


def of(sale: Sale, observer: Observer | None = None) -> SaleFigures:
    found = (observer or Observer()).look().sales
    return next(figures for figures in found if figures.sale.pk == sale.pk)


def alarms(observer: Observer) -> set[str]:
    return {alarm.code for alarm in observer.look().alarms}


def test_every_answer_has_a_colour_of_its_own_in_the_charts_light_and_dark() -> None:
    style = (ROOT / "static/css/dashboard.css").read_text()
    colours = re.findall(r"--series-(\d+): (#\w+);", style)
    assert [int(number) for number, _ in colours] == [*range(len(telemetry.ANSWERS))] * 2
    assert len({colour for _, colour in colours}) == len(colours)


def test_what_is_in_the_line_is_in_flight_and_not_left(make_sale: MakeSale) -> None:
    sale = make_sale(stock=5)
    queue_up(sale, 2)
    seen = of(sale)
    assert (seen.left, seen.in_flight, seen.waiting, seen.sale.confirmed) == (3, 2, 2, 0)
    settlement.settle(sale.pk)
    seen = of(sale)
    assert (seen.left, seen.in_flight, seen.waiting, seen.sale.confirmed) == (3, 0, 0, 2)


def test_a_cancelled_order_is_not_confirmed_any_more(make_sale: MakeSale) -> None:
    sale = make_sale(stock=5)
    first, _ = queue_up(sale, 2)
    settlement.settle(sale.pk)
    cancellation.cancel_order(first, by="staff")
    assert of(sale).sale.confirmed == 1


def test_drafts_and_what_is_over_are_shown_as_such(make_sale: MakeSale) -> None:
    draft, over = make_sale(live=False), make_sale()
    sale_lifecycle.end(over.pk, by="staff")
    assert (of(draft).phase, of(draft).gate) == ("draft", "none")
    assert of(over).phase == "ended"
    finishing.finish_sale(over.pk)
    assert of(over).gate == "none"


def test_a_hold_that_should_have_expired_is_an_alarm_until_it_has(make_sale: MakeSale) -> None:
    sale, observer = make_sale(stock=1, hold=10), Observer()
    queue_up(sale, 1)
    settlement.settle(sale.pk)
    for ends_in, overdue in ((-55, 0), (-65, 1)):
        end_holds(sale, ends_in)
        assert observer.look().overdue_holds.get(sale, 0) == overdue
    alarm = f"{sale}: 1 holds ended more than a minute ago, and still keep their units."
    assert alarm in [alarm.words for alarm in observer.look().alarms]
    run_caretaker()
    assert sale not in observer.look().overdue_holds


def test_a_gate_that_is_not_ready_is_an_alarm(make_sale: MakeSale) -> None:
    sale = make_sale()
    replica.begin_epoch([sale.pk], "not_ready")
    assert of(sale).gate == "not_ready"
    assert "gate-not-ready" in alarms(Observer())


@pytest.mark.parametrize(
    ("key", "field", "value"),
    [
        ("in_flight", "sku", "x"),
        ("stock", "sku", "1.5"),
        ("gate", "opens_at", "nan"),
        ("line", "", ""),
    ],
)
def test_a_gate_that_cannot_be_read_takes_only_its_own_figures_away(
    make_sale: MakeSale, key: str, field: str, value: str
) -> None:
    corrupt, sound = make_sale(stock=3), make_sale(stock=4)
    name = getattr(keys(corrupt.pk), key)
    if key == "line":
        blocking_clients.client_of(0).set(name, "no stream")
    else:
        sku = corrupt.variants.get().sku
        blocking_clients.client_of(0).hset(name, sku if field == "sku" else field, value)
    observer = Observer()
    assert of(corrupt, observer).left is None
    assert of(sound, observer).left == 4
    assert "gate-corrupt" in alarms(observer)


def test_a_sale_that_is_paused_before_its_opening_does_not_look_as_if_it_opened(
    make_sale: MakeSale,
) -> None:
    sale = make_sale(opens_in=600)
    assert "paused-before" not in alarms(Observer())
    sale_lifecycle.pause(sale.pk, by="staff")
    assert of(sale).state == "upcoming, paused"
    assert "paused-before" in alarms(Observer())


def test_those_who_wait_while_another_looks_share_what_it_sees(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    observer, go_on, looks = Observer(), Event(), []
    look = observer._look

    def slow() -> snapshot.Snapshot:
        looks.append(uuid4())
        go_on.wait(deadlines.seconds(10))
        return look()

    monkeypatch.setattr(observer, "_look", slow)
    with ThreadPoolExecutor(6) as pool:
        waiting = [pool.submit(observer.look) for _ in range(6)]
        wait_for(lambda: looks, "one looks")
        go_on.set()
        seen = {id(each.result(deadlines.seconds(30))) for each in waiting}
    assert len(looks) <= 2  # the first, and one for those who came when it had begun
    assert len(seen) == len(looks)


def test_a_gate_that_stays_behind_is_an_alarm(
    make_sale: MakeSale, monkeypatch: pytest.MonkeyPatch
) -> None:
    sale, observer = make_sale(), Observer()
    monkeypatch.setattr(alarms_module, "BEHIND_TOO_LONG", 0.0)
    raise_version(sale)
    assert "gate-behind" not in alarms(observer)  # every change leaves it behind for a moment
    assert "gate-behind" in alarms(observer)


def test_a_gate_that_follows_in_a_rush_is_none(
    make_sale: MakeSale, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At each look the gate has reached the awaited version, and the sale is a version further."""
    sale, observer = make_sale(), Observer()
    monkeypatch.setattr(alarms_module, "BEHIND_TOO_LONG", 0.0)
    for _ in range(5):
        replication.replicate(sale.pk)
        raise_version(sale)
        assert "gate-behind" not in alarms(observer)


def raise_version(sale: Sale) -> None:
    Sale.objects.filter(pk=sale.pk).update(version=F("version") + 1)


def test_a_line_that_waits_is_an_alarm(
    make_sale: MakeSale, monkeypatch: pytest.MonkeyPatch
) -> None:
    sale = make_sale()
    queue_up(sale, 1)
    monkeypatch.setattr(alarms_module, "WAITS_LONG", -1)
    assert "line-waits" in alarms(Observer())


def test_a_purchase_that_could_not_be_processed_is_an_alarm_and_is_named(
    make_sale: MakeSale,
) -> None:
    sale = make_sale()
    purchase = click(sale)
    assert purchase.code == "queued"
    _, _, [(entry, fields)] = replica.read_line(sale.pk, 1)
    line = keys(sale.pk).line
    blocking_clients.client_of(0).xdel(line, entry)
    blocking_clients.client_of(0).xadd(line, {**fields, "sku": "unheard-of"})  # type: ignore[dict-item]  # redis-py's stubs
    settlement.settle(sale.pk)
    observer = Observer()
    assert of(sale, observer).poison == 1
    assert "poison" in alarms(observer)
    [order] = [order for order in observer.look().poison if order.sale_id == sale.pk]
    assert order.reference == Order.objects.get(sale=sale).reference


def test_without_a_worker_or_beat_there_is_an_alarm() -> None:
    blocking_clients.telemetry_client().delete(telemetry.PROCESSES_KEY)
    assert {"no-worker", "no-beat"} <= alarms(Observer())


# --- A store is down ---------------------------------------------------------------------------


@pytest.fixture
def observer(make_sale: MakeSale) -> Observer:
    """One that has seen the shop well."""
    make_sale(stock=7)
    observer = Observer()
    observer.look()
    return observer


def refuse(*_: object) -> None:
    raise OperationalError("the server is away")


def test_without_postgresql_the_last_figures_and_the_gates_are_shown(
    make_sale: MakeSale, observer: Observer, monkeypatch: pytest.MonkeyPatch
) -> None:
    sale = make_sale(stock=7)
    observer.look()
    queue_up(sale, 2)
    monkeypatch.setattr(stores, "read_postgresql", refuse)
    seen = of(sale, observer)
    assert (seen.waiting, seen.in_flight, seen.left) == (2, 2, 5)
    assert "postgresql-down" in alarms(observer)


def test_without_redis_what_postgresql_knows_is_shown(
    make_sale: MakeSale, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object) -> redis.Redis:
        raise redis.ConnectionError("away")

    sale, observer = make_sale(stock=7), Observer()
    observer.look()
    alive = observer.look().processes
    queue_up(sale, 3)
    with monkeypatch.context() as patch:
        patch.setattr(blocking_clients, "group_by_server", away)
        patch.setattr(blocking_clients, "telemetry_client", away)
        seen = of(sale, observer)
        red = alarms(observer)
        assert observer.look().processes == alive  # as they were last heard of
    [variant] = seen.variants
    assert (variant.variant.stock, variant.left, variant.in_flight) == (7, None, None)
    assert (seen.left, seen.gate, seen.waiting) == (None, "unknown", None)
    assert {"redis-down", "telemetry-down"} <= red
    assert "no-worker" not in red  # without telemetry it cannot be known


def test_a_question_that_hangs_is_asked_once_and_waited_for_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bounded_call, "PATIENCE", 0.05)
    calls, asked, go_on = BoundedCall(), [], Event()

    def hang() -> str:
        asked.append(uuid4())
        go_on.wait(deadlines.seconds(10))
        return "late"

    for _ in range(5):
        with pytest.raises(TimeoutError):
            calls.run(hang)
    assert len(asked) == 1
    go_on.set()
    assert wait_for(lambda: calls._latest and calls._latest.done(), "it has answered")
    assert calls.run(lambda: "at once") == "at once"


def test_an_ended_sale_has_nothing_left_and_comes_behind_what_goes_on(make_sale: MakeSale) -> None:
    over, open_now = make_sale(stock=7, opens_in=-600), make_sale()
    sale_lifecycle.end(over.pk, by="staff")
    shown = [figures.sale.pk for figures in Observer().look().sales]
    assert shown.index(open_now.pk) < shown.index(over.pk)
    assert of(over).left is None


def test_a_lock_on_a_sale_does_not_hold_up_the_dashboard(make_sale: MakeSale) -> None:
    sale = make_sale(stock=7)
    with transaction.atomic():
        Sale.objects.select_for_update().get(pk=sale.pk)
        assert of(sale).left == 7


def test_every_alarm_is_explained_to_staff() -> None:
    source = (ROOT / "dashboard" / "alarms.py").read_text()
    codes = set(re.findall(r'Alarm\(\s*"([a-z-]+)"', source))
    for part in ("postgresql", "redis", "telemetry"):
        codes |= {f"{part}-down", f"{part}-read-only"}
    codes |= {"no-worker", "no-beat"}
    explained = re.findall(r"^### (\S+)$", (ROOT / "docs" / "running-a-sale.md").read_text(), re.M)
    assert sorted(codes) == sorted(explained)
