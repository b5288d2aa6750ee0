"""A web process that cannot sell says so, before a proxy sends shoppers there."""

import os
import signal
import sys
from pathlib import Path
from unittest.mock import patch

import httpx
import pytest
from django.db import ProgrammingError

from ops import health
from tests import stack
from tests.cast import in_loop
from tests.operators import run

SERVER = [sys.executable, "-m", "flashsale.web"]


def test_without_static_files_it_does_not_start(tmp_path: Path) -> None:
    ran = run(SERVER, {**os.environ, "VAR_DIR": str(tmp_path), "PORT": "0"})
    assert ran.code != 0
    assert "run `manage.py prepare --static`" in ran.err


def test_without_tables_it_is_not_ready() -> None:
    async def ask() -> tuple[bool, str]:
        return await health._postgresql()

    with patch.object(health, "_select", side_effect=ProgrammingError("no such table")):
        assert in_loop(ask) == (False, "not migrated")


def test_a_port_that_cannot_be_had_is_named() -> None:
    with stack.Web.running() as web:
        port = httpx.URL(web.url).port
        ran = run(SERVER, {**os.environ, "PORT": str(port)})
    assert ran.code == 1
    assert f":{port}: " in ran.err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_without_a_traceback(number: signal.Signals) -> None:
    with stack.Web.running() as web:
        web.signal(number)
        assert web.wait() == 0
