"""The drill of fair entry: a bot plays a sale against people, and the drill counts what each got."""

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings

from accounts.models import Person
from drills import fair_play, loopback, reacting_people
from drills.bots import Bot, Identity
from drills.fair_modes import Mode, Outcome, Setting, Side
from drills.http import Site
from drills.shopper_log import Reply
from drills.sign_in import Client, sign_in_all
from tests import deadlines, stack
from tests.operators import typed

RATE = 5  # accepted clicks/s of an address


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with stack.Web.running(RATE_PER_ADDRESS=str(RATE)) as web, stack.worker():
        yield Site(web.url)


@pytest.fixture(autouse=True)
def slow_people(monkeypatch: pytest.MonkeyPatch) -> None:
    """They click so late that a bot on a busy machine is before them."""
    for name, seconds in {"SOONEST": 4.0, "LATEST": 5.0}.items():
        monkeypatch.setattr(reacting_people, name, seconds)
    monkeypatch.setattr(fair_play, "RATE", RATE)


def play(site: Site, mode: Mode, **setting: Any) -> Outcome:
    usual = {"bots": 12, "addresses": 4, "people": 6, "units": 10, "window": 8.0, "per_address": 0}
    return fair_play.play(site, mode, Setting(**{**usual, **setting}), seed=1)


def test_by_arrival_a_bot_is_before_all_people(site: Site) -> None:
    outcome = play(site, Mode.ARRIVAL)
    assert outcome.faults == []
    assert outcome.bots == Side(identities=12, accepted=10, winners=10, units=10)
    assert outcome.people == Side(identities=6, accepted=0, winners=0, units=0)
    assert outcome.answers["not_open"] > 0  # it began before the opening


def test_a_bound_per_network_leaves_the_rest_to_people(site: Site) -> None:
    outcome = play(site, Mode.ARRIVAL, per_address=1)
    assert outcome.faults == []
    assert (outcome.bots.units, outcome.people.units) == (4, 6)


def test_the_rate_of_an_address_keeps_a_bot_out_of_a_short_draw(site: Site) -> None:
    outcome = play(site, Mode.SHORT_DRAW, bots=60, addresses=1)
    assert outcome.faults == []
    assert 0 < outcome.bots.accepted <= RATE + RATE * 8 + 1
    assert outcome.people.accepted == 6
    assert outcome.bots.units + outcome.people.units == 10


def test_a_draw_over_the_whole_window_lets_each_identity_enter(site: Site) -> None:
    outcome = play(site, Mode.WHOLE_DRAW, bots=20, addresses=1)
    assert outcome.faults == []
    assert outcome.bots.accepted == 20
    assert outcome.people.accepted == 6
    assert outcome.bots.units + outcome.people.units == 10


def test_people_with_a_verified_address_enter_beside_as_many_as_a_bot_has_mailboxes_for(
    site: Site,
) -> None:
    outcome = play(site, Mode.EMAIL)
    assert outcome.faults == []
    assert (outcome.bots.accepted, outcome.people.accepted) == (12, 6)
    assert outcome.bots.units + outcome.people.units == 10
    assert Person.objects.count() >= 18
    assert set(outcome.answers) <= {"queued", "not_open", "rate_limited"}


def test_an_identity_that_may_not_sign_in_has_no_cookies(site: Site) -> None:
    """One client may have five codes an hour for a mailbox."""
    client = Client(loopback.address(loopback.BOTS, 9), f"{time.time_ns()}@example.com")
    folder = Path(str(settings.EMAIL_FILE_PATH))
    found = [asyncio.run(sign_in_all(site, [client], folder)) for _ in range(6)]
    assert [bool(cookies) for [cookies] in found] == [True] * 5 + [False]


def test_an_order_of_which_the_shop_did_not_tell_is_a_fault(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = Bot.record

    def forget(bot: Bot, identity: Identity, reply: Reply) -> None:
        record(bot, identity, reply)
        identity.purchase = ""

    monkeypatch.setattr(Bot, "record", forget)
    assert play(site, Mode.ARRIVAL).faults == [
        "0 accepted clicks are no orders, 10 orders are of clicks that were not accepted"
    ]


def make_outcome(bots: Side, people: Side) -> Outcome:
    return Outcome(Mode.ARRIVAL, Setting(0, 1, 0, 0, 30, 0), bots, people, {})


def test_share_advantage_and_price_are_those_of_the_units_won() -> None:
    outcome = make_outcome(Side(100, 60, 30, 30), Side(200, 200, 10, 10))
    assert outcome.share == 0.75
    assert outcome.advantage == pytest.approx(6)
    assert outcome.price == 0.3


def test_an_advantage_over_people_who_win_nothing_has_no_number() -> None:
    outcome = make_outcome(Side(100, 60, 30, 30), Side(200, 0, 0, 0))
    assert outcome.as_json()["advantage"] is None
    assert "no person won" in outcome.row()
    json.dumps(outcome.as_json(), allow_nan=False)


@pytest.mark.deep
def test_the_command_plays_in_a_shop_of_its_own() -> None:
    small = ("--bots", "6", "--people", "4", "--units", "5", "--seed", "1")
    ran = subprocess.run(
        [sys.executable, "manage.py", "simulate", *small, "--modes", "arrival", "--json"],
        cwd=stack.ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=deadlines.seconds(110),
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    [outcome] = json.loads(ran.stdout)["outcomes"]
    assert outcome["bots"]["units"] + outcome["people"]["units"] == 5
    assert outcome["faults"] == []


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--bots", "0"), "a whole number"),
        (("--bots", "5", "--shoppers", "5"), "not allowed with"),
        (("--bots", "5", "--modes", "auction"), "auction"),
        (("--bots", "5", "--sale", "drop"), "private shop"),
        ((), "required"),
    ],
)
def test_invalid_options_of_the_drill_are_refused(options: tuple[str, ...], said: str) -> None:
    ran = typed("simulate", *options)
    assert ran.code == 2
    assert said in ran.err
