"""Runs the stages of `./check [deep] [STAGE...]`: all of them, and says at the end which failed.

Stages of one lane run one after the other, lanes run beside each other. A stage's output goes to
`var/check/` and is printed when the stage has failed. A stage that ends with SKIPPED has nothing to
say; its last line says why.
"""

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOGS = ROOT / "var" / "check"
SKIPPED = 77  # the exit code that test drivers use for this
INTERRUPTED = 130
_TICK = 0.1  # seconds
_GRACE = 10.0  # seconds between SIGTERM and SIGKILL
_PR_SET_PDEATHSIG = 1


@dataclass
class Stage:
    name: str
    command: list[str]
    env: dict[str, str] = field(default_factory=dict)
    status: str = "not run"
    seconds: float = 0.0

    @property
    def log(self) -> Path:
        return LOGS / f"{self.name.replace(' ', '-')}.log"


@dataclass
class Running:
    stage: Stage
    process: "subprocess.Popen[bytes]"
    began: float


Lane = list[Stage]


def _python(name: str, *arguments: str, **env: str) -> Stage:
    return Stage(name, [sys.executable, *arguments], env)


def _tests(name: str, *arguments: str, **env: str) -> Stage:
    return _python(name, "-m", "pytest", *arguments, **env)


# The browser's event loop and the ORM do not share a process otherwise.
_BROWSER = {"DJANGO_ALLOW_ASYNC_UNSAFE": "1"}


def usual() -> list[Lane]:
    """Tests wait more than they work: three at once keep two cores busy, beside what needs no servers."""
    parallel = ("--dist", "worksteal")
    return [
        [
            _tests("tests", "-n", "3", *parallel, "-m", "not browser and not deep and not alone"),
            _tests(
                "browser tests",
                "-n",
                "2",
                *parallel,
                "-m",
                "browser and not deep and not alone",
                **_BROWSER,
            ),
        ],
        [
            _python("ruff format", "-m", "ruff", "format", "--check", "."),
            _python("ruff check", "-m", "ruff", "check", "."),
            Stage("layers", [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]),
            _python("migrations", "manage.py", "makemigrations", "--check", "--dry-run"),
            _python("messages", "tools/messages.py", "--check"),
            _python("audit", "tools/audit.py"),
            _python("mypy", "-m", "mypy", "."),
        ],
    ]


def deep() -> list[Lane]:
    """What takes long, each stage by itself."""
    return [
        [
            _tests("deep tests", "-n", "2", "-m", "deep and not browser and not alone"),
            _python("chaos", "manage.py", "chaos", "--minutes", "2"),
            _tests(
                "deep browser tests", "-n", "2", "-m", "browser and deep and not alone", **_BROWSER
            ),
            _tests("alone", "-m", "alone"),
            _python("mutations", "-m", "tests.mutations"),
        ]
    ]


def main(arguments: list[str]) -> int:
    lanes = deep() if arguments[:1] == ["deep"] else usual()
    asked = arguments[1:] if arguments[:1] == ["deep"] else arguments
    stages = [stage for lane in lanes for stage in lane]
    known = {stage.name for stage in stages}
    if unknown := [name for name in asked if name not in known]:
        print(f"No such stage: {', '.join(unknown)}. There are: {', '.join(sorted(known))}.")
        return 2
    chosen = [[stage for stage in lane if not asked or stage.name in asked] for lane in lanes]
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        run(chosen)
    except KeyboardInterrupt:
        print("Interrupted.", flush=True)
        return INTERRUPTED
    ran = [stage for lane in chosen for stage in lane]
    print(table(ran), flush=True)
    return 1 if any(stage.status.startswith("failed") for stage in ran) else 0


def run(lanes: list[Lane]) -> None:
    """Returns when every stage has ended; on an exception nothing of them goes on."""
    LOGS.mkdir(parents=True, exist_ok=True)
    waiting = [iter(lane) for lane in lanes]
    running: list[Running | None] = [_next(lane) for lane in waiting]
    try:
        while any(running):
            time.sleep(_TICK)
            for number, one in enumerate(running):
                if one is not None and one.process.poll() is not None:
                    _finish(one)
                    running[number] = _next(waiting[number])
    finally:
        _end([one.process for one in running if one is not None])


def _next(lane: Iterator[Stage]) -> Running | None:
    stage = next(lane, None)
    if stage is None:
        return None
    print(f"== {stage.name}: begins", flush=True)
    with stage.log.open("wb") as log:
        process = subprocess.Popen(
            stage.command,
            cwd=ROOT,
            env=os.environ | stage.env,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=_end_with_parent(),
        )
    return Running(stage, process, time.monotonic())


def _finish(one: Running) -> None:
    stage, code = one.stage, one.process.returncode
    stage.seconds = time.monotonic() - one.began
    said = stage.log.read_text(errors="replace").rstrip()
    last = said.rpartition("\n")[2]
    if code == 0:
        stage.status = "ok"
    elif code == SKIPPED:
        stage.status = last
    else:
        stage.status = f"failed ({_fate(code)})"
        print(said)
    about = f" ({last})" if code == 0 and last else ""
    print(f"== {stage.name}: {stage.status}, {stage.seconds:.0f} s{about}", flush=True)


def _fate(code: int) -> str:
    return f"exit code {code}" if code >= 0 else f"signal {-code}"


def table(stages: list[Stage]) -> str:
    names = max(len(stage.name) for stage in stages)
    states = max(len(stage.status) for stage in stages)
    rows = [f"{s.name:<{names}}  {s.status:<{states}}  {s.seconds:5.0f} s" for s in stages]
    return "\n".join(["", *rows])


def _end(processes: "list[subprocess.Popen[bytes]]") -> None:
    for process in processes:
        process.send_signal(signal.SIGTERM)
    end = time.monotonic() + _GRACE
    for process in processes:
        try:
            process.wait(max(0.0, end - time.monotonic()))
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _end_with_parent() -> Callable[[], None] | None:
    """For a new process: the kernel sends it SIGTERM when this one has been killed. Only on Linux."""
    prctl = getattr(ctypes.CDLL(None), "prctl", None)
    if prctl is None:
        return None
    parent = os.getpid()

    def ask() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)

    return ask


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
