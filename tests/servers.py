"""A pytest plugin: real PostgreSQL and Valkey of the tests' own, on free ports.

Loaded by `-p tests.servers` in pyproject.toml: a conftest would come too late, because pytest-django
reads the settings before any. Each worker of pytest-xdist has servers of its own; the process that only
distributes tests has none.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path

import pytest
from hypothesis.configuration import set_hypothesis_home_dir

from flashsale import garbage
from flashsale.local.embedded import postgres_folder, valkey_folder
from flashsale.local.postgres import Postgres
from flashsale.local.valkey import Valkey
from tests.deadlines import seconds
from tests.reaper import scratch
from tests.stack import PREPARED, ROOT

VAR_DIR = scratch("fs-t-")
POSTGRES = Postgres(postgres_folder(VAR_DIR))
VALKEY = Valkey(valkey_folder(VAR_DIR))

# What a migrated database is made from.
_SOURCES = (
    "*/migrations/*.py",
    "flashsale/local/postgres.py",
    "requirements.txt",
    "tests/servers.py",
)


@pytest.hookimpl(wrapper=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> Generator[None]:
    """Around pytest-django's, which reads the settings."""
    if not _only_distributes(early_config):
        start()
    return (yield)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "browser: drives a real Chromium; runs in a call of its own")
    config.addinivalue_line("markers", "deep: takes long; runs in `./check deep`")
    config.addinivalue_line(
        "markers", "alone: measures, or is too much to run beside others; runs in `./check deep`"
    )
    config.addinivalue_line("markers", "matrix(what, how): proves a row of docs/resilience.md")


def pytest_sessionstart(session: pytest.Session) -> None:
    """Before tests are collected: whoever imports the server has it look at the static files."""
    from django.core.management import call_command

    if not _only_distributes(session.config):
        call_command("collectstatic", interactive=False, verbosity=0)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Scales the time after which pytest-timeout ends a test, like every other deadline."""
    asked = config.getoption("timeout")
    usual = float(config.getini("timeout") if asked is None else asked)
    for item in items:
        mark = item.get_closest_marker("timeout")
        longest = float(mark.args[0]) if mark else usual
        item.add_marker(pytest.mark.timeout(seconds(longest)), append=False)


def pytest_collection_finish() -> None:
    """All tests and all of Django stay until the end. To look for garbage among them took a fifth of the
    processor time of a run."""
    garbage.freeze_loaded_objects()


def pytest_unconfigure(config: pytest.Config) -> None:
    stop()


def stop() -> None:
    """Stops both in order; `tests.reaper` removes their folder."""
    VALKEY.stop()
    POSTGRES.stop()


def _only_distributes(config: pytest.Config) -> bool:
    return "PYTEST_XDIST_WORKER" not in os.environ and bool(
        getattr(config.known_args_namespace, "numprocesses", None)
    )


def start() -> None:
    copy_prepared(POSTGRES)
    POSTGRES.start()
    VALKEY.start()
    os.environ.update(_environment(POSTGRES), REDIS_URL=VALKEY.url)
    _trust_no_authority()


def _trust_no_authority() -> None:
    """httpx reads the certificates of all authorities for each client: 40 ms of processor time. Tests
    connect to servers of their own only."""
    os.environ.pop("SSL_CERT_FILE", None)
    os.environ["SSL_CERT_DIR"] = str(VAR_DIR / "authorities")


def _environment(postgres: Postgres) -> dict[str, str]:
    return {
        "VAR_DIR": str(VAR_DIR),
        "DATABASE_URL": postgres.url,
        "REDIS_URL": "redis://:none@127.0.0.1:1/0",
        "FLASHSALE_EMBEDDED": "1",
        "SECRET_KEY": "only-for-tests-" + "x" * 40,
        "RATE_PER_ADDRESS": "0",
        "LOG_LEVEL": "WARNING",
    }


def copy_prepared(postgres: Postgres) -> None:
    """Gives the server a migrated database, made once for all runs with these migrations.

    Without the file `url`, so that the server chooses a port and a password of its own.
    """
    prepared = PREPARED / _key()
    PREPARED.mkdir(parents=True, exist_ok=True)
    with (PREPARED / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not prepared.exists():
            _prepare(prepared)
        postgres.folder.mkdir(mode=0o700, parents=True)
        shutil.copytree(prepared, postgres.data)


def _prepare(prepared: Path) -> None:
    """Made in our own folder and moved when it is complete: killed half way, it is begun again."""
    for old in PREPARED.glob("data-*"):
        shutil.rmtree(old)
    draft = Postgres(VAR_DIR / "draft")
    draft.start()
    try:
        subprocess.run(
            [sys.executable, "manage.py", "migrate", "--verbosity", "0"],
            cwd=ROOT,
            env=os.environ | _environment(draft),
            check=True,
            timeout=seconds(120),
        )
    finally:
        draft.stop()
    copied = PREPARED / "data.new"
    shutil.rmtree(copied, ignore_errors=True)
    shutil.copytree(draft.data, copied)
    copied.rename(prepared)
    shutil.rmtree(draft.folder)


def _key() -> str:
    """A name for the database's content, from all that decides it."""
    found = hashlib.sha256()
    for pattern in _SOURCES:
        for path in sorted(ROOT.glob(pattern)):
            found.update(f"{path.relative_to(ROOT)}\0".encode() + path.read_bytes())
    return f"data-{found.hexdigest()[:16]}"


# Kept: the constants of all files, which Hypothesis looks for in each process, take 2 s to find.
set_hypothesis_home_dir(PREPARED / "hypothesis")
os.environ.update(_environment(POSTGRES))
