"""`manage.py check --deploy` has nothing to say about a shop as it is meant to be run."""

import os
import subprocess
import sys

from tests.security.conftest import PRODUCTION
from tests.stack import ROOT


def checked(**env: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "manage.py", "check", "--deploy", "--fail-level", "WARNING"]
    return subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, **PRODUCTION, **env},
        capture_output=True,
        text=True,
        check=False,
    )


def test_production_passes_without_a_warning() -> None:
    result = checked()
    assert result.returncode == 0, result.stderr
    assert "WARNING" not in result.stdout + result.stderr


def test_a_shop_that_does_without_hsts_is_pointed_at() -> None:
    result = checked(HSTS_SECONDS="0")
    assert (result.returncode, "security.W004" in result.stderr) == (1, True)
