"""Reads PostgreSQL, Redis, the gates and the telemetry for the dashboard.

Each store is read apart from the others: one that is down takes away its own figures only. In their place
stands what was last known, and an alarm that says so.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cache
from typing import Any, NamedTuple, TypeVar

import redis
from django.db import DatabaseError, connection
from django.db.models import Count, Q
from django.utils import timezone

from dashboard.alarms import BEHIND_TOO_LONG, alarms_of
from dashboard.snapshot import Alarm, Part, ProductFigures, SaleFigures, Snapshot
from flashsale.database import PATIENCE, drop_broken_connections, give_back_after
from flashsale.observe import telemetry, telemetry_reader
from flashsale.observe.telemetry_reader import Process, Second
from flashsale.redis import clients
from inventory.gate import replica
from inventory.gate.state import Pulse, View
from inventory.models import Listing, Product, Sale
from orders.models import AuditEntry, Order

log = logging.getLogger(__name__)

T = TypeVar("T")


SHOWN = 40  # sales that are not over; more than that are looked for in admin


_OVER_SHOWN = 5


_AUDIT_SHOWN = 12


_POISON_SHOWN = 10


RECENT = 10  # seconds of which latencies are told


@dataclass(frozen=True, slots=True)
class _Stored:
    """As PostgreSQL has it."""

    sales: list[Sale] = field(default_factory=list)
    hidden_sales: int = 0
    products: dict[int, list[Product]] = field(default_factory=dict)  # by sale
    poison: dict[int, int] = field(default_factory=dict)  # orders by sale
    poison_orders: list[Order] = field(default_factory=list)
    audit: list[AuditEntry] = field(default_factory=list)
    words: str = ""


class _Gate(NamedTuple):
    view: View
    pulse: Pulse


@dataclass(frozen=True, slots=True)
class _Gates:
    """As Redis has it."""

    now: datetime
    gates: dict[int, _Gate]


@dataclass(frozen=True, slots=True)
class _Counted:
    """As telemetry has it."""

    history: list[Second] = field(default_factory=list)
    totals: dict[int, Second] = field(default_factory=dict)
    processes: list[Process] = field(default_factory=list)
    words: str = ""


class Patience:
    """Asks PostgreSQL what may hang, one question at a time, and waits for each only so long."""

    def __init__(self) -> None:
        self._asked: Future[Any] | None = None

    def ask(self, question: Callable[[], T]) -> T:
        """The answer. Raises TimeoutError after PATIENCE, and at once while an earlier question hangs."""
        if self._asked is not None and not self._asked.done():
            raise TimeoutError("an earlier question has no answer yet")
        asked: Future[T] = Future()
        self._asked = asked
        # Not a pool's thread: a process that ends would wait for one that hangs.
        threading.Thread(target=_answer, args=(asked, question), daemon=True).start()
        return asked.result(PATIENCE)


def _answer(asked: Future[T], question: Callable[[], T]) -> None:
    try:
        asked.set_result(give_back_after(question))
    except BaseException as error:
        asked.set_exception(error)


@cache
def observer() -> "Observer":
    """The one that all who ask over HTTP share: each keeps ten minutes of history."""
    return Observer()


class Observer:
    """Takes snapshots, one after the other; remembers what it needs for the next.

    Blocks, for a few seconds at most where a store hangs. Never raises for a store that is down. Looks
    at the sales that staff have to do with now, or at one.
    """

    def __init__(self, only: int | None = None) -> None:
        self._only = only
        self._books = _Stored()
        self._counted = _Counted()
        self._history = telemetry_reader.History()
        # Sales whose gate is behind: which version it has to reach, and since when.
        self._behind: dict[int, tuple[int, float]] = {}
        self._postgresql = Patience()
        self._one_at_a_time = threading.Lock()
        self._last: tuple[float, Snapshot] | None = None  # and when it was ready

    def look(self) -> Snapshot:
        """What is true now. Whoever waits while another looks shares what it sees: a store that is
        silent for seconds would make a queue of them."""
        asked_at = time.monotonic()
        with self._one_at_a_time:
            if self._last is None or self._last[0] < asked_at:
                snapshot = self._look()
                self._last = time.monotonic(), snapshot
            return self._last[1]

    def _look(self) -> Snapshot:
        books, postgresql = self._read_books()
        ids = [sale.pk for sale in books.sales if not sale.finished and sale.status != "draft"]
        gates, redis_part = _read_gates(ids)
        counted, telemetry_part = self._read_telemetry([sale.pk for sale in books.sales])
        now = gates.now if gates else timezone.now()
        second = counted.history[-1] if counted.history else Second(int(now.timestamp()))
        recent = telemetry_reader.merge(counted.history[-RECENT:])
        snapshot = Snapshot(
            at=now,
            sales=[_figures(sale, books, gates, counted, second, now) for sale in books.sales],
            hidden_sales=books.hidden_sales,
            parts=[postgresql, redis_part, telemetry_part],
            processes=counted.processes,
            second=second,
            accept=telemetry_reader.latency(recent.accept),
            confirm=telemetry_reader.latency(recent.confirm),
            history=counted.history,
            timed=counted.totals.get(telemetry.ALL, Second(0)),
            audit=books.audit,
            poison=books.poison_orders,
            alarms=[],
        )
        return replace(snapshot, alarms=[*alarms_of(snapshot), *self._gates_behind(snapshot)])

    def _read_books(self) -> tuple[_Stored, Part]:
        try:
            self._books = self._postgresql.ask(lambda: _read_postgresql(self._only))
        except (DatabaseError, TimeoutError) as error:
            words = f"not reachable ({type(error).__name__}); showing what was last known"
            return self._books, Part("PostgreSQL", False, words)
        return self._books, Part("PostgreSQL", True, self._books.words)

    def _read_telemetry(self, sales: Iterable[int]) -> tuple[_Counted, Part]:
        try:
            began = time.perf_counter()
            self._counted = _Counted(
                self._history.read(),
                telemetry_reader.totals([telemetry.ALL, *sales]),
                telemetry_reader.processes(),
            )
        except (redis.RedisError, OSError) as error:
            return self._counted, Part(
                "Telemetry", False, f"not reachable ({type(error).__name__})"
            )
        return self._counted, Part("Telemetry", True, _took(began))

    def _gates_behind(self, snapshot: Snapshot) -> Iterable[Alarm]:
        """Every change leaves a gate behind for a moment, and in a rush it never stands still: only a
        version that it does not reach is an alarm."""
        now, behind = time.monotonic(), {}
        for figures in snapshot.sales:
            sale, stands = figures.sale, figures.gate_version
            if stands is None or stands >= sale.version:
                continue
            wanted, since = self._behind.get(sale.pk, (0, now))
            behind[sale.pk] = (sale.version, now) if stands >= wanted else (wanted, since)
            wanted, since = behind[sale.pk]
            if now - since > BEHIND_TOO_LONG:
                words = f"{sale.name}: the gate stands at version {stands}, not yet at {wanted}."
                yield Alarm("gate-behind", words)
        self._behind = behind


def _read_postgresql(only: int | None) -> _Stored:
    try:
        return _read_stored(only)
    except DatabaseError:
        drop_broken_connections()
        raise


def _sales(only: int | None) -> tuple[list[Sale], int]:
    """Those that are shown, and how many more there would be."""
    if only is not None:
        return list(Sale.objects.filter(pk=only)), 0
    unfinished = Sale.objects.filter(finished=False)
    is_over = Q(status=Sale.Status.ENDED) | Q(closes_at__lte=timezone.now())
    is_draft = Q(status=Sale.Status.DRAFT)
    # What goes on or comes first; then what still drains; then drafts, which may be many and old.
    ahead = unfinished.alias(draft=is_draft, over=is_over).order_by(
        "draft", "over", "opens_at", "id"
    )
    over = Sale.objects.filter(finished=True).order_by("-closes_at", "-id")
    return [*ahead[:SHOWN], *over[:_OVER_SHOWN]], max(0, unfinished.count() - SHOWN)


def _read_stored(only: int | None) -> _Stored:
    began = time.perf_counter()
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*), current_setting('max_connections')::int FROM pg_stat_activity"
            " WHERE backend_type = 'client backend'"
        )
        used, most = cursor.fetchone() or (0, 0)
    words = f"{_took(began)}, {used} of {most} connections"
    sales, hidden = _sales(only)
    products: dict[int, list[Product]] = {sale.pk: [] for sale in sales}
    listings = Listing.objects.filter(sale__in=sales).select_related("product")
    for listing in listings.order_by("position", "id"):
        products[listing.sale_id].append(listing.product)
    poisoned = Order.objects.filter(reason=Order.Reason.ERROR, sale__in=sales)
    return _Stored(
        sales=sales,
        hidden_sales=hidden,
        products=products,
        poison=dict(poisoned.values_list("sale").annotate(Count("pk"))),
        poison_orders=list(poisoned.order_by("-settled_at")[:_POISON_SHOWN]),
        audit=list(AuditEntry.objects.select_related("product")[:_AUDIT_SHOWN]),
        words=words,
    )


def _read_gates(sales: list[int]) -> tuple[_Gates | None, Part]:
    """With some servers of a cluster away, the gates on the others are shown."""
    seen: list[_Gates] = []
    words: list[str] = []
    failed: list[str] = []
    try:
        shares = clients.group_by_server(sales)
        for server, share in shares:
            where = f"{_address_of(server)}: " if len(shares) > 1 else ""
            try:
                gates, told, failure = _read_server(server, share)
            except (redis.RedisError, OSError) as error:
                failed.append(f"{where}not reachable ({type(error).__name__})")
            else:
                seen.append(gates)
                words.append(f"{where}{told}")
                failed.extend([f"{where}{failure}"] if failure else [])
    except redis.RedisError as error:
        failed.append(f"not reachable ({type(error).__name__})")
    part = Part("Redis", not failed, "; ".join(words + failed))
    if not seen:
        return None, part
    return _Gates(seen[0].now, {sale: of for some in seen for sale, of in some.gates.items()}), part


def _address_of(server: redis.Redis) -> str:
    reached = server.get_connection_kwargs()
    return f"{reached.get('host')}:{reached.get('port')}"


def _read_server(server: redis.Redis, sales: list[int]) -> tuple[_Gates, str, str]:
    """Its gates, how it is, and what is wrong with it."""
    began = time.perf_counter()
    memory, persistence = (server.info(part) for part in _INFO)
    words = f"{_took(began)}, {memory['used_memory_human']} used"
    gates = {sale: seen for sale in sales if (seen := _read_gate(sale))}
    seconds, microseconds = server.time()
    now = datetime.fromtimestamp(seconds + microseconds / 1e6, UTC)
    written = persistence.get("aof_last_write_status", "ok")
    failure = "" if written == "ok" else f"its last write to disk failed ({written})"
    return _Gates(now, gates), words, failure


def _read_gate(sale: int) -> _Gate | None:
    """None for one in which something stands that no script of ours writes: it is no other sale's
    trouble. Raises redis.RedisError where Redis is away."""
    try:
        return _Gate(replica.read_view(sale), replica.read_pulse(sale))
    except (ValueError, TypeError, redis.ResponseError) as error:
        log.warning("sale %s: its gate cannot be read: %s", sale, error)
        return None


_INFO = ("memory", "persistence")


def _took(began: float) -> str:
    return f"{(time.perf_counter() - began) * 1000:.1f} ms"


def _figures(
    sale: Sale,
    books: _Stored,
    gates: _Gates | None,
    counted: _Counted,
    second: Second,
    now: datetime,
) -> SaleFigures:
    seen = gates.gates.get(sale.pk) if gates else None
    state = _gate_state(sale, gates, seen)
    total = counted.totals.get(sale.pk, Second(0))
    return SaleFigures(
        sale=sale,
        phase=sale.phase(now),
        state=sale.state(now),
        products=[_product_figures(each, state, seen) for each in books.products[sale.pk]],
        poison=books.poison.get(sale.pk, 0),
        gate=state,
        gate_version=seen.view.version if seen else None,
        waiting=seen.view.waiting if seen else None,
        oldest=seen.pulse.waited if seen else None,
        clicks=second.clicks[sale.pk],
        settled=second.settled[sale.pk],
        total=total.clicks[sale.pk],
        settled_total=total.settled[sale.pk],
    )


def _product_figures(product: Product, state: str, seen: _Gate | None) -> ProductFigures:
    if state == "unknown":
        return ProductFigures(product, None, None)
    in_flight = seen.view.in_flight.get(product.sku, 0) if seen else 0
    return ProductFigures(product, in_flight, max(0, product.stock - in_flight))


def _gate_state(sale: Sale, gates: _Gates | None, seen: _Gate | None) -> str:
    if sale.finished or sale.status == Sale.Status.DRAFT:
        return "none"
    if gates is None or seen is None:
        return "unknown"
    return "ready" if seen.view.ready else "not_ready"
