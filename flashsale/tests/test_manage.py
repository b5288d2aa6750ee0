"""`./manage.py` as it is typed: any Python starts it, and that of the environment runs it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.stack import ROOT

# Without any package, like the system's Python on a fresh machine.
BARE = (sys.executable, "-S")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    shutil.copy(ROOT / "manage.py", tmp_path)
    return tmp_path


def environment_of(folder: Path, script: str) -> None:
    """An environment whose Python is a script of the shell."""
    (folder / "bin").mkdir(parents=True)
    python = folder / "bin" / "python"
    python.write_text(f"#!/bin/sh\n{script}\n")
    python.chmod(0o755)


def run(checkout: Path, *command: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    env = {name: value for name, value in os.environ.items() if name != "VENV_DIR"} | variables
    return subprocess.run(
        command, cwd="/", env=env, capture_output=True, text=True, check=False, timeout=60
    )


def test_it_continues_with_the_environments_python(checkout: Path) -> None:
    environment_of(checkout / ".venv", 'echo ".venv: $@"')
    script = str(checkout / "manage.py")
    assert run(checkout, script, "sale", "show", "a b").stdout == f".venv: {script} sale show a b\n"
    assert run(checkout, *BARE, script, "verify").stdout == f".venv: {script} verify\n"


def test_venv_dir_names_another_environment(checkout: Path) -> None:
    environment_of(checkout / ".venv", "echo .venv")
    environment_of(checkout / "other", "echo other")
    for name in ("other", str(checkout / "other")):
        said = run(checkout, *BARE, str(checkout / "manage.py"), VENV_DIR=name).stdout
        assert said == "other\n"
    assert run(checkout, *BARE, str(checkout / "manage.py"), VENV_DIR="").stdout == ".venv\n"


def test_where_nothing_is_installed_it_says_what_to_do(checkout: Path) -> None:
    ran = run(checkout, *BARE, str(checkout / "manage.py"), "verify")
    assert (ran.returncode, ran.stdout) == (1, "")
    assert ran.stderr.startswith("The shop's packages are not installed here. ./run installs them")
    assert ran.stderr.count("\n") == 1


def test_it_continues_once(checkout: Path) -> None:
    """An environment's Python that leads back to the same one would have it go on for ever."""
    environment_of(checkout / ".venv", f'exec {sys.executable} -S "$@"')
    ran = run(checkout, *BARE, str(checkout / "manage.py"), "verify")
    assert "not installed here" in ran.stderr


def test_in_the_environment_it_stays_there() -> None:
    command = [sys.executable, "manage.py", "shell", "--command", "import sys; print(sys.prefix)"]
    env = os.environ | {"VENV_DIR": sys.prefix}
    ran = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=True)
    assert ran.stdout.splitlines()[-1] == sys.prefix
