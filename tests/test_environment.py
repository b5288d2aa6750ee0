"""`tools/environment.py` installs with the real pip, and shows what a newcomer wants to know."""

import hashlib
import os
import pty
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.stack import ROOT

# pip warns of a script whose folder is not in PATH.
_FILES = {
    "tiny.py": "def main(): print('hello')\n",
    "tiny-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n",
    "tiny-1.0.dist-info/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    "tiny-1.0.dist-info/entry_points.txt": "[console_scripts]\ntiny = tiny:main\n",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment without packages."""
    folder = tmp_path_factory.mktemp("environment") / "venv"
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    return folder


def requirements(where: Path, version: str = "1.0", right: bool = True) -> Path:
    """A file that pins a package of this test's own, by a hash that is right or not."""
    wheel = where / f"tiny-{version}-py3-none-any.whl"
    files = {name.replace("1.0", version): text for name, text in _FILES.items()}
    record = f"tiny-{version}.dist-info/RECORD"
    files[record] = "".join(f"{name},,\n" for name in [*files, record])
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text.replace("\nVersion: 1.0", f"\nVersion: {version}"))
    digest = hashlib.sha256(wheel.read_bytes() if right else b"").hexdigest()
    file = where / f"requirements-{version}.txt"
    file.write_text(f"tiny @ {wheel.as_uri()} --hash=sha256:{digest}\n")
    return file


def install(folder: Path, file: Path) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, str(ROOT / "tools/environment.py"), str(folder), str(file)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.deep
def test_pip_is_not_heard_where_all_goes_well(folder: Path, tmp_path: Path) -> None:
    file = requirements(tmp_path)
    ran = install(folder, file)
    assert (ran.returncode, ran.stderr) == (0, "")
    first, second = ran.stdout.splitlines()
    assert first == f"Installing the packages of {file}; the first time takes a minute or two"
    assert second.startswith("Installed after ")
    said = subprocess.run([folder / "bin/tiny"], capture_output=True, text=True, check=True).stdout
    assert said == "hello\n"
    assert install(folder, file).stdout == ""  # nothing is left to do


@pytest.mark.deep
def test_all_that_pip_says_is_shown_where_it_fails(folder: Path, tmp_path: Path) -> None:
    ran = install(folder, requirements(tmp_path, "2.0", right=False))
    assert ran.returncode == 1
    assert "DO NOT MATCH THE HASHES" in ran.stderr
    assert ran.stderr.endswith("could not be installed; see pip's error above.\n")


@pytest.mark.deep
def test_a_terminal_shows_how_far_it_is(folder: Path, tmp_path: Path) -> None:
    file = requirements(tmp_path, "3.0")
    ours, theirs = pty.openpty()
    command = [sys.executable, str(ROOT / "tools/environment.py"), str(folder), str(file)]
    with subprocess.Popen(command, stdout=theirs, stderr=theirs) as installing:
        os.close(theirs)
        shown = b""
        while chunk := _read(ours):
            shown += chunk
    os.close(ours)
    assert installing.returncode == 0, shown.decode()
    assert b"1 of 1 fetched" in shown
    assert shown.index(b"fetched") < shown.index(b"unpacking") < shown.index(b"Installed after")


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 4096)
    except OSError:  # Linux' way to say that everybody has closed the other end
        return b""
