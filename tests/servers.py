"""A pytest plugin: real PostgreSQL and Valkey of the tests' own, on free ports.

Loaded by `-p tests.servers` in pyproject.toml: a conftest would come too late, because pytest-django
reads the settings before any.
"""

import os
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis.configuration import set_hypothesis_home_dir

from flashsale.local.embedded import postgres_folder, valkey_folder
from flashsale.local.postgres import Postgres
from flashsale.local.valkey import Valkey

VAR_DIR = Path(tempfile.mkdtemp(prefix="flashsale-tests-"))
POSTGRES = Postgres(postgres_folder(VAR_DIR))
VALKEY = Valkey(valkey_folder(VAR_DIR))


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "browser: drives a real Chromium; runs in a call of its own")
    config.addinivalue_line("markers", "alone: measures, or is too much to run beside others")
    config.addinivalue_line("markers", "matrix(what, how): proves a row of docs/resilience.md")


def pytest_sessionstart(session: pytest.Session) -> None:
    """Before tests are collected: whoever imports the server has it look at the static files."""
    from django.core.management import call_command

    call_command("collectstatic", interactive=False, verbosity=0)


def pytest_unconfigure(config: pytest.Config) -> None:
    stop()


def stop() -> None:
    VALKEY.stop()
    POSTGRES.stop()
    shutil.rmtree(VAR_DIR, ignore_errors=True)


set_hypothesis_home_dir(VAR_DIR / "hypothesis")  # not into the repository
POSTGRES.start()
VALKEY.start()
os.environ.update(
    VAR_DIR=str(VAR_DIR),
    DATABASE_URL=POSTGRES.url,
    REDIS_URL=VALKEY.url,
    FLASHSALE_EMBEDDED="1",
    SECRET_KEY="only-for-tests-" + "x" * 40,
    RATE_PER_ADDRESS="0",
    LOG_LEVEL="WARNING",
)
