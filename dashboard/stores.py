"""Read the three stores of which a snapshot is made: PostgreSQL, the gates in Redis, and the telemetry.

A gate is a sale's replica in Redis, which decides clicks; its line holds the purchases that are accepted
and not yet decided.
"""

import logging
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import NamedTuple

import redis
from django.db import DatabaseError
from django.db.models import Count, Q
from django.utils import timezone

from dashboard.snapshot import Part
from flashsale.database import count_connections, drop_broken_connections, why_read_only
from flashsale.observe import telemetry, telemetry_reader
from flashsale.observe.telemetry_reader import Process, Second
from flashsale.redis import blocking_clients
from flashsale.redis.refusals import describe, refusal, send_probe
from inventory.gate import replica
from inventory.gate.state import Pulse, View
from inventory.models import Listing, Sale, Variant
from orders import holds, late_draws, open_holds, outbox
from orders.late_draws import LateDraw
from orders.models import AuditEntry, Draw, Order
from orders.open_holds import OpenHolds
from orders.outbox import Backlog
from payments.figures import Figures, read_figures

log = logging.getLogger(__name__)

SHOWN = 40  # sales that are not over; staff look for others in admin
_OVER_SHOWN = 5
_AUDIT_SHOWN = 12
_POISON_SHOWN = 10

# --- PostgreSQL ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Stored:
    """What PostgreSQL holds."""

    sales: list[Sale] = field(default_factory=list)
    hidden_sales: int = 0  # unfinished ones beyond SHOWN
    variants: dict[int, list[Variant]] = field(default_factory=dict)  # by sale
    poison: dict[int, int] = field(default_factory=dict)  # orders by sale
    poison_orders: list[Order] = field(default_factory=list)  # the latest
    overdue_holds: dict[Sale, int] = field(default_factory=dict)  # by sale, whether shown or not
    open_holds: dict[int, OpenHolds] = field(default_factory=dict)  # by sale with a hold
    draws: dict[int, Draw] = field(default_factory=dict)  # by sale with a draw that is bound
    late_draws: list[LateDraw] = field(default_factory=list)  # whether shown or not
    audit: list[AuditEntry] = field(default_factory=list)  # the latest
    payments: Figures = field(default_factory=Figures)
    mails: Backlog = field(default_factory=Backlog)
    words: str = ""  # how long it took, and how many connections are used
    read_only: str = ""  # why it can only be read; empty if it can be written to


def read_postgresql(only: int | None) -> Stored:
    """Read the sales that staff work with now, or only one. Raises DatabaseError.

    Leaves the thread's connection open: run it by `BoundedCall`, which closes it.
    """
    try:
        return _read_stored(only)
    except DatabaseError:
        drop_broken_connections()
        raise


def _read_stored(only: int | None) -> Stored:
    began = time.perf_counter()
    used, allowed = count_connections()
    words = f"{_format_duration(began)}, {used} of {allowed} connections"
    sales, hidden = _choose_sales(only)
    poisoned = Order.objects.filter(reason=Order.Reason.ERROR, sale__in=sales)
    return Stored(
        sales=sales,
        hidden_sales=hidden,
        variants=_list_variants(sales),
        poison=dict(poisoned.values_list("sale").annotate(Count("pk"))),
        poison_orders=list(poisoned.select_related("sale").order_by("-settled_at")[:_POISON_SHOWN]),
        overdue_holds=holds.count_overdue(),
        open_holds=open_holds.read_open_holds(sales),
        draws=late_draws.read_draws(sales),
        late_draws=late_draws.list_late_draws(),
        audit=list(AuditEntry.objects.select_related("variant", "sale")[:_AUDIT_SHOWN]),
        payments=read_figures(),
        mails=outbox.look(outbox.Consumer.MAIL),
        words=words,
        read_only=why_read_only(),
    )


def _choose_sales(only: int | None) -> tuple[list[Sale], int]:
    """The sales to show, and how many more are unfinished."""
    if only is not None:
        return list(Sale.objects.filter(pk=only)), 0
    unfinished = Sale.objects.filter(finished=False)
    is_over = Q(status=Sale.Status.ENDED) | Q(closes_at__lte=timezone.now())
    is_draft = Q(status=Sale.Status.DRAFT)
    # Open and upcoming sales first; then those whose line still drains; then drafts, often many and old.
    ahead = unfinished.alias(draft=is_draft, over=is_over).order_by(
        "draft", "over", "opens_at", "id"
    )
    over = Sale.objects.filter(finished=True).order_by("-closes_at", "-id")
    return [*ahead[:SHOWN], *over[:_OVER_SHOWN]], max(0, unfinished.count() - SHOWN)


