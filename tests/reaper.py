"""Clears up after a process of the tests, however it ends: SIGKILL included.

`scratch` gives a process a temporary folder and starts this module beside it. When the process has
ended, the kernel closes its end of a pipe; then all that it started is killed and the folder is removed.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

_MARK = "FLASHSALE_SCRATCH"  # in the environment of all that is started
_ROUNDS = 100
_PAUSE = 0.05  # seconds between rounds
_open: list[int] = []  # the pipes' ends that the kernel closes


def scratch(prefix: str) -> Path:
    """A temporary folder for this process and all that it starts. It becomes their `TMPDIR`.

    Everybody may pass through it: PostgreSQL's programs may run as another user. The prefix is
    short: Chromium puts a socket into it, whose path has at most 107 characters, in nested runs too.
    """
    folder = Path(tempfile.mkdtemp(prefix=prefix))
    folder.chmod(0o711)
    read, write = os.pipe()
    subprocess.Popen(
        [sys.executable, "-S", __file__, str(folder)],
        stdin=read,
        stdout=subprocess.DEVNULL,  # whoever reads our output does not wait for the reaper
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        env={name: value for name, value in os.environ.items() if name != _MARK},
    )
    os.close(read)
    _open.append(write)
    os.environ[_MARK] = _added(os.environ.get(_MARK, ""), folder)
    temporary = folder / "tmp"
    temporary.mkdir(mode=0o711)
    os.environ["TMPDIR"] = tempfile.tempdir = str(temporary)
    return folder


def _added(marks: str, folder: Path) -> str:
    """A run within a run belongs to both."""
    return f"{marks}{folder}{os.pathsep}"


def main(folder: Path) -> None:
    os.read(0, 1)  # until it is closed
    for _ in range(_ROUNDS):
        started = [pid for pid in _processes() if _belongs(pid, folder)]
        for pid in started:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if not started:
            shutil.rmtree(folder, ignore_errors=True)
            if not folder.exists():
                return
        time.sleep(_PAUSE)


def _processes() -> list[int]:
    """All of them, where /proc lists them: elsewhere each server has to be stopped by hand."""
    return [
        int(path.name) for path in Path("/proc").glob("[0-9]*") if int(path.name) != os.getpid()
    ]


def _belongs(pid: int, folder: Path) -> bool:
    """By its environment, or by its working folder: some servers write over their environment."""
    mark = f"{folder}{os.pathsep}".encode()
    try:
        variables = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        where = Path(f"/proc/{pid}/cwd").readlink()
    except OSError:  # it has ended, or is somebody else's
        return False
    marked = any(each.startswith(_MARK.encode()) and mark in each for each in variables)
    return marked or where.is_relative_to(folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
