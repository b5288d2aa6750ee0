"""The twins: shops with one flaw each, which the same play must find out."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from unittest.mock import patch
from uuid import UUID

import pytest
from django.db import IntegrityError

from conftest import MakeSale
from flashsale.database import Rows
from flashsale.redis import blocking_clients
from inventory.gate import replica, scripts
from inventory.gate.delta import Delta
from inventory.gate.entries import Entry
from inventory.gate.scripts import digest, keys
from orders import settlement
from tests.model.machine import play

ENOUGH = 60  # sales; mostly far fewer


@contextmanager
def script(name: str, guard: str, instead: str) -> Iterator[None]:
    """That script with another line in it."""
    source = scripts.source
    assert guard in source(name)

    def flawed(script: str) -> str:
        return source(script).replace(guard, instead) if script == name else source(script)

    digest.cache_clear()
    try:
        with patch.object(scripts, "source", flawed), patch.object(replica, "source", flawed):
            yield
    finally:
        digest.cache_clear()


def late_tales_apply() -> AbstractContextManager[object]:
    return script("apply", "version < delta.from or version > delta.to or", "")


def an_emptied_gate_keeps_its_answers() -> AbstractContextManager[object]:
    return script("empty", "KEYS[5], KEYS[6],", "KEYS[5],")


def an_emptied_gate_keeps_what_networks_took() -> AbstractContextManager[object]:
    return script("empty", "KEYS[9], KEYS[10])", "KEYS[9])")


def networks_have_no_bound() -> AbstractContextManager[object]:
    return script("admit", "if total > per_network", "if false and total > per_network")


def a_tale_goes_on_in_another_gate() -> AbstractContextManager[object]:
    return script("apply", "if delta.epoch and delta.epoch ~= state[3] then", "if false then")


def what_is_decided_stays_in_flight() -> AbstractContextManager[object]:
    return script("apply", "lowered(KEYS[3], of_sku_in_flight)", "lowered(KEYS[3], {})")


def entries_leave_the_line_before_the_commit() -> AbstractContextManager[object]:
    decide = settlement.decide

    def forgetful(sale: int, epoch: str, entries: list[Entry]) -> Delta | None:
        blocking_clients.client_of(0).xdel(keys(sale).line, *[entry.id for entry in entries])
        return decide(sale, epoch, entries)

    return patch.object(settlement, "decide", forgetful)


def orders_are_made_again() -> AbstractContextManager[object]:
    fresh = settlement._fresh

    def knows_none(entries: list[Entry], rows: Rows) -> tuple[list[Entry], dict[UUID, int]]:
        return entries, fresh(entries, rows)[1]

    return patch.object(settlement, "_fresh", knows_none)


def the_last_comes_first() -> AbstractContextManager[object]:
    decide = settlement.decide

    def backwards(sale: int, epoch: str, entries: list[Entry]) -> Delta | None:
        return decide(sale, epoch, entries[::-1])

    return patch.object(settlement, "decide", backwards)


FLAWS = (
    late_tales_apply,
    an_emptied_gate_keeps_its_answers,
    an_emptied_gate_keeps_what_networks_took,
    networks_have_no_bound,
    a_tale_goes_on_in_another_gate,
    what_is_decided_stays_in_flight,
    entries_leave_the_line_before_the_commit,
    orders_are_made_again,
    the_last_comes_first,
)


# The quickest with every change, all in `./check deep`.
USUAL = (the_last_comes_first,)


@pytest.mark.parametrize(
    "flaw",
    [pytest.param(f, marks=() if f in USUAL else pytest.mark.deep, id=f.__name__) for f in FLAWS],
)
def test_a_flaw_is_found(
    make_sale: MakeSale, flaw: Callable[[], AbstractContextManager[object]]
) -> None:
    with flaw(), pytest.raises((AssertionError, IntegrityError)):
        play(make_sale, examples=ENOUGH, shortest=False)
