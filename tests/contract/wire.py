"""A wire to Valkey that loses replies: a script call reaches Valkey, its answer nobody."""

import contextlib
import socket
import threading
from types import TracebackType
from urllib.parse import urlsplit


class Wire:
    """A TCP proxy in front of the Valkey at `target`."""

    def __init__(self, target: str) -> None:
        parts = urlsplit(target)
        self._valkey = (parts.hostname or "", parts.port or 0)
        self._listening = socket.create_server(("127.0.0.1", 0))
        port = self._listening.getsockname()[1]
        self.url = parts._replace(netloc=f":{parts.password}@127.0.0.1:{port}").geturl()
        self._losing = threading.Event()

    def lose_next_reply(self) -> None:
        """The next script is carried out, and the connection cut before its reply is passed on."""
        self._losing.set()

    def __enter__(self) -> "Wire":
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._listening.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # closed: the tests are over
            while True:
                near, _ = self._listening.accept()
                far = socket.create_connection(self._valkey)
                cut = threading.Event()
                for way in ((near, far, cut, True), (far, near, cut, False)):
                    threading.Thread(target=self._pass_on, args=way, daemon=True).start()

    def _pass_on(
        self, source: socket.socket, to: socket.socket, cut: threading.Event, commands: bool
    ) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                if commands and b"EVALSHA" in data and self._losing.is_set():
                    self._losing.clear()
                    cut.set()
                elif not commands and cut.is_set():
                    break  # Valkey has answered, so it was carried out
                to.sendall(data)
        for end in (source, to):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
