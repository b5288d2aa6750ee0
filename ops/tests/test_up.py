"""`manage.py up` as an operator meets it: the whole shop, in folders and on ports of its own."""

import contextlib
import json
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import httpx
import pytest

from flashsale.local import embedded
from flashsale.local.postgres import Postgres
from flashsale.local.processes import identity
from flashsale.local.valkey import Valkey
from flashsale.running import find_shops as recorded_shops
from tests import deadlines, servers
from tests.operators import manage, run
from tests.stack import ROOT, wait_for

ROLES = ("web-1", "web-2", "worker", "beat")
TRIED = [pytest.param(r, marks=pytest.mark.deep if r == "web-2" else ()) for r in ROLES]


class Up:
    """One run of `manage.py up` on `var_dir`, with nothing of the tests' own servers to be seen.

    Not to be found by whoever uses this checkout meanwhile, unless it is one of the test's own.
    """

    def __init__(self, var_dir: Path, checkout: Path = ROOT, **variables: str) -> None:
        self.var_dir = var_dir
        self.environment = environment(var_dir, **variables)
        self.log = var_dir.with_name(f"{var_dir.name}.log")
        with self.log.open("w") as log:
            command = manage("up", *["--unlisted"][: checkout == ROOT])
            self.process = subprocess.Popen(
                command, cwd=checkout, env=self.environment, stdout=log, stderr=log
            )

    @property
    def written(self) -> str:
        return self.log.read_text()

    @property
    def url(self) -> str:
        """Waits until it is announced."""
        return wait_for(self._announced, f"an address in {self.log}", seconds=120)

    def _announced(self) -> str:
        assert self.process.poll() is None, self.written
        found = re.search(r"The shop is open: +(\S+)", self.written)
        return found[1] if found else ""

    def pid(self, role: str) -> int:
        """0 while the record of a new process is written."""
        pid, _, _ = (self.var_dir / "run" / role).read_text().partition(" ")
        return int(pid or 0)

    def pids(self) -> list[int]:
        servers = (
            Postgres(embedded.postgres_folder(self.var_dir)).pid,
            Valkey(embedded.valkey_folder(self.var_dir)).pid,
        )
        return [pid for pid in (*map(self.pid, ROLES), *servers) if pid]

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(deadlines.seconds(10))  # which is what it promises


@contextlib.contextmanager
def running(var_dir: Path, checkout: Path = ROOT, **variables: str) -> Iterator[Up]:
    up = Up(var_dir, checkout, **variables)
    try:
        yield up
    finally:
        if up.process.poll() is None:
            up.stop()


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """With a migrated database: `./check deep` starts from nothing, too."""
    var_dir = tmp_path_factory.mktemp("a shop") / "var"
    servers.copy_prepared(Postgres(embedded.postgres_folder(var_dir)))
    with running(var_dir) as up:
        assert up.url
        yield up


def environment(var_dir: Path, **variables: str) -> dict[str, str]:
    hidden = {"DATABASE_URL", "REDIS_URL", "FLASHSALE_EMBEDDED", "SECRET_KEY"}
    kept = {name: value for name, value in os.environ.items() if name not in hidden}
    return {**kept, "VAR_DIR": str(var_dir), "PORT": "0", **variables}


def fails(var_dir: Path, **variables: str) -> str:
    """What `up` says when it ends at once, with exit code 1."""
    ended = run(manage("up"), environment(var_dir, **variables))
    assert ended.code == 1
    return ended.err


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """As `git clone` and a first `./run` leave it."""
    where = tmp_path / "checkout"
    left_out = shutil.ignore_patterns(".git", ".venv", "var", ".*_cache", "__pycache__", "docs")
    shutil.copytree(ROOT, where, ignore=left_out)
    (where / ".venv").symlink_to(sys.prefix)
    return where


