"""Commands at a terminal, in a pipe, and while what they need is away."""

import contextlib
import socket
from collections.abc import Iterator

import pytest
import redis
from django.conf import settings
from django.db import OperationalError

from conftest import MakeSale
from inventory import announce
from inventory.models import Sale
from ops.steps import STEPS
from orders import sale_lifecycle
from tests import deadlines
from tests.operators import at_a_terminal, here, spawned


def status(sale: Sale) -> str:
    sale.refresh_from_db()
    return sale.status


@pytest.mark.parametrize("answer", ["y", "yes", "Y"])
def test_a_yes_at_the_terminal_does_it(make_sale: MakeSale, answer: str) -> None:
    sale = make_sale()
    with at_a_terminal("sale", "pause", sale.slug) as terminal:
        terminal.reads("[y/N]")
        assert status(sale) == "live"
        terminal.types(f"{answer}\n")
        assert terminal.ends() == 0
    assert status(sale) == "paused"


@pytest.mark.parametrize("answer", ["\n", "n\n", "what?\n", "\x04"])
def test_everything_else_does_not(make_sale: MakeSale, answer: str) -> None:
    sale = make_sale()
    with at_a_terminal("sale", "pause", sale.slug) as terminal:
        terminal.reads("[y/N]")
        terminal.types(answer)
        assert terminal.ends() == 1
        assert "Nothing was changed." in terminal.screen
    assert status(sale) == "live"


def test_an_interrupted_command_has_changed_nothing_and_says_130(make_sale: MakeSale) -> None:
    sale = make_sale()
    with at_a_terminal("sale", "pause", sale.slug) as terminal:
        terminal.reads("[y/N]")
        terminal.types("\x03")
        assert terminal.ends() == 130
        assert "Traceback" not in terminal.screen
    assert status(sale) == "live"


def test_a_person_sees_a_table_and_a_pipe_plain_text(make_sale: MakeSale) -> None:
    sale = make_sale()
    with at_a_terminal("sale", "list") as terminal:
        assert terminal.ends() == 0
        assert "──" in terminal.screen
    piped = spawned("sale", "list").out
    assert sale.slug in piped
    assert "──" not in piped
    assert "\x1b" not in piped


def test_the_pages_hear_of_a_change_before_the_command_ends(make_sale: MakeSale) -> None:
    sale = make_sale()
    client = redis.Redis.from_url(settings.CHANNEL_URL)
    with client.pubsub() as pages:  # type: ignore[no-untyped-call]  # redis-py has none here
        pages.psubscribe(f"*{announce.GROUP}")
        assert pages.get_message(timeout=deadlines.seconds(5))  # that we listen
        spawned("sale", "pause", sale.slug, "--no-input")
        assert pages.get_message(timeout=0.1)


COMMANDS = [
    ("sale", "list"),
    ("sale", "pause", "x", "--no-input"),
    ("stock", "add", "x", "3", "--no-input"),
    ("order", "show", "12-K7Q29FX"),
    ("orders_export",),
    ("verify",),
]


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
@pytest.mark.deep
def test_a_postgresql_that_is_away_is_told_in_one_line(words: tuple[str, ...]) -> None:
    ran = spawned(*words, DATABASE_URL="postgres://flashsale:hunter2@127.0.0.1:1/flashsale")
    assert (ran.code, ran.out) == (1, "")
    [line] = ran.err.splitlines()
    assert "PostgreSQL cannot be reached" in line
    assert "hunter2" not in line


def test_whoever_lost_postgresql_half_way_is_told_to_look(
    make_sale: MakeSale, monkeypatch: pytest.MonkeyPatch
) -> None:
    sale, pause = make_sale(), sale_lifecycle.pause

    def pause_and_lose_it(pk: int, **who: str) -> None:
        pause(pk, **who)
        raise OperationalError("server closed the connection unexpectedly")

    monkeypatch.setitem(STEPS, "pause", STEPS["pause"]._replace(act=pause_and_lose_it))
    ran = here("sale", "pause", sale.slug, "--no-input")
    assert ran.code == 1
    assert "Check whether it was done before you repeat it." in ran.err


def test_a_failure_is_a_document_too() -> None:
    ran = spawned("sale", "list", "--json", DATABASE_URL="postgres://f:f@127.0.0.1:1/f")
    assert ran.code == 1
    assert "PostgreSQL cannot be reached" in ran.told["error"]


def test_a_postgresql_that_is_silent_is_not_waited_for_long() -> None:
    with silent_server() as port:
        ran = spawned("sale", "list", DATABASE_URL=f"postgres://f:f@127.0.0.1:{port}/f")
    assert ran.code == 1
    assert "PostgreSQL cannot be reached" in ran.err


def test_a_redis_that_is_silent_is_not_waited_for_long(make_sale: MakeSale) -> None:
    sale = make_sale()
    with silent_server() as port:
        ran = spawned(
            *("sale", "pause", sale.slug, "--no-input", "--json"),
            REDIS_URL=f"redis://:hunter2@127.0.0.1:{port}/0",
        )
    assert (ran.code, ran.told["committed"], ran.told["told"]) == (1, True, False)
    assert "hunter2" not in ran.err + ran.out


@contextlib.contextmanager
def silent_server() -> Iterator[int]:
    """Its port: connections are taken, and nothing is ever said."""
    with socket.create_server(("127.0.0.1", 0), backlog=100) as listening:
        yield listening.getsockname()[1]
