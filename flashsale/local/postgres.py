"""The embedded PostgreSQL, which holds the truth about sales and orders."""

import shutil
import signal
import subprocess
from functools import cached_property
from pathlib import Path

from flashsale.local import private_files
from flashsale.local.ordinary_user import Runner, runner_for
from flashsale.local.server import Server, ServerError

_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",  # a socket's path is limited to 107 bytes; VAR_DIR may be longer
    "max_connections": "100",
    "shared_buffers": "128MB",
    "fsync": "on",
    "synchronous_commit": "on",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_checkpoints": "off",
}
_NEW_DATABASE = (
    "--username=postgres",
    "--auth=reject",
    "--encoding=UTF8",
    "--locale-provider=builtin",
    "--locale=C.UTF-8",
    "--no-instructions",
)
# No line for the superuser: no connection can be one. Set-up uses the single-user mode instead.
_ACCESS = "host all flashsale 127.0.0.1/32 scram-sha-256\n"
_STATUS_LINE = 8  # of postmaster.pid; pg_ctl reads the same line


class Postgres(Server):
    name = "PostgreSQL"
    grace = 1.5
    stop_signal = signal.SIGINT  # "fast": does not wait for the application's connections to end

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @cached_property
    def _runner(self) -> Runner:
        return runner_for(self.folder)

    def _url(self, password: str, port: int) -> str:
        return f"postgres://flashsale:{password}@127.0.0.1:{port}/flashsale"

    def _prepare(self, new_password: bool) -> None:
        if not self.data.exists():
            self._create_data()
        self._runner.hand_over(self.data)
        if new_password:
            password, _ = self._address
            self._execute(self.data, f"ALTER ROLE flashsale PASSWORD '{password}'")
        (self.data / "postmaster.pid").unlink(missing_ok=True)

    def _spawn(self, lock: int, log: int) -> subprocess.Popen[bytes]:
        _, port = self._address
        settings = {**_SETTINGS, "port": str(port)}
        return self._runner.popen(
            self.data,
            "postgres",
            *(f"--{name}={value}" for name, value in settings.items()),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=[lock],
        )

    def _answers(self) -> bool:
        """Check for "ready" in postmaster.pid, written after crash recovery; then ask pg_isready."""
        _, port = self._address
        recorded = self._recorded()
        if len(recorded) < _STATUS_LINE or recorded[_STATUS_LINE - 1].strip() != "ready":
            return False
        where = f"--dbname=postgres://flashsale@127.0.0.1:{port}/flashsale"
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        asked = self._runner.popen(self.data, "pg_isready", where, "--timeout=1", **quiet)
        return asked.wait() == 0

    def _recorded_pid(self) -> int | None:
        recorded = self._recorded()
        return int(recorded[0]) if recorded and recorded[0].isdigit() else None

    def _recorded(self) -> list[str]:
        return private_files.read(self.data / "postmaster.pid").splitlines()

    def _create_data(self) -> None:
        """Create the data folder as a draft, renamed when complete: an interrupted run starts over."""
        draft = self.folder / "data.new"
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(mode=0o700)
        self._runner.hand_over(draft)
        self._run(draft, "initdb", *_NEW_DATABASE)
        (draft / "pg_hba.conf").write_text(_ACCESS)
        password, _ = self._address
        self._execute(
            draft,
            f"CREATE ROLE flashsale LOGIN CREATEDB PASSWORD '{password}'",
            "CREATE DATABASE flashsale OWNER flashsale",
        )
        draft.rename(self.data)

    def _execute(self, data: Path, *statements: str) -> None:
        """Run statements as superuser, in single-user mode, which reads one statement per line."""
        lines = "".join(f"{statement}\n" for statement in statements)
        self._run(data, "postgres", "--single", "-c", "exit_on_error=on", "template1", lines=lines)

    def _run(self, data: Path, program: str, *arguments: str, lines: str = "") -> None:
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        process = self._runner.popen(data, program, *arguments, **pipes)
        output, _ = process.communicate(lines.encode())
        if process.returncode != 0:
            printed = output.decode(errors="replace").strip()
            raise ServerError(f"{self.name}'s {program} failed:\n{printed}")