def typed(checkout: Path, *words: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    """`./manage.py` in another terminal, which knows nothing of the first."""
    hidden = ("VAR_DIR", "PORT", "HOST", "VENV_DIR")
    env = {name: value for name, value in environment(checkout).items() if name not in hidden}
    return subprocess.run(
        ["./manage.py", *words],
        cwd=checkout,
        env=env | variables,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def first_click(url: str) -> int:
    """The status with which a newcomer's click in the demo's open sale is answered."""
    with httpx.Client(base_url=url, headers={"Accept": "application/json"}, timeout=15) as browser:
        sale = browser.get("sales/autumn-drop/").json()
        form = {"ticket": sale["ticket"], "product": sale["products"][0]["sku"]}
        return browser.post("sales/autumn-drop/buy", data=form).status_code


def is_ready(url: str) -> bool:
    """Whether a click would be accepted. A question that comes too early may wait for its server."""
    with contextlib.suppress(httpx.HTTPError):
        return httpx.get(url + "readyz").status_code == 200
    return False


def all_gone(pids: list[int]) -> bool:
    return not any(identity(pid) for pid in pids)


class TestOpen:
    def test_pages_are_there(self, shop: Up) -> None:
        for path in ("", "admin/login/", "readyz", "livez"):
            assert httpx.get(shop.url + path).status_code == 200, path

    def test_the_demo_is_there(self, shop: Up) -> None:
        answer = httpx.get(shop.url, headers={"Accept": "application/json"})
        assert answer.json()["sales"]

    def test_other_commands_find_its_servers(self, shop: Up) -> None:
        assert run(manage("migrate", "--check"), environment(shop.var_dir)).code == 0

    def test_a_second_one_is_refused_and_told_why(self, shop: Up) -> None:
        assert f"is already running: process {shop.process.pid}" in fails(shop.var_dir)

    @pytest.mark.parametrize("role", TRIED)
    def test_every_process_comes_back(self, shop: Up, role: str) -> None:
        before = shop.pid(role)
        os.kill(before, signal.SIGKILL)
        wait_for(lambda: shop.pid(role) not in (0, before), f"another {role}")

    @pytest.mark.parametrize("kind", [Postgres, Valkey])
    def test_every_server_comes_back_at_its_address(
        self, shop: Up, kind: type[Postgres] | type[Valkey]
    ) -> None:
        server = kind(shop.var_dir / kind.__name__.lower())
        before, url = server.pid, server.url
        assert before
        os.kill(before, signal.SIGKILL)
        wait_for(lambda: server.pid not in (before, None), "another server")
        wait_for(server.ready, "it has recovered")
        assert server.url == url
        wait_for(lambda: is_ready(shop.url), "the shop is ready")


class TestOtherTerminals:
    @pytest.mark.deep
    @pytest.mark.timeout(300)
    def test_what_is_typed_there_finds_the_shop(self, checkout: Path, tmp_path: Path) -> None:
        records = checkout / "var" / "shops"
        with running(tmp_path / "var", checkout) as up:
            url = up.url
            assert first_click(url) == 202
            few = ("--sale", "autumn-drop", "--shoppers", "1", "--dry-run", "--json")
            crowd = typed(checkout, "simulate", *few)
            assert f" at {url.rstrip('/')} for " in json.loads(crowd.stdout)["would"]
            books = typed(checkout, "verify", "--json")
            assert (books.returncode, books.stderr) == (0, "")
            elsewhere = typed(checkout, "verify", VAR_DIR=str(tmp_path / "nothing"))
            assert (elsewhere.returncode, "reached" in elsewhere.stderr) == (1, True)
            assert len(list(records.iterdir())) == 1
            assert up.stop() == 0
        assert list(records.iterdir()) == []

    def test_one_that_is_not_to_be_found_is_not(self, shop: Up) -> None:
        assert str(shop.var_dir) not in [found.var_dir for found in recorded_shops()]


class TestStarting:
    @pytest.mark.timeout(300)
    @pytest.mark.deep
    def test_open_means_that_the_first_click_is_accepted(self, tmp_path: Path) -> None:
        """Also after a restart, when Redis' gates are those of before and its scripts are gone."""
        for _ in range(2):
            with running(tmp_path / "var") as up:
                assert first_click(up.url) == 202
                assert up.stop() == 0

    def test_a_newcomer_reads_where_to_look_and_how_to_log_in(self, shop: Up) -> None:
        said = shop.written
        assert f"Dashboard:         {shop.url}dashboard/\n" in said
        assert re.search(r"/dashboard/ and /admin/ as 'staff', password \w{16} ", said)
        assert re.search(r"Autumn drop \(.+; products: 4\)\n", said)
        assert "A new password: ./manage.py changepassword staff\n" in said
        waited = [line for line in said.splitlines() if line.startswith("Waiting for ")]
        assert all(line != after for line, after in pairwise(waited))
        assert "/readyz" not in said

    def test_a_busy_port_is_said_before_anything_is_started(self, tmp_path: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = str(taken.getsockname()[1])
            said = fails(tmp_path, PORT=port)
        assert said.count("\n") == 1
        assert f"127.0.0.1:{port}: Address already in use. Choose another with PORT." in said
        assert not embedded.postgres_folder(tmp_path).exists()

    def test_a_malformed_port_is_named(self, tmp_path: Path) -> None:
        assert "PORT" in fails(tmp_path, PORT="eighty")

    @pytest.mark.deep
    def test_only_the_missing_server_is_embedded(self, tmp_path: Path) -> None:
        given = Valkey(tmp_path / "given")
        given.start()
        try:
            with running(
                tmp_path / "var", REDIS_URL=given.url, SECRET_KEY=secrets.token_hex(32)
            ) as up:
                assert up.url
                assert embedded.postgres_folder(up.var_dir).exists()
                assert not embedded.valkey_folder(up.var_dir).exists()
        finally:
            given.stop()


class TestStopping:
    @pytest.mark.deep
    def test_everything_is_gone_within_ten_seconds(self, tmp_path: Path) -> None:
        with running(tmp_path / "var") as up, socket.socket() as idle:
            idle.connect(("127.0.0.1", httpx.URL(up.url).port or 0))
            pids = up.pids()
            assert len(pids) == len(ROLES) + 2
            assert up.stop(signal.SIGINT) == 0
            assert all_gone(pids)

    @pytest.mark.deep
    def test_a_stop_while_it_starts_leaves_nothing(self, tmp_path: Path) -> None:
        with running(tmp_path / "var") as up:
            wait_for(lambda: "PostgreSQL is ready" in up.written, "the first server")
            assert up.stop() == 0
            assert not Postgres(embedded.postgres_folder(up.var_dir)).alive()
            assert not Valkey(embedded.valkey_folder(up.var_dir)).alive()

    @pytest.mark.deep
    def test_after_a_kill_the_next_one_takes_over(self, tmp_path: Path) -> None:
        with running(tmp_path / "var") as killed:
            assert killed.url
            *ours, postgres, valkey = killed.pids()
            killed.process.kill()
            killed.process.wait()
        began = time.monotonic()
        with running(tmp_path / "var") as up:
            assert up.url
            assert time.monotonic() - began < deadlines.seconds(30)
            assert all_gone(ours)
            assert up.pids()[-2:] == [postgres, valkey]
            assert up.stop() == 0
        assert all_gone([postgres, valkey])
