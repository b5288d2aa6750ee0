"""Base classes of operator commands: exit codes, JSON, tables, questions before a change.

Results go to standard output and all else to standard error, so that the output can be piped.
"""

import io
import json
import os
import re
import shutil
import sys
from abc import abstractmethod
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any

import redis
from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError, InterfaceError, connections
from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from flashsale import database
from flashsale.characters import isolate
from flashsale.redis.refusals import refusal

FAILED, USAGE, INCONSISTENT, INTERRUPTED = 1, 2, 3, 130  # 0: done
_UNREAD = 141  # as a shell reports a program that was ended by SIGPIPE

Cells = Sequence[object]
Act = Callable[..., int | None]


class Failed(CommandError):
    """The command failed; the message says why, to the operator."""


class UsageError(CommandError):
    """The command was called with invalid or missing arguments."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args, returncode=USAGE)


class OperatorCommand(BaseCommand):
    """A command with `--json`. Subclasses implement `run`.

    Errors of the types in `refusals`, and those of PostgreSQL and Redis, become one line on standard error.
    With `--json` a command that fails also prints one document: `{"error": why}`.
    """

    refusals: tuple[type[Exception], ...] = (ValidationError,)
    requires_system_checks = []  # `prepare` and `doctor` check; a pause has to be quick
    as_json = False

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="the result as JSON")

    def add_change_arguments(self, parser: CommandParser) -> None:
        """Add the options of a (sub)command that changes something."""
        parser.add_argument("--dry-run", action="store_true", help="only say what would be done")
        parser.add_argument("--no-input", action="store_true", help="do it without asking")

    @abstractmethod
    def run(self, **options: Any) -> int | None:
        """Do the work and return an exit code; None is 0."""

    def run_from_argv(self, argv: list[str]) -> None:
        use_no_pool()
        if isinstance(sys.stdout, io.TextIOWrapper):  # a letter that cannot be shown is no failure
            sys.stdout.reconfigure(errors="replace")
        try:
            "".join(argv).encode()
        except UnicodeEncodeError:  # bytes that are not UTF-8
            self.stderr.write("One of the arguments is no text.")
            sys.exit(USAGE)
        try:
            try:
                super().run_from_argv(argv)
            finally:
                sys.stdout.flush()
        except BrokenPipeError:
            _discard_output()
            sys.exit(_UNREAD)

    def handle(self, *args: Any, **options: Any) -> None:
        self.as_json = options.get("json", False)
        try:
            code = self.run(**options)
        except CommandError as failure:
            self._print_failure(str(failure))
            raise
        except self.refusals as refusal:
            self._print_failure(_explain(refusal))
            raise Failed(_explain(refusal)) from refusal
        except (DatabaseError, InterfaceError, redis.RedisError) as error:
            self._print_failure(describe_failure(error))
            raise Failed(describe_failure(error)) from error
        if code:
            sys.exit(code)

    def tell(self, content: Any, words: str) -> None:
        """Print the result: `content` as JSON with `--json`, else `words`."""
        text = json.dumps(content, default=_plain) if self.as_json else _harmless(words)
        self.stdout.write(text)

    def note(self, words: str) -> None:
        """Print a line for the operator that is not part of the result."""
        self.stderr.write(_harmless(words), self.style.NOTICE)

    def table(self, headings: Sequence[str], rows: Iterable[Cells]) -> str:
        """Format rows of cells: a drawn table on a terminal, else aligned text."""
        cells = list(rows)
        if not self.stdout.isatty():
            return aligned(headings, cells)
        width = shutil.get_terminal_size().columns
        console = Console(file=io.StringIO(), width=width, force_terminal=True)
        table = Table(*headings, box=box.SIMPLE_HEAD, pad_edge=False)
        for column, cell in zip(table.columns, cells[0] if cells else (), strict=False):
            column.justify = "right" if isinstance(cell, int) else "left"
        for column in table.columns:
            column.overflow = "fold"  # a long name without blanks is shown as a whole
        for row in cells:
            table.add_row(*(Text(_format_cell(cell)) for cell in row))
        with console.capture() as drawn:
            console.print(table)
        return drawn.get().rstrip("\n")

    def confirmed(self, question: str, *, dry_run: bool, no_input: bool) -> bool:
        """Ask whether to go on. Raises UsageError without a terminal to ask on, Failed on a no."""
        if dry_run:
            self.note(f"Not done (--dry-run): {question}")
            return False
        if no_input:
            return True
        if not (sys.stdin.isatty() and self.stderr.isatty()):
            raise UsageError(f"{question} There is no terminal to ask on: add --no-input.")
        self.stderr.write(f"{_harmless(question)} [y/N] ", ending="")
        self.stderr.flush()
        if sys.stdin.readline().strip().lower() not in ("y", "yes"):
            raise Failed("Nothing was changed.")
        return True

    def _print_failure(self, words: str) -> None:
        if self.as_json:
            self.tell({"error": words}, "")


class CommandFamily(OperatorCommand):
    """Subcommands of one name, such as `manage.py sale list`. Subclasses implement `add_commands`."""

    def add_arguments(self, parser: CommandParser) -> None:
        self._commands = parser.add_subparsers(metavar="COMMAND", required=True)
        self.add_commands()

    @abstractmethod
    def add_commands(self) -> None:
        """Call `add_command` for each subcommand."""

    def add_command(self, name: str, act: Act, what: str) -> CommandParser:
        """Add a subcommand that calls `act` with its options and has the help text `what`."""
        parser: CommandParser = self._commands.add_parser(name, help=what, description=what)
        super().add_arguments(parser)
        parser.set_defaults(act=act)
        return parser

    def run(self, **options: Any) -> int | None:
        act: Act = options.pop("act")
        return act(**options)


def describe_failure(error: Exception) -> str:
    """Describe an error of PostgreSQL or Redis to an operator, in one line."""
    if getattr(error.__cause__, "sqlstate", None) == "55P03":  # lock_not_available
        return "Somebody else is changing this just now and takes long. Please try again."
    hint = ""
    if is_away(error):
        hint = " Is the shop running?"
        if not settings.PRODUCTION:  # the embedded servers of this folder are meant
            hint += " Neither DATABASE_URL nor REDIS_URL is set."
    return f"{complaint(error)}{hint} See `manage.py doctor`."


def complaint(error: Exception) -> str:
    """Name the server that failed or refused, with the first line of its error."""
    if refused := refusal(error):
        return f"Redis cannot be written to, {refused.why}: {first_line(error)}."
    if database.only_reads(error):
        return f"PostgreSQL can only be read: {first_line(error)}."
    server = "Redis" if isinstance(error, redis.RedisError) else "PostgreSQL"
    return f"{server} {'cannot be reached' if is_away(error) else 'refused'}: {first_line(error)}."


def is_away(error: Exception) -> bool:
    """Whether the server was not reached, or went away; otherwise it answered with a refusal."""
    if isinstance(error, redis.ConnectionError | redis.TimeoutError):
        return refusal(error) is None
    return database.is_away(error)


def first_line(error: Exception) -> str:
    """The first line of an error's message, to be used within a sentence."""
    lines = str(error).strip().splitlines()
    return (
        lines[0].removeprefix("connection failed: ").rstrip(".:") if lines else type(error).__name__
    )


