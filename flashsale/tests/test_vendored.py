"""Vendored files equal their projects' releases, and all are listed."""

import hashlib
from pathlib import Path

VENDORED = Path(__file__).resolve().parents[2] / "static" / "vendor"


def test_every_vendored_file_has_the_checksum_that_is_written_down() -> None:
    lines = (VENDORED / "SHA256SUMS").read_text().splitlines()
    listed = {name: checksum for checksum, name in (line.split("  ") for line in lines)}
    found = {
        str(path.relative_to(VENDORED)): hashlib.sha256(path.read_bytes()).hexdigest()
        for folder in VENDORED.iterdir()
        if folder.is_dir()
        for path in folder.iterdir()
    }
    assert found == listed


def test_every_vendored_folder_has_a_licence() -> None:
    folders = [path for path in VENDORED.iterdir() if path.is_dir()]
    assert folders
    assert all((folder / "LICENSE").is_file() for folder in folders)
