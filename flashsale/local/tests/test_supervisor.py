"""The supervisor, with real processes that die, hang and refuse to stop."""

import io
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from flashsale.local import child_process
from flashsale.local import supervisor as module
from flashsale.local.child_process import Process, stop_leftovers
from flashsale.local.output import Output
from flashsale.local.processes import identity
from flashsale.local.supervisor import AlreadyRunning, Supervisor, hold_lock
from tests import deadlines
from tests.stack import DEADLINE, ROOT, wait_for

SLEEPER = "import time; print('up', flush=True); time.sleep(600)"
STUBBORN = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {SLEEPER}"


@dataclass
class Bench:
    """A supervisor at work, and everything that it wrote."""

    supervisor: Supervisor
    written: io.StringIO
    records: Path

    def process(self, script: str, name: str = "child", grace: float = 5.0) -> Process:
        command = [sys.executable, "-c", script]
        return Process(name, command, self.supervisor.output, self.records, grace=grace)

    def keep(self, script: str, name: str = "child", grace: float = 5.0) -> Process:
        """Kept, and past its start: a signal meets what the script has set up."""
        process = self.process(script, name, grace)
        self.supervisor.keep(process)
        assert self.reads(f"{name:<10} | up")
        return process

    def reads(self, text: str) -> bool:
        return self.supervisor.wait(lambda: text in self.written.getvalue(), DEADLINE)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    written = io.StringIO()
    with Supervisor(Output(written)) as supervisor:
        yield Bench(supervisor, written, tmp_path / "run")


@dataclass
class Fake:
    """A supervised thing that only records the calls."""

    name: str
    diary: list[str] = field(default_factory=list)
    lives: bool = False
    cannot_start: bool = False
    grace: float = 1.0

    def launch(self) -> None:
        self.diary.append(f"{self.name} starts")
        if self.cannot_start:
            raise OSError("no room")
        self.lives = True

    def alive(self) -> bool:
        return self.lives

    def fate(self) -> str:
        return "fell asleep"

    def terminate(self) -> None:
        self.diary.append(f"{self.name} stops")
        self.lives = False

    def kill(self) -> None:
        self.diary.append(f"{self.name} is killed")
        self.lives = False


