"""Check folders, disk and static files."""

import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from django.conf import settings
from django.contrib.staticfiles.finders import get_finders

from ops.doctor.findings import Finding, failed, ok, warning

_LITTLE_SPACE, _NO_SPACE = 2 << 30, 200 << 20  # bytes


def check_var_dir() -> Iterator[Finding]:
    """Write to it. In production only the pictures' folder is written to while the shop runs."""
    folder: Path = settings.VAR_DIR
    if settings.PRODUCTION and settings.MEDIA_ROOT.is_dir():
        folder = settings.MEDIA_ROOT
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        seen = f"Nothing can be written to {folder}: {error.strerror}."
        yield failed("VAR_DIR", seen, "Give it to the user that runs the shop, or set VAR_DIR.")
    else:
        yield ok("VAR_DIR", f"{folder} can be written to.")


def check_disk_space() -> Iterator[Finding]:
    """Measure where VAR_DIR is, or would be."""
    folder = next(part for part in (settings.VAR_DIR, *settings.VAR_DIR.parents) if part.exists())
    free = shutil.disk_usage(folder).free
    seen = f"{free / (1 << 30):.1f} GB are free where {settings.VAR_DIR} is."
    advice = "Make room: pictures, and embedded servers, stop writing when it is full."
    if free < _NO_SPACE:
        yield failed("disk", seen, advice)
    elif free < _LITTLE_SPACE:
        yield warning("disk", seen, advice)
    else:
        yield ok("disk", seen)


def check_static_files() -> Iterator[Finding]:
    """Compare the sources with the collected files, whose names the pages link."""
    advice = "Run `manage.py prepare --static`, then start the web processes again."
    manifest: Path = settings.STATIC_ROOT / "staticfiles.json"
    collected = json.loads(manifest.read_text())["paths"] if manifest.exists() else {}
    sources = {
        path: Path(storage.path(path))
        for finder in get_finders()
        for path, storage in finder.list([])
    }
    missing = sorted(sources.keys() - collected.keys())
    stale = [path for path in sources.keys() & collected.keys() if _is_newer(sources[path], path)]
    if missing:
        seen = f"{len(missing)} of {len(sources)} files are not collected, such as {missing[0]}."
        yield failed("static files", seen, advice)
    elif stale:
        seen = f"{len(stale)} files have changed since they were collected, such as {min(stale)}."
        yield warning("static files", seen, advice)
    else:
        yield ok("static files", f"All {len(sources)} are collected.")


def _is_newer(source: Path, path: str) -> bool:
    collected: Path = settings.STATIC_ROOT / path
    return not collected.exists() or source.stat().st_mtime > collected.stat().st_mtime


CHECKS = (check_var_dir, check_disk_space, check_static_files)
