"""A killed run of tests leaves no process and no folder."""

import subprocess
import sys
from pathlib import Path

from flashsale.local.processes import identity
from tests.stack import ROOT, wait_for

RUN = """
import os, subprocess, sys, time
from tests.reaper import scratch
folder = scratch("flashsale-test-")
deaf = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
command, bare = [sys.executable, "-c", deaf], {"PATH": os.environ["PATH"]}
marked = subprocess.Popen(command, start_new_session=True)
inside = subprocess.Popen(command, start_new_session=True, cwd=folder, env=bare)
print(folder, marked.pid, inside.pid, flush=True)
time.sleep(600)
"""


def test_what_a_killed_run_has_started_ends_and_its_folder_goes() -> None:
    run = subprocess.Popen([sys.executable, "-c", RUN], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert run.stdout
    with run.stdout as out:
        folder, *pids = out.readline().split()
    assert (Path(folder) / "tmp").is_dir()
    assert all(identity(int(pid)) for pid in pids)
    run.kill()
    run.wait()
    wait_for(lambda: not any(identity(int(pid)) for pid in pids), "its processes have ended")
    wait_for(lambda: not Path(folder).exists(), "its folder is gone")
