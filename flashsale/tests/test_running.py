"""`./manage.py` finds the shop that runs from its checkout, and never one that is not meant."""

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from flashsale import running
from flashsale.running import Shop
from tests.stack import wait_for

DEFAULT = Shop(str(running.DEFAULT_VAR_DIR), "127.0.0.1", 8000)
OTHER = Shop("/somewhere/else", "127.0.0.1", 8300)
THIRD = Shop("/a/third", "::1", 8301)


@pytest.fixture
def records(tmp_path: Path) -> Path:
    return tmp_path / "shops"


def filled(records: Path, **environment: str) -> dict[str, str]:
    """The environment of a command that starts with these variables."""
    running.fill_environment(environment, records)
    return environment


@contextlib.contextmanager
def run_by_others(records: Path, *shops: Shop) -> Iterator[list["subprocess.Popen[bytes]"]]:
    """Each by a process of its own, as `up` is."""
    script = (
        "import sys, json, pathlib; from flashsale import running\n"
        "with running.record_shop(running.Shop(*json.loads(sys.argv[1])), pathlib.Path(sys.argv[2])):\n"
        "    sys.stdin.read()\n"
    )
    with contextlib.ExitStack() as all_of_them:
        processes = []
        for shop in shops:
            said = json.dumps([shop.var_dir, shop.host, shop.port])
            command = [sys.executable, "-c", script, said, str(records)]
            process = subprocess.Popen(command, stdin=subprocess.PIPE, cwd=running.CHECKOUT)
            all_of_them.enter_context(process)
            all_of_them.callback(process.kill)
            processes.append(process)
        wait_for(lambda: len(running.find_shops(records)) == len(shops), "all are recorded")
        yield processes


def test_what_the_environment_leaves_open_is_told(records: Path) -> None:
    with run_by_others(records, OTHER):
        assert filled(records) == {"VAR_DIR": OTHER.var_dir, "HOST": "127.0.0.1", "PORT": "8300"}
        assert filled(records, VAR_DIR=" ", PORT="")["PORT"] == "8300"


def test_what_the_environment_says_holds(records: Path) -> None:
    with run_by_others(records, OTHER):
        elsewhere = {"VAR_DIR": "/nowhere"}
        assert filled(records, **elsewhere) == elsewhere
        elsewhere = {"PORT": "1"}
        assert filled(records, **elsewhere) == elsewhere
        assert filled(records, PORT="8300")["VAR_DIR"] == OTHER.var_dir
        assert filled(records, VAR_DIR="/somewhere/./else")["PORT"] == "8300"
        assert filled(records, HOST="10.0.0.1")["HOST"] == "10.0.0.1"


@pytest.mark.parametrize("name", ["DATABASE_URL", "REDIS_URL"])
def test_nothing_is_guessed_where_servers_are_named(records: Path, name: str) -> None:
    with run_by_others(records, OTHER):
        assert filled(records, **{name: "x"}) == {name: "x"}


def test_of_several_the_default_folders_shop_is_chosen_and_otherwise_none(records: Path) -> None:
    with run_by_others(records, OTHER, THIRD):
        with pytest.raises(running.Ambiguous) as complaint:
            filled(records)
        assert "VAR_DIR=/a/third (port 8301)\n" in str(complaint.value)
        assert filled(records, VAR_DIR="/a/third")["HOST"] == "::1"
        with run_by_others(records.with_name("more"), DEFAULT):
            record = next(records.with_name("more").glob("*.json"))
            record.rename(records / record.name)
            assert filled(records)["PORT"] == "8000"


def test_one_that_was_killed_is_not_found_and_its_record_goes(records: Path) -> None:
    with run_by_others(records, OTHER) as [process]:
        process.kill()
        process.wait()
        assert len(list(records.iterdir())) == 1
        assert filled(records) == {}
    with running.record_shop(DEFAULT, records):
        assert [record.stem for record in records.iterdir()] == [str(os.getpid())]
    assert list(records.iterdir()) == []