def _list_variants(sales: list[Sale]) -> dict[int, list[Variant]]:
    variants: dict[int, list[Variant]] = {sale.pk: [] for sale in sales}
    listings = Listing.objects.filter(sale__in=sales).select_related("variant")
    for listing in listings.order_by("position", "id"):
        variants[listing.sale_id].append(listing.variant)
    return variants


# --- The gates -----------------------------------------------------------------------------------


class Gate(NamedTuple):
    view: View
    pulse: Pulse


@dataclass(frozen=True, slots=True)
class Gates:
    """What Redis holds: the gates that can be read, by sale."""

    now: datetime  # by Redis' clock
    gates: dict[int, Gate]


def read_gates(sales: list[int]) -> tuple[Gates | None, Part]:
    """Read the gates of these sales; None if no server answers.

    Of a cluster, a server that is away takes only its own gates with it.
    """
    answered: list[Gates] = []
    words: list[str] = []
    problems: list[str] = []
    down = False
    try:
        shares = blocking_clients.group_by_server(sales)
        for server, share in shares:
            where = f"{_address_of(server)}: " if len(shares) > 1 else ""
            try:
                gates, health, problem = _read_server(server, share)
            except (redis.RedisError, OSError) as error:
                problems.append(f"{where}{describe(error)}")
                down |= refusal(error) is None
            else:
                answered.append(gates)
                words.append(f"{where}{health}")
                problems.extend([f"{where}{problem}"] if problem else [])
    except redis.RedisError as error:
        problems.append(describe(error))
        down = True
    read_only = bool(problems) and not down
    part = Part("Redis", not problems, "; ".join(words + problems), read_only)
    return (_merge(answered) if answered else None), part


def _address_of(server: redis.Redis) -> str:
    options = server.get_connection_kwargs()
    return f"{options.get('host')}:{options.get('port')}"


def _read_server(server: redis.Redis, sales: list[int]) -> tuple[Gates, str, str]:
    """The gates of one server, its health, and why it cannot be written to (empty if it can).

    Raises redis.RedisError and OSError.
    """
    began = time.perf_counter()
    why_unwritable = _why_unwritable(server)
    memory = server.info("memory")
    health = f"{_format_duration(began)}, {memory['used_memory_human']} used"
    gates = {sale: gate for sale in sales if (gate := _read_gate(sale))}
    seconds, microseconds = server.time()
    now = datetime.fromtimestamp(seconds + microseconds / 1e6, UTC)
    return Gates(now, gates), health, why_unwritable


def _why_unwritable(server: redis.Redis) -> str:
    try:
        blocking_clients.check_writable(server)
    except redis.RedisError as error:
        if refusal(error):
            return describe(error)
        raise
    return ""


def _read_gate(sale: int) -> Gate | None:
    """None for a corrupt gate, which must not hide the other sales. Raises redis.RedisError if Redis
    is away."""
    try:
        return Gate(replica.read_view(sale), replica.read_pulse(sale))
    except (ValueError, TypeError, redis.ResponseError) as error:
        if refusal(error):
            raise
        log.warning("sale %s: its gate is corrupt: %s", sale, error)
        return None


def _merge(answered: list[Gates]) -> Gates:
    gates = {sale: gate for server in answered for sale, gate in server.gates.items()}
    return Gates(answered[0].now, gates)


# --- Telemetry -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Counted:
    """What all processes have counted."""

    history: list[Second] = field(default_factory=list)
    totals: dict[int, Second] = field(default_factory=dict)  # by sale, and for `telemetry.ALL`
    processes: list[Process] = field(default_factory=list)


def read_telemetry(history: telemetry_reader.History, sales: list[int]) -> tuple[Counted, Part]:
    """Read the counts; `history` keeps the earlier seconds. Raises redis.RedisError, also if they cannot be
    written, for then they are old, and OSError."""
    began = time.perf_counter()
    send_probe(blocking_clients.telemetry_client())
    counted = Counted(
        history.read(),
        telemetry_reader.totals([telemetry.ALL, *sales]),
        telemetry_reader.processes(),
    )
    return counted, Part("Telemetry", True, _format_duration(began))


def _format_duration(began: float) -> str:
    return f"{(time.perf_counter() - began) * 1000:.1f} ms"
