"""The steps of a draw, from its time to its end. The caretaker carries them out.

open → closed: the draw's time has come; the gate takes no more entries, and the line drains.
closed → frozen: all entries are orders; they become lots, whose root is published (`freezing.py`).
frozen: the beacon's round is awaited if there is one, the seed is revealed and lots get their ranks
(`reveal.py`), then orders get their outcomes in order of rank (`allotting.py`).
→ done: each entry has its outcome.

A step is one transaction, and looks again under its locks. So a process may be killed between any two of
them, and several processes at once do no harm.
"""

import logging
from contextlib import suppress
from datetime import datetime
from enum import StrEnum

from django.db.models import Q
from django.db.models.functions import Now

from flashsale.database import read_clock
from inventory.gate import replica
from inventory.models import Sale
from orders.changes import DoneBefore, NotReplicated, change_unreplicated, replicate_change
from orders.draws import allotting, freezing, reveal, seed
from orders.draws import beacon as quicknet
from orders.models import Draw

log = logging.getLogger(__name__)

State = Sale.Draw


class Hindrance(StrEnum):
    """What a draw waits for, whose time has come."""

    NONE = ""
    PAUSED = "paused"  # the sale; once it has ended, the draw goes on
    LINE = "line"  # the last entries are written down; Redis may be away
    ROUND = "round"  # the beacon's round is not there yet
    BEACON = "beacon"  # its servers do not answer
    KEY = "key"  # the seed is sealed under a key that this process does not have


def find_due() -> list[int]:
    """The sales whose draw has begun, or should have."""
    begun = Q(draw__in=(State.CLOSED, State.FROZEN)) | Q(draw=State.OPEN, draw_at__lte=Now())
    undrained = Sale.objects.filter(begun, finished=False).exclude(status=Sale.Status.DRAFT)
    return list(undrained.values_list("pk", flat=True))


def advance(sale_id: int) -> bool:
    """Take the next step of the sale's draw. False if there is none, or it has to wait.

    Raises redis.RedisError and GateNotReady while the gate is away, and django.db.DatabaseError; the next
    call goes on.
    """
    sale = Sale.objects.get(pk=sale_id)
    if sale.draw == State.OPEN:
        return _close(sale)
    if sale.draw == State.CLOSED:
        return freezing.freeze(sale_id)
    if sale.draw == State.FROZEN:
        return reveal.reveal(sale_id) or allotting.allot(sale_id)
    return False


def hindrance(sale: Sale) -> Hindrance:
    """What the draw waits for; NONE before its time, while it advances by itself, and after it."""
    if sale.draw not in (State.OPEN, State.CLOSED, State.FROZEN):
        return Hindrance.NONE
    now = read_clock()
    if sale.draw == State.OPEN:
        due = sale.draw_at is not None and sale.draw_at <= now
        return Hindrance.PAUSED if due and _is_held_up(sale, now) else Hindrance.NONE
    if sale.draw == State.CLOSED:
        return Hindrance.LINE
    draw = Draw.objects.get(pk=sale.pk)
    if draw.seed:
        return Hindrance.NONE
    if draw.round and quicknet.time_of(draw.round) > now:
        return Hindrance.ROUND
    try:
        seed.open_sealed(draw.sealed_seed, draw.commitment)
    except seed.Unsealable:
        return Hindrance.KEY
    return Hindrance.BEACON if draw.beacon else Hindrance.NONE


def _is_held_up(sale: Sale, now: datetime) -> bool:
    return sale.status == Sale.Status.PAUSED and not sale.ended(now)


def _close(seen: Sale) -> bool:
    """Take no more entries. The gate refuses them from the draw's time on by Redis' clock: who is in time
    by that clock takes part, even if PostgreSQL's is ahead."""
    assert seen.draw_at
    if replica.read_view(seen.pk).now < seen.draw_at.timestamp() * 1000:
        return False
    closed = False
    with suppress(DoneBefore), change_unreplicated([seen.pk]) as (sale,):
        now = read_clock()
        early = sale.draw_at is None or sale.draw_at > now
        if sale.draw != State.OPEN or early or _is_held_up(sale, now):
            raise DoneBefore
        sale.draw = State.CLOSED
        closed = True
    if closed:
        try:
            replicate_change(seen.pk)
        except NotReplicated as late:
            log.warning("sale %s: %s", seen.pk, late)  # the freeze waits for it
    return closed
