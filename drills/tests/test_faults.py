"""A drill's schedule of faults, and their execution."""

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
def test_five_minutes_hold_thirty_faults_and_every_fault_hits_every_target(seed: int) -> None:
    faults = schedule(seed, 300)
    assert len(faults) >= 30
    assert {(fault.what, fault.target) for fault in faults} == ALL
    assert all(fault.at + fault.lasts <= 300 - LAST for fault in faults)
    assert faults == sorted(faults, key=lambda fault: fault.at)


@pytest.fixture
def victim(tmp_path: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """A process that `tmp_path` records as each process of the shop."""
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    (tmp_path / "run").mkdir()
    for name in PROCESSES:
        (tmp_path / "run" / name).write_text(f"{process.pid} {identity(process.pid)}")
    yield process
    process.kill()
    process.wait()


def test_a_killed_process_is_dead(tmp_path: Path, victim: "subprocess.Popen[bytes]") -> None:
    saboteur = Saboteur(tmp_path, [Fault(0, KILL, "worker")])
    saboteur.start()
    assert victim.wait(deadlines.seconds(10)) == -signal.SIGKILL
    saboteur.stop()
    assert [injection.hit for injection in saboteur.injections] == [True]


def test_a_frozen_process_goes_on_after_its_time(
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


def test_a_process_that_reuses_a_pid_is_left_alone(
    tmp_path: Path, victim: "subprocess.Popen[bytes]"
) -> None:
    (tmp_path / "run" / "beat").write_text(f"{victim.pid} another process")
    saboteur = Saboteur(tmp_path, [Fault(0, KILL, "beat")])
    saboteur.start()
    wait_for(lambda: saboteur.injections, "the fault's time has come")
    saboteur.stop()
    assert [injection.hit for injection in saboteur.injections] == [False]
    assert victim.poll() is None


def test_stop_raises_the_error_of_the_saboteur(tmp_path: Path) -> None:
    """The process to be killed is not recorded."""
    saboteur = Saboteur(tmp_path, [Fault(0, KILL, "worker")])
    saboteur.start()
    with pytest.raises(FileNotFoundError):
        saboteur.stop()
