"""The embedded servers: real ones, in folders of their own, killed in every way."""

import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest
import redis

from flashsale.local import embedded, ordinary_user
from flashsale.local.postgres import Postgres
from flashsale.local.server import Server, ServerError
from flashsale.local.valkey import Valkey
from tests import servers
from tests.stack import ROOT, wait_for

Make = Callable[[], Server]

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root needs another name")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / 'a "folder" of its own'


@pytest.fixture(params=[Postgres, Valkey])
def make(request: pytest.FixtureRequest, folder: Path) -> Iterator[Make]:
    """Each call is what a new process would make of the same folder. A cluster of PostgreSQL is a copy:
    `database` makes one."""
    if request.param is Postgres:
        servers.copy_prepared(Postgres(folder))
    yield lambda: request.param(folder)
    request.param(folder).stop()


@pytest.fixture
def database(folder: Path) -> Iterator[Postgres]:
    server = Postgres(folder)
    yield server
    server.stop()


def ask(server: Server, question: str) -> str:
    """What the application would be answered."""
    if isinstance(server, Valkey):
        with redis.Redis.from_url(server.url, decode_responses=True) as client:
            return str(client.execute_command(*question.split()))
    with psycopg.connect(server.url, autocommit=True) as connection:
        row = connection.execute(question.encode()).fetchone()
        return str(row[0]) if row else ""


def remember(server: Server) -> None:
    if isinstance(server, Valkey):
        ask(server, "SET remembered 7")
    else:
        with psycopg.connect(server.url) as connection:
            connection.execute("CREATE TABLE remembered AS SELECT 7 AS number")


def recall(server: Server) -> str:
    table = isinstance(server, Postgres)
    return ask(server, "SELECT number FROM remembered" if table else "GET remembered")


def kill(server: Server) -> None:
    assert server.pid is not None
    os.kill(server.pid, signal.SIGKILL)
    wait_for(lambda: not server.alive(), "the server is dead")


def port(server: Server) -> int:
    found = urlsplit(server.url).port
    assert found is not None
    return found


class TestStartAndStop:
    def test_answers_when_start_returns(self, make: Make) -> None:
        server = make()
        server.start()
        assert ask(server, "PING" if isinstance(server, Valkey) else "SELECT 'True'") == "True"

    def test_starting_again_changes_nothing(self, make: Make) -> None:
        server = make()
        server.start()
        before = server.pid
        server.start()
        assert server.pid == before

    def test_keeps_its_data_and_its_address(self, make: Make) -> None:
        server = make()
        server.start()
        url = server.url
        remember(server)
        server.stop()
        assert not server.alive()
        again = make()
        again.start()
        assert (again.url, recall(again)) == (url, "7")

    def test_stopping_what_does_not_run_is_fine(self, make: Make) -> None:
        make().stop()

    def test_a_start_can_be_given_up(self, make: Make) -> None:
        server = make()
        server.start(give_up=lambda: True)
        assert not server.alive()

    def test_takes_another_port_where_somebody_else_has_its_own(self, make: Make) -> None:
        server = make()
        server.start()
        taken, password = port(server), urlsplit(server.url).password
        server.stop()
        with socket.create_server(("127.0.0.1", taken)):
            again = make()
            again.start()
            assert port(again) != taken
            assert urlsplit(again.url).password == password
            assert port(make()) == port(again)

    def test_keeps_its_port_once_the_url_is_given_out(self, make: Make) -> None:
        server = make()
        server.start()
        given_out = server.url
        kill(server)
        with socket.create_server(("127.0.0.1", port(server))):
            with pytest.raises(ServerError):
                server.start()
            assert server.url == given_out

    def test_says_why_it_cannot_start(self, make: Make) -> None:
        server = make()
        server.start()
        server.stop()
        if isinstance(server, Postgres):
            (server.data / "PG_VERSION").write_text("9\n")
            reason = "database files are incompatible"
        else:
            (server.folder / "appendonlydir" / "appendonly.aof.manifest").write_text("nonsense")
            reason = "AOF manifest"
        with pytest.raises(ServerError, match=reason):
            make().start()


