"""The drill of money: orders are paid, expire and are cancelled while everything dies."""

import json
import random
import subprocess
import sys
from collections import Counter

import pytest

from drills.faults import schedule
from drills.money_drill import EVERYTHING
from drills.money_plan import Group, draw_errands, list_cancellations
from ops.base_command import USAGE
from tests import deadlines, stack
from tests.operators import typed

SECONDS = 20.0


@pytest.mark.deep
def test_money_and_units_balance_while_parts_of_the_shop_and_the_bank_die() -> None:
    options = ("--minutes", f"{SECONDS / 60}", "--orders", "60", "--seed", "4", "--json")
    done = subprocess.run(
        [sys.executable, "manage.py", "chaos", *options],
        cwd=stack.ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=deadlines.seconds(200),
    )
    report = json.loads(done.stdout)
    assert (done.returncode, done.stderr) == (0, ""), report
    assert report["clean"]
    assert report["faults_carried_out"] == len(schedule(4, SECONDS, EVERYTHING)) >= 2
    assert report["captured"] - report["refunded"] == report["total_of_confirmed"] > 0
    assert report["orders"].get("held", 0) == 0
    assert report["shoppers_without_an_answer"] == 0


def test_half_pay_a_third_expire_and_the_rest_are_cancelled() -> None:
    errands = draw_errands(600, random.Random(1))
    groups = Counter(errand.group for errand in errands)
    assert groups == {Group.PAID: 300, Group.EXPIRED: 200, Group.CANCELLED: 100}
    assert errands == draw_errands(600, random.Random(1))
    late = [errand for errand in errands if errand.group is Group.EXPIRED and errand.begins]
    assert 60 < len(late) < 140
    cancelled = [errands[number].group for _, number, _ in list_cancellations(errands)]
    assert set(cancelled) == {Group.CANCELLED}


@pytest.mark.parametrize("seed", range(3))
def test_five_minutes_hold_thirty_faults_and_the_bank_is_among_the_killed(seed: int) -> None:
    faults = schedule(seed, 300, EVERYTHING)
    assert len(faults) >= 30
    assert {(fault.what, fault.target) for fault in faults} == set(EVERYTHING)
    assert ("killed", "the bank") in EVERYTHING


def test_the_two_drills_exclude_each_other() -> None:
    assert typed("chaos", "--orders", "5", "--shoppers", "5").code == USAGE
    assert typed("chaos", "--orders", "0").code == USAGE
