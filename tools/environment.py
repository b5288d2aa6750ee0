"""Creates or repairs a virtual environment: `python3 tools/environment.py FOLDER REQUIREMENTS...`

It needs only Python's standard library, and does nothing if everything is installed already. Several may
run at once on one folder: a lock serializes them, and the second finds everything installed.
"""

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_PINNED = re.compile(r"^[A-Za-z0-9][\w.\[\]-]* *(==|@)", re.MULTILINE)
# One line of pip's output per package begins with one of these.
_FOUND = ("Collecting ", "Requirement already satisfied: ", "Processing ")
# A package compiled for one ABI does not work with another: "cpython-311-x86_64-linux-gnu".
_ABI = "import sysconfig; print(sysconfig.get_config_var('SOABI'))"


def main(folder: Path, requirements: list[Path]) -> None:
    if not missing(folder, requirements):
        return
    with lock(folder):
        if not usable(folder):
            make(folder)
        for file in missing(folder, requirements):
            install(folder, file)


def missing(folder: Path, requirements: list[Path]) -> list[Path]:
    """Find the files that changed since they were installed, or were installed for another Python."""
    found = abi(folder)
    return [
        file
        for file in requirements
        if _read_if_present(stamp(folder, file)) != f"{found} {checksum(file)}"
    ]


@contextmanager
def lock(folder: Path) -> Iterator[None]:
    """Lock the parent folder, since `make` may delete and recreate the folder itself."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder.parent, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def usable(folder: Path) -> bool:
    """Whether Python and pip start, and the installed packages are for this Python."""
    found = abi(folder)
    stamps = [_read_if_present(path) for path in folder.glob("installed-*")]
    return (
        bool(found)
        and all(stamp.split()[0] == found for stamp in stamps)
        and _run(folder, "-m", "pip", "--version").returncode == 0
    )


def make(folder: Path) -> None:
    marker = folder / "pyvenv.cfg"
    if folder.exists():
        if any(folder.iterdir()) and not marker.exists():
            sys.exit(f"{folder} is not a virtual environment, and is not touched.")
        shutil.rmtree(folder)
    print(f"Making a virtual environment in {folder}", flush=True)
    folder.mkdir()
    marker.touch()  # first, so that the next run recognizes an interrupted one's folder
    made = subprocess.run([sys.executable, "-m", "venv", str(folder)], check=False)
    if made.returncode != 0:
        sys.exit(
            "Python's venv module failed. On Debian and Ubuntu it is the package python3-venv."
        )


def install(folder: Path, file: Path) -> None:
    packages = len(_PINNED.findall(file.read_text()))
    print(f"Installing the packages of {file}; the first time takes a minute or two", flush=True)
    began = time.monotonic()
    options = ("--disable-pip-version-check", "--no-input", "--progress-bar", "off")
    command = [str(python(folder)), "-m", "pip", "install", *options, "--require-hashes"]
    code, output = _run_pip([*command, "--requirement", str(file)], packages)
    if code != 0:
        sys.stderr.write(output)
        sys.exit(f"The packages of {file} could not be installed; see pip's error above.")
    stamp(folder, file).write_text(f"{abi(folder)} {checksum(file)}")
    print(f"Installed after {time.monotonic() - began:.0f} s", flush=True)


def _run_pip(command: list[str], packages: int) -> tuple[int, str]:
    """Run pip and show only its progress. Return its exit code and its output."""
    output: list[str] = []
    seen = 0
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    ) as pip:
        assert pip.stdout is not None
        for line in pip.stdout:
            output.append(line)
            if line.startswith(_FOUND):
                seen += 1
                _show_progress(f"{min(seen, packages)} of {packages} fetched")
            elif line.startswith("Installing collected packages"):
                _show_progress("all fetched, unpacking")
    _show_progress("")
    return pip.returncode, "".join(output)


def _show_progress(progress: str) -> None:
    """Replace the progress shown before. No-op unless the output is a terminal."""
    if sys.stdout.isatty():
        print(f"\r\x1b[K{progress}", end="", flush=True)


def python(folder: Path) -> Path:
    return folder / "bin" / "python"


def stamp(folder: Path, file: Path) -> Path:
    """The file that records the Python and the checksum with which a requirements file was installed."""
    return folder / f"installed-{file.name}"


def abi(folder: Path) -> str:
    """The ABI of the environment's Python. Empty if it is missing or does not start."""
    return _run(folder, "-c", _ABI).stdout.strip()


def checksum(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def _read_if_present(path: Path) -> str:
    return path.read_text() if path.exists() else ""


def _run(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [str(python(folder)), *arguments]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        return subprocess.CompletedProcess(command, 1, "", str(error))


if __name__ == "__main__":
    main(Path(sys.argv[1]), [Path(argument) for argument in sys.argv[2:]])