def use_no_pool() -> None:
    """Connect without a pool: a command is alone in its process, and a pool logs each attempt to connect
    and in the end raises an error without the reason."""
    connections.settings["default"]["OPTIONS"].pop("pool", None)


def _discard_output() -> None:
    """Send buffered output to nowhere: flushed at exit, it would raise BrokenPipeError again."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        os.dup2(nowhere, stream.fileno())


def _explain(error: Exception) -> str:
    if isinstance(error, ValidationError):
        if hasattr(error, "error_dict"):
            by_field = error.message_dict.items()
            return " ".join(f"{field}: {' '.join(messages)}" for field, messages in by_field)
        return " ".join(error.messages)
    return str(error).strip() or type(error).__name__


def _plain(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _format_cell(cell: object) -> str:
    return "" if cell is None else isolate(_harmless(str(cell)))


# Control characters and escape sequences, except line breaks, tabs and colours, and characters that turn
# the direction of a line: staff write names, and operators read them on a terminal.
_STEERING = re.compile(r"\x1b(?!\[[0-9;]*m)|[\x00-\x08\x0b-\x1a\x1c-\x1f\x7f-\x9f\u202a-\u202e]")


def _harmless(words: str) -> str:
    return _STEERING.sub("\ufffd", words)


def aligned(headings: Sequence[str], rows: Sequence[Cells]) -> str:
    """Align columns, two spaces apart, numbers to the right; wide letters take two places."""
    texts = [list(headings), *([_format_cell(cell) for cell in row] for row in rows)]
    widths = [max(map(cell_len, column)) for column in zip(*texts, strict=True)]
    right = [isinstance(cell, int) for cell in rows[0]] if rows else [False] * len(headings)
    lines = []
    for line in texts:
        padded = []
        for text, width, to_the_right in zip(line, widths, right, strict=True):
            blank = " " * (width - cell_len(text))
            padded.append(blank + text if to_the_right else text + blank)
        lines.append("  ".join(padded).rstrip())
    return "\n".join(lines)
