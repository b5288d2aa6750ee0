"""Runs all stages of `./check [deep] [STAGE...]`, and lists their results at the end.

Stages of one lane run in sequence, lanes run in parallel. A stage's output goes to `var/check/`, and is
printed if the stage fails. The exit code SKIPPED means that a stage could not check anything; the last line
of its output is the reason.
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
SKIPPED = 77  # as in automake's test drivers
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


# Hundreds of processes import the same files, and four collect the same tests.
_COMPILED_ONCE = {"PYTHONDONTWRITEBYTECODE": ""}


def _tests(name: str, *arguments: str, **env: str) -> Stage:
    return _python(name, "-m", "pytest", "--durations=25", *arguments, **_COMPILED_ONCE, **env)


# The browser's event loop and the ORM do not share a process otherwise.
_BROWSER = {"DJANGO_ALLOW_ASYNC_UNSAFE": "1"}
BROWSER_TESTS = "tests/browser"  # each process would import all other tests, to leave them out


def usual() -> list[Lane]:
    """The stages of `./check`. Tests mostly wait: three workers and static checks fill two cores."""
    parallel = ("--dist", "worksteal")
    return [
        [
            _tests("tests", "-n", "3", *parallel, "-m", "not browser and not deep and not alone"),
            _tests(
                "browser tests",
                "-n",
                "3",
                *parallel,
                BROWSER_TESTS,
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
    """The long stages, of `./check deep`, in sequence."""
    return [
        [
            _tests(
                "deep tests",
                "-n",
                "3",
                "--dist",
                "worksteal",
                "-m",
                "deep and not browser and not alone",
            ),
            _python("chaos", "manage.py", "chaos", "--minutes", "2"),
            _python("money", "manage.py", "chaos", "--minutes", "0.5", "--orders", "150"),
            _tests(
                "deep browser tests",
                "-n",
                "3",
                BROWSER_TESTS,
                "-m",
                "browser and deep and not alone",
                **_BROWSER,
            ),
            _tests("alone", "-m", "alone"),
            _python("mutations", "-m", "tests.mutations"),
        ]
    ]


def main(arguments: list[str]) -> int:
    lanes = deep() if arguments[:1] == ["deep"] else usual()
    names = arguments[1:] if arguments[:1] == ["deep"] else arguments
    stages = [stage for lane in lanes for stage in lane]
    known = {stage.name for stage in stages}
    if unknown := [name for name in names if name not in known]:
        print(f"No such stage: {', '.join(unknown)}. There are: {', '.join(sorted(known))}.")
        return 2
    chosen = [[stage for stage in lane if not names or stage.name in names] for lane in lanes]
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
    """Run until every stage has ended. An exception ends all running stages."""
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
    output = stage.log.read_text(errors="replace").rstrip()
    last = output.rpartition("\n")[2]
    if code == 0:
        stage.status = "ok"
    elif code == SKIPPED:
        stage.status = last
    else:
        stage.status = f"failed ({_fate(code)})"
        print(output)
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
    """Return a function for a new process: it makes the kernel send SIGTERM when this process is killed.
    None except on Linux."""
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
