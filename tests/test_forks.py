"""A forked program cannot be told from a new Python; only its imports are already done."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests import forks
from tests.stack import DEADLINE

PORTRAIT = """
import atexit, json, os, random, resource, signal, socket, sys, threading, uuid
def seen(fd):
    try:
        return os.readlink(f"/proc/self/fd/{fd}").partition(":")[0]
    except OSError:  # the folder itself
        return None
limits = [n for n in dir(resource) if n.startswith("RLIMIT_")]
same = {
    "arguments": sys.argv, "path": sys.path, "name": __name__, "folder": os.getcwd(),
    "environment": dict(os.environ), "flags": list(sys.flags), "main": sys.modules["__main__"].__name__,
    "descriptors": {fd: seen(fd) for fd in sorted(os.listdir("/proc/self/fd")) if seen(fd)},
    "leads": os.getsid(0) == os.getpgrp() == os.getpid(),
    "handlers": [str(signal.getsignal(n)) for n in sorted(signal.valid_signals())],
    "blocked": sorted(signal.pthread_sigmask(signal.SIG_BLOCK, [])),
    "limits": [resource.getrlimit(getattr(resource, name)) for name in limits],
    "umask": os.umask(0o22), "threads": threading.active_count(),
    "streams": [(s.encoding, s.errors, s.line_buffering) for s in (sys.stdin, sys.stdout, sys.stderr)],
    "inherited": os.read(int(sys.argv[1]), 9).decode(), "typed": sys.stdin.read(),
}
print(json.dumps([same, [random.random(), str(uuid.uuid4()), os.getpid()], "kombu" in sys.modules]))
atexit.register(print, "the end")
"""


@pytest.fixture
def program(tmp_path: Path) -> Path:
    path = tmp_path / "program.py"
    path.write_text(PORTRAIT)
    return path


def portrait(program: Path, **env: str) -> tuple[dict[str, Any], list[Any], bool]:
    read, write = os.pipe()
    folder = program.parent
    (folder / "in").write_text("typed")
    with (folder / "in").open() as stdin, (folder / "out").open("w") as out:
        os.write(write, b"inherited")
        streams = (stdin.fileno(), out.fileno(), 2)
        command = [sys.executable, str(program), str(read), "two words"]
        process = forks.start(command, os.environ | env, streams, (read,))
        os.close(read)
        os.close(write)
        assert process.wait(DEADLINE) == 0
        told, end = (folder / "out").read_text().splitlines()
    assert end == "the end"
    same, fresh, forked = json.loads(told)
    return same, fresh, forked


def test_a_fork_sees_what_a_new_python_sees(program: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = portrait(program, LOUD="é"), portrait(program, LOUD="é")
    monkeypatch.setattr(forks, "_can_fork", lambda *_: False)
    new = portrait(program, LOUD="é")
    assert first[0] == new[0]
    assert second[0] == new[0]
    assert [first[2], second[2], new[2]] == [True, True, False]
    assert all(a != b for a, b in zip(first[1], second[1], strict=True))


def test_a_variable_that_python_reads_at_its_start_gets_a_new_python(program: Path) -> None:
    same, _, forked = portrait(program, PYTHONIOENCODING="ascii")
    assert same["streams"][1][0] == "ascii"
    assert not forked


@pytest.mark.parametrize(
    ("code", "ends"),
    [
        ("", 0),
        ("raise SystemExit(7)", 7),
        ("raise SystemExit('a reason')", 1),
        ("1 / 0", 1),
        ("raise KeyboardInterrupt", -signal.SIGINT),
        ("import os; os.kill(os.getpid(), 9)", -signal.SIGKILL),
        ("import threading, time; threading.Thread(target=time.sleep, args=[0.1]).start()", 0),
    ],
)
def test_how_a_fork_ends_is_known(tmp_path: Path, code: str, ends: int) -> None:
    assert run(tmp_path, code).wait(DEADLINE) == ends


def test_a_fork_is_killed_and_polled_like_any_process(tmp_path: Path) -> None:
    process = run(tmp_path, "import time; time.sleep(600)")
    assert process.poll() is None
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.01)
    process.terminate()
    assert process.wait(DEADLINE) == process.poll() == process.returncode == -signal.SIGTERM
    process.kill()  # nothing is left to be killed


def test_the_reaper_knows_a_fork_by_its_environment(tmp_path: Path) -> None:
    process = run(tmp_path, "import time; time.sleep(600)")
    variables = Path(f"/proc/{process.pid}/environ").read_bytes().split(b"\0")
    process.kill()
    process.wait(DEADLINE)
    assert f"FLASHSALE_SCRATCH={os.environ['FLASHSALE_SCRATCH']}".encode() in variables


def run(folder: Path, code: str) -> forks.Started:
    (folder / "program.py").write_text(code)
    with Path(os.devnull).open("r+b", buffering=0) as null:
        command = [sys.executable, str(folder / "program.py")]
        return forks.start(command, os.environ, (0, 1, null.fileno()))
