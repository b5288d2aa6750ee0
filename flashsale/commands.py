"""What operator commands have in common: exit codes, JSON, questions before something changes.

Data goes to standard output and everything else to standard error, so that the output can be piped.
"""

import json
import sys
from abc import abstractmethod
from typing import Any

import redis
from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError

FAILED, USAGE, INCONSISTENT = 1, 2, 3  # 0: done, 130: interrupted


class UsageError(CommandError):
    """The call itself cannot be carried out as it stands."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args, returncode=USAGE)


class OperatorCommand(BaseCommand):
    """A command with `--json`. Subclasses implement `run`; what they raise of `refusals` is told in a
    line, as is a database or a Redis that cannot be reached."""

    refusals: tuple[type[Exception], ...] = (ValidationError,)

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="the result as JSON")

    def add_change_arguments(self, parser: CommandParser) -> None:
        """For a (sub)command that changes something."""
        parser.add_argument("--dry-run", action="store_true", help="only say what would be done")
        parser.add_argument("--no-input", action="store_true", help="do it without asking")

    @abstractmethod
    def run(self, **options: Any) -> int | None:
        """Does the work and returns an exit code, 0 by default."""

    def handle(self, *args: Any, **options: Any) -> None:
        self.as_json: bool = options["json"]
        try:
            code = self.run(**options)
        except self.refusals as refusal:
            raise CommandError(_words(refusal)) from refusal
        except (DatabaseError, redis.RedisError) as error:
            raise CommandError(f"Is the shop running? {_words(error)}") from error
        if code:
            sys.exit(code)

    def tell(self, content: Any, words: str) -> None:
        """The result: `content` as JSON where that was asked for, else the words."""
        self.stdout.write(json.dumps(content, default=str) if self.as_json else words)

    def note(self, words: str) -> None:
        """For the person at the terminal, not part of the result."""
        self.stderr.write(words, self.style.NOTICE)

    def confirmed(self, question: str, *, dry_run: bool, no_input: bool) -> bool:
        """Whether to go on. Raises UsageError where nobody can be asked, CommandError on a no."""
        if dry_run:
            self.note(f"Not done (--dry-run): {question}")
            return False
        if no_input:
            return True
        if not sys.stdin.isatty():
            raise UsageError(f"{question} There is no terminal to ask on: add --no-input.")
        self.stderr.write(f"{question} [y/N] ", ending="")
        self.stderr.flush()
        if sys.stdin.readline().strip().lower() not in ("y", "yes"):
            raise CommandError("Nothing was changed.")
        return True


def _words(error: Exception) -> str:
    if isinstance(error, ValidationError):
        return " ".join(error.messages)
    return str(error).strip() or type(error).__name__
