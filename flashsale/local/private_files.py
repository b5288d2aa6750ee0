"""Small files that only their owner can read: passwords, URLs and keys.

A file is complete when it appears and never has wider permissions than 0600, also with several concurrent
readers and writers, and if one is killed.
"""

import os
import secrets
from collections.abc import Callable
from pathlib import Path


def read(path: Path) -> str:
    """Read the file's text. "" if the file does not exist."""
    try:
        return path.read_text().strip()
    except FileNotFoundError:
        return ""


def write(path: Path, text: str) -> None:
    draft = _draft(path, text)
    draft.replace(path)


def read_or_write(path: Path, make: Callable[[], str]) -> str:
    """Read the file's text. If the file does not exist, write `make()` first; the first process wins."""
    found = read(path)
    if found:
        return found
    draft = _draft(path, make())
    try:
        path.hardlink_to(draft)  # unlike a rename, this refuses to replace another process' file
    except FileExistsError:
        pass
    finally:
        draft.unlink()
    return read(path)


def _draft(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text + "\n")
        file.flush()
        os.fsync(descriptor)
    return draft