class TestKills:
    def test_a_server_that_was_killed_starts_again(self, make: Make) -> None:
        server = make()
        server.start()
        url = server.url
        remember(server)
        kill(server)
        server.start()
        assert (server.url, recall(server)) == (url, "7")

    def test_what_a_killed_parent_left_is_adopted(self, make: Make) -> None:
        name = type(make()).__name__
        start_and_die = (
            "import os, signal, sys, pathlib\n"
            f"from flashsale.local.{name.lower()} import {name}\n"
            f"server = {name}(pathlib.Path(sys.argv[1]))\n"
            "server.start()\n"
            "print(server.pid, flush=True)\n"
            "os.kill(os.getpid(), signal.SIGKILL)\n"
        )
        died = python(start_and_die, str(make().folder))
        server = make()
        assert server.alive()
        server.start()
        assert server.pid == int(died.stdout)
        server.stop()
        assert not make().alive()

    def test_an_adopted_server_that_dies_is_replaced(self, make: Make) -> None:
        make().start()
        server = make()
        server.start()
        before = server.pid
        kill(server)
        server.start()
        assert server.pid != before

    def test_a_stale_pid_file_is_ignored(self, make: Make) -> None:
        """Not even one that names a living process, as after a container's restart."""
        server = make()
        server.start()
        kill(server)
        if isinstance(server, Postgres):
            stale = server.data / "postmaster.pid"
            stale.write_text(stale.read_text().replace(str(server.pid), str(os.getpid()), 1))
        else:
            (server.folder / "valkey.pid").write_text(f"{os.getpid()}\n")
        again = make()
        wait_for(lambda: not again.alive(), "its last process is gone")
        again.start()
        assert again.pid != os.getpid()

    def test_a_set_up_that_was_killed_half_way_is_begun_again(self, database: Postgres) -> None:
        (database.folder / "data.new" / "base").mkdir(parents=True)
        database.start()
        assert database.ready()


class TestSecrets:
    def test_the_password_is_not_on_the_command_line(self, make: Make) -> None:
        server = make()
        server.start()
        command = ["ps", "-ww", "-o", "args=", "-p", str(server.pid)]
        shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        assert type(server).__name__.lower()[:6] in shown
        assert str(urlsplit(server.url).password) not in shown

    def test_passwords_are_for_one_user(self, make: Make) -> None:
        server = make()
        server.start()
        password = str(urlsplit(server.url).password)
        holders = [path for path in server.folder.iterdir() if holds(path, password)]
        assert holders
        assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in holders)

    def test_listens_to_this_machine_only(self, make: Make) -> None:
        server = make()
        server.start()
        question = "SHOW listen_addresses" if isinstance(server, Postgres) else "CONFIG GET bind"
        assert "127.0.0.1" in ask(server, question)
        assert "0.0.0.0" not in ask(server, question)  # noqa: S104  # which is the point

    def test_a_lost_password_is_replaced(self, make: Make) -> None:
        server = make()
        server.start()
        remember(server)
        server.stop()
        (server.folder / "url").unlink()
        again = make()
        again.start()
        assert recall(again) == "7"

    def test_the_application_is_no_superuser(self, database: Postgres) -> None:
        database.start()
        rights = "SELECT (rolsuper, rolcreatedb, rolcreaterole) FROM pg_roles WHERE rolname=user"
        assert ask(database, rights) == "('f', 't', 'f')"
        owner = "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname='flashsale'"
        assert ask(database, owner) == "flashsale"

    def test_the_superuser_cannot_connect(self, database: Postgres) -> None:
        database.start()
        as_superuser = database.url.replace("//flashsale:", "//postgres:")
        with pytest.raises(psycopg.OperationalError, match="pg_hba"):
            psycopg.connect(as_superuser)


class TestDurability:
    def test_postgres_writes_before_it_confirms(self, database: Postgres) -> None:
        database.start()
        for setting in ("fsync", "synchronous_commit", "full_page_writes"):
            assert ask(database, f"SHOW {setting}") == "on", setting

    def test_valkey_writes_before_it_confirms(self, folder: Path) -> None:
        server = Valkey(folder)
        server.start()
        try:
            with redis.Redis.from_url(server.url, decode_responses=True) as client:
                found = client.config_get("appendonly", "appendfsync", "maxmemory-policy", "save")
        finally:
            server.stop()
        assert found == {
            "appendonly": "yes",
            "appendfsync": "always",
            "maxmemory-policy": "noeviction",
            "save": "",
        }


