"""An operator: types commands, reads what they say, and answers what they ask."""

import contextlib
import io
import json
import os
import pty
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

from django.core.management import (
    CommandError,
    call_command,
    get_commands,
    load_command_class,
)

from tests import forks
from tests.stack import DEADLINE, wait_for


@dataclass(frozen=True)
class Ran:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def told(self) -> Any:
        """Its one JSON document."""
        return json.loads(self.out)


def here(*words: str) -> Ran:
    """A command in this process: quick, but malformed words are an exception and not an exit code."""
    out, err, code = io.StringIO(), io.StringIO(), 0
    try:
        call_command(*words, stdout=out, stderr=err)
    except CommandError as failure:
        err.write(str(failure))
        code = failure.returncode
    except SystemExit as end:
        code = int(end.code or 0)
    return Ran(code, out.getvalue(), err.getvalue())


def typed(*words: str) -> Ran:
    """A command in this process, words parsed as on the command line, with no terminal."""
    name, *arguments = words
    out, err, code = io.StringIO(), io.StringIO(), 0
    with (
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        patch("ops.base_command.use_no_pool"),  # it is not alone in its process
    ):
        try:
            command = load_command_class(get_commands()[name], name)
            command.run_from_argv(["manage.py", name, *arguments])
        except SystemExit as end:
            code = int(end.code or 0)
    return Ran(code, out.getvalue(), err.getvalue())


def spawned(*words: str, **env: str) -> Ran:
    """A command in a process of its own, with files instead of a terminal."""
    return run(manage(*words), {**os.environ, **env})


def run(command: list[str], env: Mapping[str, str]) -> Ran:
    """The same for any program of the product, with all of its environment."""
    with (
        tempfile.TemporaryFile("w+") as out,
        tempfile.TemporaryFile("w+") as err,
        Path(os.devnull).open() as nothing,
    ):
        streams = (nothing.fileno(), out.fileno(), err.fileno())
        process = forks.start(command, env, streams)
        try:
            code = process.wait(DEADLINE)
        finally:
            process.kill()
        out.seek(0)
        err.seek(0)
        return Ran(code, out.read(), err.read())


class Terminal:
    """A command at a real terminal, which it cannot tell from a person's."""

    def __init__(self, *words: str) -> None:
        self._us, theirs = pty.openpty()
        os.set_blocking(self._us, False)
        self._process = forks.start(manage(*words), os.environ, (theirs, theirs, theirs))
        os.close(theirs)
        self.screen = ""

    def reads(self, words: str) -> None:
        """Waits until these words stand on the screen."""

        def shown() -> bool:
            self._look()
            return words in self.screen

        wait_for(shown, f"{words!r} on the screen")

    def types(self, keys: str) -> None:
        os.write(self._us, keys.encode())

    def ends(self) -> int:
        """Reads on until it has ended: a full terminal would hold it up. Gives the exit code."""

        def ended() -> bool:
            self._look()
            return self._process.poll() is not None

        wait_for(ended, "the end of the command")
        self._look()
        return self._process.wait()

    def close(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait(DEADLINE)
        os.close(self._us)

    def _look(self) -> None:
        # An error where nothing is to be read now, or nobody will write any more.
        with contextlib.suppress(OSError):
            while read := os.read(self._us, 65536):
                self.screen += read.decode(errors="replace")


@contextlib.contextmanager
def at_a_terminal(*words: str) -> Iterator[Terminal]:
    terminal = Terminal(*words)
    try:
        yield terminal
    finally:
        terminal.close()


def manage(*words: str) -> list[str]:
    return [sys.executable, "manage.py", *words]
