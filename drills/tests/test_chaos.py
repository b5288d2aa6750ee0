"""`chaos` kills parts of a shop while shoppers buy, and reports whether anything was lost."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from drills.faults import schedule
from flashsale.local.processes import identity
from ops.base_command import INTERRUPTED
from tests import deadlines, stack
from tests.operators import typed

SECONDS = 15.0


def drilled(*options: str) -> subprocess.CompletedProcess[str]:
    """Run the command like an operator. The environment names another shop, which must stay untouched."""
    return subprocess.run(
        [sys.executable, "manage.py", "chaos", "--minutes", f"{SECONDS / 60}", *options],
        cwd=stack.ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=deadlines.seconds(110),
        env={**os.environ, "LOG_LEVEL": "WARNING"},
    )


@pytest.mark.deep
def test_nothing_is_lost_while_parts_of_the_shop_die() -> None:
    done = drilled("--seed", "3", "--shoppers", "40", "--json")
    report = json.loads(done.stdout)
    assert (done.returncode, done.stderr) == (0, ""), report
    assert report["clean"]
    planned = [(fault.what, fault.target) for fault in schedule(3, SECONDS)]
    assert [(fault["what"], fault["target"]) for fault in report["faults"]] == planned
    assert report["faults_carried_out"] == len(planned) >= 2
    assert report["shoppers"]["purchases"]["accepted"] > 100
    assert report["shoppers"]["purchases"]["unanswered"] == 0
    assert report["staff"]["reads_of_the_books"] > 5
    assert report["draw"]["consistent"]
    assert report["draw"]["heard_the_outcome"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--minutes", "0"), "from 0.25 to 60"),
        (("--shoppers", "none"), "a whole number"),
        (("--log", "nowhere/at/all.log"), "a file that can be written"),
    ],
)
def test_invalid_options_are_refused_before_anything_starts(
    options: tuple[str, str], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "execv")  # with which the command becomes the drill
    done = typed("chaos", *options)
    assert done.code == 2
    assert said in done.err


@pytest.mark.deep
def test_chaos_runs_from_any_folder_and_ctrl_c_leaves_nothing_behind(tmp_path: Path) -> None:
    """A second Ctrl-C changes nothing: the drill waits for the shop, which is slow to end here."""
    drill = subprocess.Popen(
        [sys.executable, stack.ROOT / "manage.py", "chaos", "--log", "shop.log"],
        cwd=tmp_path,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        shop = stack.wait_for(lambda: pid_of_the_shop(tmp_path), "it has begun")
        os.kill(shop, signal.SIGSTOP)
        # Of two signals pending in the kernel the lower number comes first: that would be SIGTERM.
        stack.wait_for(lambda: state_of(shop)["State"].startswith("T"), "the shop has stopped")
        os.killpg(drill.pid, signal.SIGINT)
        stack.wait_for(lambda: is_asked_to_end(shop), "the shop is asked to end")
        os.killpg(drill.pid, signal.SIGINT)
        os.kill(shop, signal.SIGCONT)
        assert drill.wait(stack.DEADLINE) == INTERRUPTED
        assert identity(shop) is None
        assert list(tmp_path.glob("flashsale-drill-*")) == []
    finally:
        drill.kill()


def pid_of_the_shop(folder: Path) -> int:
    """0 while there is none."""
    return next((int(lock.read_text() or 0) for lock in folder.glob("*/up.lock")), 0)


def is_asked_to_end(pid: int) -> bool:
    return bool(int(state_of(pid)["ShdPnd"], 16) & 1 << (signal.SIGTERM - 1))


def state_of(pid: int) -> dict[str, str]:
    """The process' status fields in Linux: `man proc_pid_status`."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}
