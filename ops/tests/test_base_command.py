"""What every operator command keeps to: one document, plain words, nothing changed unasked."""

import io
import json
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest
import redis
from django.core.exceptions import ValidationError
from django.core.management import CommandError, call_command
from django.db import DataError, OperationalError

from ops.base_command import (
    Failed,
    OperatorCommand,
    UsageError,
    _harmless,
    describe_failure,
    is_away,
)
from tests import deadlines
from tests.stack import ROOT


class Command(OperatorCommand):
    """Does what a test has it do."""

    def __init__(self, work: Callable[[OperatorCommand], int | None]) -> None:
        super().__init__()
        self._work = work

    def run(self, **options: Any) -> int | None:
        return self._work(self)


def carried_out(work: Callable[[OperatorCommand], int | None], **options: Any) -> tuple[int, str]:
    """The exit code of a command that does this, and its output."""
    out, code = io.StringIO(), 0
    try:
        call_command(Command(work), stdout=out, stderr=io.StringIO(), **options)
    except CommandError as failure:
        code = failure.returncode
    except SystemExit as end:
        code = int(end.code or 0)
    return code, out.getvalue()


def raising(error: Exception) -> Callable[[OperatorCommand], int | None]:
    def work(command: OperatorCommand) -> int | None:
        raise error

    return work


def as_django_tells(cause: psycopg.Error) -> OperationalError:
    error = OperationalError(str(cause))
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (Failed("no"), 1),
        (ValidationError("no"), 1),
        (OperationalError("no"), 1),
        (redis.ConnectionError("no"), 1),
        (UsageError("no"), 2),
        (CommandError("no", returncode=3), 3),
    ],
)
def test_a_failure_is_1_and_a_slip_is_2(error: Exception, code: int) -> None:
    assert carried_out(raising(error)) == (code, "")


def test_a_failure_is_told_as_json_where_json_was_asked_for() -> None:
    code, out = carried_out(raising(ValidationError({"name": "Too long."})), json=True)
    assert (code, json.loads(out)) == (1, {"error": "name: Too long."})


def test_times_in_json_are_iso() -> None:
    at = datetime(2035, 7, 1, 18, tzinfo=UTC)
    _, out = carried_out(lambda command: command.tell({"at": at}, ""), json=True)
    assert json.loads(out) == {"at": "2035-07-01T18:00:00+00:00"}


def test_the_columns_of_a_table_stand_below_each_other() -> None:
    rows = [("mug", 5), ("靴", 120)]  # whose letter is two places wide
    _, out = carried_out(lambda command: command.tell(None, command.table(("SKU", "LEFT"), rows)))
    assert out == "SKU  LEFT\nmug     5\n靴    120\n"


@pytest.mark.parametrize(
    ("error", "away", "words"),
    [
        (redis.ConnectionError("Error 111."), True, "Redis cannot be reached: Error 111."),
        (redis.ResponseError("wrong"), False, "Redis refused: wrong."),
        (
            redis.ResponseError("MISCONF Redis is configured"),
            False,
            "Redis cannot be written to, its last write to disk has failed: MISCONF Redis",
        ),
        (
            redis.exceptions.BusyLoadingError("Redis is loading", status_code="LOADING"),
            False,
            "Redis cannot be written to, it still loads its data: Redis is loading.",
        ),
        (
            as_django_tells(psycopg.errors.ReadOnlySqlTransaction("cannot execute INSERT")),
            False,
            "PostgreSQL can only be read: cannot execute INSERT.",
        ),
        (
            as_django_tells(psycopg.OperationalError("connection failed: refused\n\tIs it?")),
            True,
            "PostgreSQL cannot be reached: refused.",
        ),
        (
            as_django_tells(psycopg.errors.AdminShutdown("terminating")),
            True,
            "PostgreSQL cannot be reached: terminating.",
        ),
        (
            as_django_tells(psycopg.errors.LockNotAvailable("canceling")),
            False,
            "Somebody else is changing this just now",
        ),
        (DataError("value too long"), False, "PostgreSQL refused: value too long."),
    ],
)
def test_what_a_server_did_not_do_is_one_line(error: Exception, away: bool, words: str) -> None:
    assert is_away(error) is away
    assert describe_failure(error).startswith(words)
    assert "\n" not in describe_failure(error)


def test_an_argument_that_is_no_text_is_a_slip() -> None:
    done = subprocess.run(
        [sys.executable, "manage.py", "sale", "show", b"\xff\xfe"],
        cwd=ROOT,
        capture_output=True,
        check=False,
        timeout=deadlines.seconds(60),
    )
    assert done.returncode == 2
    assert b"no text" in done.stderr


def test_no_name_steers_the_terminal_of_an_operator() -> None:
    assert _harmless("shoe\x1b]0;PWNED\x07\x1b[2J\n\x1b[31mred\x1b[0m\x9b1m") == (
        "shoe\ufffd]0;PWNED\ufffd\ufffd[2J\n\x1b[31mred\x1b[0m\ufffd1m"
    )