class TestRestarts:
    def test_what_is_killed_is_back_within_two_seconds(self, bench: Bench) -> None:
        child = bench.keep(SLEEPER)
        before = child.pid
        assert before is not None
        os.kill(before, signal.SIGKILL)
        assert bench.supervisor.wait(lambda: child.pid != before and child.alive(), DEADLINE)
        assert "child was ended by SIGKILL: starting it again" in bench.written.getvalue()

    def test_the_log_says_how_it_ended(self, bench: Bench) -> None:
        bench.supervisor.keep(bench.process("raise SystemExit(3)"))
        assert bench.reads("child ended with exit code 3: starting it again")

    def test_what_keeps_dying_is_started_more_and_more_slowly(self, bench: Bench) -> None:
        mayfly = Fake("mayfly")
        bench.supervisor.keep(mayfly)
        began = time.monotonic()
        bench.supervisor.wait(lambda: dies(mayfly) or len(mayfly.diary) == 4, DEADLINE)
        assert time.monotonic() - began > 1.5  # at once, then after 0.5 and 1 s more
        assert bench.reads("starting it again in 2 s")

    def test_pauses_end_somewhere(self) -> None:
        assert list(module.PAUSES) == sorted(module.PAUSES)
        assert module.PAUSES[0] == 0
        assert module.PAUSES[-1] == 10

    def test_who_has_lived_a_while_is_started_at_once_again(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(module, "STEADY_SECONDS", 0.0)
        steady = Fake("steady")
        bench.supervisor.keep(steady)
        bench.supervisor.wait(lambda: dies(steady) or len(steady.diary) > 9, DEADLINE)
        assert len(steady.diary) > 9
        assert "again in" not in bench.written.getvalue()

    def test_a_start_that_fails_is_tried_again(self, bench: Bench) -> None:
        server = Fake("server")
        bench.supervisor.keep(server)
        server.lives, server.cannot_start = False, True
        assert bench.reads("server cannot be started: no room")
        server.cannot_start = False
        assert bench.supervisor.wait(server.alive, 2)


class TestStopping:
    def test_the_last_one_kept_stops_first(self) -> None:
        diary: list[str] = []
        with Supervisor(Output(io.StringIO())) as supervisor:
            supervisor.keep(Fake("database", diary))
            supervisor.keep(Fake("worker", diary), Fake("beat", diary))
            supervisor.keep(Fake("web", diary))
            diary.clear()
        assert diary == ["web stops", "worker stops", "beat stops", "database stops"]

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
    def test_a_signal_ends_the_run(self, bench: Bench, number: signal.Signals) -> None:
        child = bench.keep(SLEEPER)
        os.kill(os.getpid(), number)
        bench.supervisor.run()
        assert child.alive()  # until the context is left
        bench.supervisor.__exit__(None, None, None)
        assert child.returncode == -signal.SIGTERM

    def test_what_does_not_stop_is_killed_with_its_children(self, bench: Bench) -> None:
        parent = (
            "import subprocess, sys\n"
            f"child = subprocess.Popen([sys.executable, '-c', {STUBBORN!r}])\n"
            "print(child.pid, flush=True)\n"
            f"{STUBBORN}"
        )
        stubborn = bench.keep(parent, grace=0.5)
        grandchild = int(bench.written.getvalue().split("| ")[1].split()[0])
        began = time.monotonic()
        bench.supervisor.__exit__(None, None, None)
        assert time.monotonic() - began < deadlines.seconds(10)
        assert stubborn.returncode == -signal.SIGKILL
        wait_for(lambda: identity(grandchild) is None, "the grandchild is gone")
        assert "child does not stop: killing it" in bench.written.getvalue()

    def test_one_group_may_use_what_others_left_of_their_time(self) -> None:
        """So that the whole is bounded by the sum, and a database may write its last pages."""
        slow = Fake("slow", grace=0.2)
        began = time.monotonic()
        with Supervisor(Output(io.StringIO())) as supervisor:
            supervisor.keep(slow)
            supervisor.keep(Fake("quick", grace=5.0))
            slow.terminate = lambda: None  # type: ignore[method-assign]
            slow.alive = lambda: time.monotonic() < began + 1  # type: ignore[method-assign]
        assert "slow is killed" not in slow.diary

    def test_children_do_not_hear_the_terminals_ctrl_c(self, bench: Bench) -> None:
        child = bench.keep(SLEEPER)
        assert child.pid is not None
        assert os.getsid(child.pid) == child.pid


class TestOneOffs:
    def test_a_command_is_run_to_its_end(self, bench: Bench) -> None:
        assert bench.supervisor.complete(bench.process("print('done'); raise SystemExit(4)")) == 4
        assert "child      | done\n" in bench.written.getvalue()

    def test_being_asked_to_stop_ends_it(self, bench: Bench) -> None:
        hasty = f"import os, signal; os.kill({os.getpid()}, signal.SIGTERM); {SLEEPER}"
        assert bench.supervisor.complete(bench.process(hasty)) == -signal.SIGTERM


class TestOutput:
    def test_every_line_has_a_name_in_front(self, bench: Bench) -> None:
        bench.supervisor.complete(
            bench.process("print('one\\ntwo'); print('three', end='')", "web")
        )
        assert (
            bench.written.getvalue() == "web        | one\nweb        | two\nweb        | three\n"
        )

    def test_a_line_without_end_does_not_fill_the_memory(self, bench: Bench) -> None:
        bench.supervisor.complete(bench.process("print('x' * 300_000, end='')"))
        assert bench.written.getvalue().count("x") == 300_000
        assert bench.written.getvalue().count("child") > 1

    def test_colours_are_for_terminals(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("NO_COLOR", raising=False)
        terminal = io.StringIO()
        monkeypatch.setattr(terminal, "isatty", lambda: True)
        Output(terminal).say("web", "hello")
        assert terminal.getvalue() == "\x1b[36mweb        |\x1b[0m hello\n"

    def test_a_terminal_that_went_away_stops_nothing(self, bench: Bench) -> None:
        bench.written.close()
        bench.supervisor.output.say("web", "hello")


class TestKilledSupervisors:
    @pytest.mark.skipif(sys.platform != "linux", reason="the kernel signals children on Linux only")
    def test_its_children_end_with_it(self, tmp_path: Path) -> None:
        script = (
            "import os, pathlib, signal, sys\n"
            "from flashsale.local.child_process import Process\n"
            "from flashsale.local.output import Output\n"
            "from flashsale.local.supervisor import Supervisor\n"
            "output = Output()\n"
            f"child = Process('child', [sys.executable, '-c', {SLEEPER!r}], output,\n"
            "    pathlib.Path(sys.argv[1]))\n"
            "with Supervisor(output) as supervisor:\n"
            "    supervisor.keep(child)\n"
            "    os.kill(os.getpid(), signal.SIGKILL)\n"
        )
        subprocess.run([sys.executable, "-c", script, str(tmp_path)], cwd=ROOT, check=False)
        pid = int((tmp_path / "child").read_text().split()[0])
        wait_for(lambda: identity(pid) is None, "the child is gone")

    def test_the_next_one_stops_what_is_left(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(child_process, "LEFTOVER_SECONDS", 0.3)
        with subprocess.Popen(
            [sys.executable, "-c", STUBBORN], stdout=subprocess.PIPE, start_new_session=True
        ) as left:
            assert left.stdout is not None
            left.stdout.readline()
            (tmp_path / "web-1").write_text(f"{left.pid} {identity(left.pid)}")
            assert stop_leftovers(tmp_path) == ["web-1"]
            assert left.wait(deadlines.seconds(5)) == -signal.SIGKILL
        assert list(tmp_path.iterdir()) == []

    def test_somebody_else_with_the_same_pid_is_left_alone(self, tmp_path: Path) -> None:
        (tmp_path / "web-1").write_text(f"{os.getpid()} another-boot 12345")
        assert stop_leftovers(tmp_path) == []

    def test_a_second_one_is_refused_and_told_why(self, tmp_path: Path) -> None:
        with (
            hold_lock(tmp_path / "lock"),
            pytest.raises(AlreadyRunning, match=f"process {os.getpid()}"),
            hold_lock(tmp_path / "lock"),
        ):
            pass
        with hold_lock(tmp_path / "lock"):
            pass


class TestIdentity:
    def test_is_the_same_for_one_process_and_differs_between_two(self) -> None:
        assert identity(os.getpid()) == identity(os.getpid()) != identity(os.getppid())

    def test_does_without_proc(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setattr("flashsale.local.processes._PROC", tmp_path)
        assert identity(os.getpid()) == identity(os.getpid()) is not None
        assert identity(2**22 + 1) is None

    def test_a_zombie_has_none(self) -> None:
        with subprocess.Popen([sys.executable, "-c", ""]) as child:
            wait_for(lambda: identity(child.pid) is None, "the child has ended, unnoticed")


def dies(fake: Fake) -> bool:
    """Lets it die as soon as it has been started; false, to be used as a condition."""
    fake.lives = False
    return False