class TestUsers:
    """PostgreSQL refuses root; whatever is done about it, it must be the application's to use."""

    @pytest.fixture(autouse=True)
    def copies_go(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        """Puts copies of the programs where the user `nobody` reaches them, and removes them after
        the test."""
        folder = Path(tempfile.mkdtemp())
        folder.chmod(0o755)
        monkeypatch.setattr(tempfile, "tempdir", str(folder))
        yield
        shutil.rmtree(folder)

    @as_root
    def test_as_root(self, database: Postgres) -> None:
        parents = {path: path.stat().st_mode for path in database.folder.parents}
        database.start()
        assert ask(database, "SELECT 1") == "1"
        assert {path: path.stat().st_mode for path in database.folder.parents} == parents

    @as_root
    def test_as_root_where_namespaces_are_refused(
        self, database: Postgres, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(ordinary_user, "_NAMESPACE", ("false",))
        database.start()
        assert ask(database, "SELECT 1") == "1"
        assert database.data.owner() == "nobody"

    @as_root
    def test_as_root_where_the_user_nobody_cannot_reach_the_programs(
        self, database: Postgres, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        programs = hidden_copy(ordinary_user._installed_programs(), tmp_path)
        monkeypatch.setattr(ordinary_user, "_NAMESPACE", ("false",))
        monkeypatch.setattr(ordinary_user, "_installed_programs", lambda: programs)
        database.start()
        assert ask(database, "SELECT 1") == "1"
        copied = (database.folder / "programs").read_text()
        database.stop()
        again = Postgres(database.folder)
        again.start()
        assert (database.folder / "programs").read_text() == copied

    @as_root
    def test_data_follows_the_user_that_can_run(
        self, database: Postgres, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """As when a folder moves from a machine into a container and back."""
        database.start()
        remember(database)
        database.stop()
        with monkeypatch.context() as patch:
            patch.setattr(ordinary_user, "_NAMESPACE", ("false",))
            inside = Postgres(database.folder)
            inside.start()
            assert recall(inside) == "7"
            inside.stop()
        back = Postgres(database.folder)
        back.start()
        assert recall(back) == "7"

    @as_root
    def test_as_an_ordinary_user(self, folder: Path) -> None:
        """A user without any privilege runs the programs directly."""
        start_and_stop = (
            "import os, sys, pathlib\n"
            "from flashsale.local.postgres import Postgres\n"
            "server = Postgres(pathlib.Path(sys.argv[1]))\n"
            "server.start()\n"
            "print(os.geteuid(), server._runner.prefix, server._runner.user, server.ready())\n"
            "server.stop()\n"
        )
        ordinary = ("unshare", "--user", "--map-user=1000", "--map-group=1000", "--")
        assert python(start_and_stop, str(folder), prefix=ordinary).stdout == "1000 () None True\n"


class TestWhatSettingsRead:
    def test_urls_are_valid_before_anything_was_started(self, tmp_path: Path) -> None:
        database, line = embedded.urls(tmp_path)
        assert (urlsplit(database).scheme, urlsplit(database).port) == ("postgres", 1)
        assert (urlsplit(line).scheme, urlsplit(line).port) == ("redis", 1)

    def test_urls_are_what_the_servers_remember(self, tmp_path: Path) -> None:
        server = Valkey(embedded.valkey_folder(tmp_path))
        server.start()
        server.stop()
        assert embedded.urls(tmp_path)[1] == server.url

    def test_everybody_gets_the_same_secret_key(self, tmp_path: Path) -> None:
        with ThreadPoolExecutor(16) as pool:
            keys = set(pool.map(lambda _: embedded.secret_key(tmp_path), range(64)))
        assert len(keys) == 1
        assert len(keys.pop()) > 50
        assert [path.name for path in tmp_path.iterdir()] == ["secret-key"]
        assert stat.S_IMODE((tmp_path / "secret-key").stat().st_mode) == 0o600


def python(
    script: str, *arguments: str, prefix: tuple[str, ...] = ()
) -> "subprocess.CompletedProcess[str]":
    command = [*prefix, sys.executable, "-c", script, *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def holds(path: Path, text: str) -> bool:
    return path.is_file() and text in path.read_text(errors="replace")


def hidden_copy(programs: Path, where: Path) -> Path:
    """The package's programs again, below a folder that only its owner may enter."""
    package = programs.parent.parent
    where.chmod(0o700)
    for source in (package, package.with_name(f"{package.name}.libs")):
        shutil.copytree(source, where / source.name)
    return where / programs.relative_to(package.parent)
