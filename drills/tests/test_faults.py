"""What a drill does to a shop, and when."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from drills.faults import (
    FREEZE,
    KILL,
    LAST,
    PROCESSES,
    RESTART,
    TARGETS,
    Fault,
    Saboteur,
    schedule,
)
from flashsale.local.processes import identity
from tests import deadlines
from tests.stack import wait_for

ALL = {(what, target) for what in (KILL, FREEZE, RESTART) for target in TARGETS}


def test_the_same_seed_gives_the_same_schedule() -> None:
    assert schedule(7, 300) == schedule(7, 300) != schedule(8, 300)


@pytest.mark.parametrize("seed", range(20))
def test_five_minutes_hold_thirty_faults_and_everything_happens_to_everything(seed: int) -> None:
    faults = schedule(seed, 300)
    assert len(faults) >= 30
    assert {(fault.what, fault.target) for fault in faults} == ALL
    assert all(fault.at + fault.lasts <= 300 - LAST for fault in faults)
    assert faults == sorted(faults, key=lambda fault: fault.at)


@pytest.fixture
def victim(tmp_path: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """A process that is recorded in `tmp_path` as each of the shop's."""
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    (tmp_path / "run").mkdir()
    for name in PROCESSES:
        (tmp_path / "run" / name).write_text(f"{process.pid} {identity(process.pid)}")
    yield process
    process.kill()
    process.wait()


def test_what_is_killed_is_dead(tmp_path: Path, victim: "subprocess.Popen[bytes]") -> None:
    saboteur = Saboteur(tmp_path, [Fault(0, KILL, "worker")])
    saboteur.start()
    assert victim.wait(deadlines.seconds(10)) == -signal.SIGKILL
    saboteur.stop()
    assert [done.met for done in saboteur.done] == [True]


def test_what_is_frozen_goes_on_after_its_time(
    tmp_path: Path, victim: "subprocess.Popen[bytes]"
) -> None:
    saboteur = Saboteur(tmp_path, [Fault(0, FREEZE, "web-1", lasts=0.3)])
    saboteur.start()
    assert os.WIFSTOPPED(os.waitpid(victim.pid, os.WUNTRACED)[1])
    assert os.WIFCONTINUED(os.waitpid(victim.pid, os.WCONTINUED)[1])
    saboteur.stop()


def test_nothing_stays_frozen_when_the_drill_ends(
    tmp_path: Path, victim: "subprocess.Popen[bytes]"
) -> None:
    saboteur = Saboteur(tmp_path, [Fault(0, FREEZE, "web-2", lasts=600)])
    saboteur.start()
    assert os.WIFSTOPPED(os.waitpid(victim.pid, os.WUNTRACED)[1])
    saboteur.stop()
    assert os.WIFCONTINUED(os.waitpid(victim.pid, os.WCONTINUED)[1])


def test_nobody_is_harmed_whose_pid_was_used_again(
    tmp_path: Path, victim: "subprocess.Popen[bytes]"
) -> None:
    (tmp_path / "run" / "beat").write_text(f"{victim.pid} somebody else")
    saboteur = Saboteur(tmp_path, [Fault(0, KILL, "beat")])
    saboteur.start()
    wait_for(lambda: saboteur.done, "the fault's time has come")
    saboteur.stop()
    assert [done.met for done in saboteur.done] == [False]
    assert victim.poll() is None


def test_a_saboteur_who_stumbles_says_so(tmp_path: Path) -> None:
    """Nobody has recorded the process that is to be killed."""
    saboteur = Saboteur(tmp_path, [Fault(0, KILL, "worker")])
    saboteur.start()
    with pytest.raises(FileNotFoundError):
        saboteur.stop()
