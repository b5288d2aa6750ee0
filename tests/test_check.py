"""`./check` runs every stage, says which failed, and leaves nothing behind when it is killed."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from flashsale.local.processes import identity
from tests.stack import ROOT, wait_for
from tools import check
from tools.check import Stage

SLEEPS = "import os, time; print(os.getpid(), flush=True); time.sleep(600)"


def stage(name: str, code: str) -> Stage:
    return Stage(name, [sys.executable, "-c", code])


@pytest.fixture(autouse=True)
def logs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(check, "LOGS", tmp_path)
    return tmp_path


def test_all_stages_run_and_the_end_says_which_failed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lanes = [
        [stage("broken", "print('why'); exit(3)"), stage("after it", "print('fine')")],
        [stage("beside", f"print('no source'); exit({check.SKIPPED})")],
    ]
    monkeypatch.setattr(check, "usual", lambda: lanes)
    assert check.main([]) == 1
    said = capsys.readouterr().out
    assert "\nwhy\n" in said
    assert [line.split("  ")[0] for line in said.splitlines()[-3:]] == [
        "broken",
        "after it",
        "beside",
    ]
    assert [one.status for lane in lanes for one in lane] == [
        "failed (exit code 3)",
        "ok",
        "no source",
    ]


def test_what_is_well_ends_with_0(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check, "usual", lambda: [[stage("one", ""), stage("other", "exit(1)")]])
    assert check.main(["one"]) == 0
    assert check.main(["deep", "one"]) == 2  # there is none of that name


def test_each_kind_of_test_is_run_by_a_stage() -> None:
    marks = [
        stage.command[stage.command.index("-m", 2) + 1]
        for lanes in (check.usual(), check.deep())
        for lane in lanes
        for stage in lane
        if stage.command[1:3] == ["-m", "pytest"]
    ]
    for browser in (True, False):
        for deep in (True, False):
            for alone in (True, False):
                given = {"browser": browser, "deep": deep, "alone": alone}
                runs = [mark for mark in marks if eval(mark, {}, given)]  # noqa: S307
                assert len(runs) == 1, (given, runs)


def test_browser_tests_are_in_the_folder_that_their_stage_collects(
    pytestconfig: pytest.Config,
) -> None:
    tests = [
        path
        for name in pytestconfig.getini("testpaths")
        for path in (ROOT / name).rglob("test_*.py")
    ]
    marked = [path for path in tests if "pytest.mark.browser\n" in path.read_text()]
    assert marked
    assert [path for path in marked if path.parent != ROOT / check.BROWSER_TESTS] == []


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_its_stages_end_with_it(tmp_path: Path, number: signal.Signals) -> None:
    code = (
        "from tools import check; import pathlib, sys;"
        f"check.LOGS = pathlib.Path({str(tmp_path)!r});"
        f"check.usual = lambda: [[check.Stage('long', [sys.executable, '-c', {SLEEPS!r}])]];"
        "sys.exit(check.main([]))"
    )
    checking = subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.DEVNULL, start_new_session=True
    )
    log = tmp_path / "long.log"
    pid = int(wait_for(lambda: log.exists() and log.read_text().strip(), "its stage runs"))
    os.kill(checking.pid, number)
    checking.wait()
    wait_for(lambda: identity(pid) is None, "its stage has ended")
