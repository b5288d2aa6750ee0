"""A TCP proxy in front of a server that the product needs. It is slow, silent or gone when it is told
to be, keeps something back, or cuts a connection at one word."""

import contextlib
import random
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import urlsplit

# Below what the system hands out to outgoing connections: one of those could take the port while
# nobody listens at it.
_PORTS = range(20_000, 32_768)


@dataclass
class Cut:
    """One connection is cut at `word`, the first after `mark` was said on it: before the word reaches
    the server, or after the server has answered to it."""

    word: bytes
    mark: bytes
    answered: bool
    happened: threading.Event = field(default_factory=threading.Event)


@dataclass
class _Line:
    """A connection of the product and ours for it."""

    near: socket.socket
    far: socket.socket
    marked: bool = False

    def close(self) -> None:
        for end in (self.near, self.far):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()


class Proxy:
    """Stands in front of the server at `server`; `url` is where the product finds it."""

    def __init__(self, server: str) -> None:
        parts = urlsplit(server)
        self._server = (parts.hostname or "", parts.port or 0)
        self._listening, self._port = _listen_somewhere()
        who = f"{parts.username or ''}:{parts.password}"
        self.url = parts._replace(netloc=f"{who}@127.0.0.1:{self._port}").geturl()
        self._lines: list[_Line] = []
        self._flowing = threading.Event()
        self._flowing.set()
        self._late = 0.0
        self._kept_back = b""
        self._cut: Cut | None = None

    @contextlib.contextmanager
    def running(self) -> Iterator["Proxy"]:
        self._serve()
        try:
            yield self
        finally:
            self._flowing.set()
            self._end()

    @contextlib.contextmanager
    def slow(self, seconds: float) -> Iterator[None]:
        """Whatever the server says comes that much later."""
        self._late = seconds
        try:
            yield
        finally:
            self._late = 0.0

    @contextlib.contextmanager
    def silent(self) -> Iterator[None]:
        """Connections are taken and nothing passes; afterwards everything does, however old."""
        self._flowing.clear()
        try:
            yield
        finally:
            self._flowing.set()

    @contextlib.contextmanager
    def gone(self) -> Iterator[None]:
        """All connections are lost, and new ones refused."""
        self._end()
        try:
            yield
        finally:
            self._listening = socket.create_server(("127.0.0.1", self._port), backlog=1024)
            self._serve()

    @contextlib.contextmanager
    def leading_to(self, server: str) -> Iterator[None]:
        """New connections lead to another server; those from before stay."""
        before, parts = self._server, urlsplit(server)
        self._server = (parts.hostname or "", parts.port or 0)
        try:
            yield
        finally:
            self._server = before

    @contextlib.contextmanager
    def keeping_back(self, word: bytes) -> Iterator[None]:
        """What the server says with this word in it reaches nobody."""
        self._kept_back = word
        try:
            yield
        finally:
            self._kept_back = b""

    def cut_at(self, word: bytes, *, after: bytes, answered: bool) -> Cut:
        self._cut = Cut(word, after, answered)
        return self._cut

    def _serve(self) -> None:
        self._accepting = threading.Thread(
            target=self._accept, args=(self._listening,), daemon=True
        )
        self._accepting.start()

    def _end(self) -> None:
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)  # closing alone would not wake who accepts
        self._listening.close()
        self._accepting.join()  # whom it has just let in is among the lines then
        for line in self._lines:
            line.close()
        self._lines.clear()

    def _accept(self, listening: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = listening.accept()
                try:
                    far = socket.create_connection(self._server)
                except OSError:
                    near.close()
                    continue
                for end in (near, far):
                    end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                line = _Line(near, far)
                self._lines.append(line)
                for upwards in (True, False):
                    work = threading.Thread(target=self._pass_on, args=(line, upwards), daemon=True)
                    work.start()

    def _pass_on(self, line: _Line, upwards: bool) -> None:
        source, to = (line.near, line.far) if upwards else (line.far, line.near)
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                if not upwards:
                    time.sleep(self._late)
                self._flowing.wait()
                if self._is_cut(line, upwards, data):
                    break
                if upwards or not self._kept_back or self._kept_back not in data:
                    to.sendall(data)
        line.close()

    def _is_cut(self, line: _Line, upwards: bool, data: bytes) -> bool:
        cut = self._cut
        if cut is None or cut.happened.is_set():
            return False
        line.marked |= upwards and cut.mark in data
        if not line.marked or cut.word not in data or upwards == cut.answered:
            return False
        cut.happened.set()
        return True


def _listen_somewhere() -> tuple[socket.socket, int]:
    while True:
        port = random.choice(_PORTS)
        with contextlib.suppress(OSError):
            return socket.create_server(("127.0.0.1", port), backlog=1024), port
