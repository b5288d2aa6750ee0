"""Finds this machine's Chromium, for Playwright. Only development needs it."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Playwright

INSTALLED = ("chromium", "chromium-browser", "google-chrome")
ABSENT = f"no browser: neither playwright's own nor any of {', '.join(INSTALLED)}"
ARGUMENTS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
    "--renderer-process-limit=8",  # limits hundreds of pages
]


def executable(playwright: "Playwright") -> Path | None:
    """Find the machine's own browser, else the one that Playwright installed. None if there is neither."""
    folders = os.environ.get("PATH", "").split(os.pathsep)
    found = [Path(folder) / name for name in INSTALLED for folder in folders]
    found.append(Path(playwright.chromium.executable_path))
    return next((path for path in found if path.is_file()), None)
