"""The output of several processes on one terminal: whole lines, each with its process' name in front."""

import contextlib
import os
import selectors
import sys
from dataclasses import dataclass
from typing import IO, TextIO

_COLOURS = (36, 33, 32, 35, 34, 31)
_LONGEST_LINE = 64 * 1024  # bytes


class Output:
    """Relays the output of processes line by line, each line with a name in front."""

    def __init__(self, out: TextIO | None = None) -> None:
        self._out = out or sys.stdout
        self._selector = selectors.DefaultSelector()
        self._colours: dict[str, int] = {}
        self._coloured = self._out.isatty() and "NO_COLOR" not in os.environ

    def say(self, name: str, line: str) -> None:
        front = f"{name:<10} |"
        if self._coloured:
            colour = self._colours.setdefault(name, _COLOURS[len(self._colours) % len(_COLOURS)])
            front = f"\x1b[{colour}m{front}\x1b[0m"
        # A closed terminal must not stop the shop.
        with contextlib.suppress(OSError, ValueError):
            self._out.write(f"{front} {line}\n")
            self._out.flush()

    def attach(self, name: str, pipe: IO[bytes]) -> None:
        self._selector.register(pipe, selectors.EVENT_READ, _Lines(name))

    def relay(self, seconds: float) -> bool:
        """Wait at most `seconds` for output and relay it. False if there was none."""
        ready = self._selector.select(seconds)
        for key, _ in ready:
            chunk = os.read(key.fd, _LONGEST_LINE)
            for line in key.data.complete(chunk):
                self.say(key.data.name, line.decode(errors="replace"))
            if not chunk:
                self._selector.unregister(key.fileobj)
                key.fileobj.close()  # type: ignore[union-attr]  # `attach` takes files only
        return bool(ready)

    def drain(self) -> None:
        """Relay the output that is available now."""
        while self.relay(0):
            pass


@dataclass
class _Lines:
    """Splits the output of one pipe into lines."""

    name: str
    rest: bytes = b""

    def complete(self, chunk: bytes) -> list[bytes]:
        """The lines that the chunk completes. An empty chunk means the end, and completes the rest."""
        *lines, self.rest = (self.rest + chunk).split(b"\n")
        if self.rest and (not chunk or len(self.rest) >= _LONGEST_LINE):
            lines.append(self.rest)
            self.rest = b""
        return lines
