"""Finds this machine's Chromium, for Playwright. Only development needs it."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Playwright

INSTALLED = ("chromium", "chromium-browser", "google-chrome")
ABSENT = f"no browser: neither playwright's own nor any of {', '.join(INSTALLED)}"
# A window keeps two hidden pages for what its address bar could show, and a process for the next page. They
# cost more processor time than a small page.
_COSTLY = ("WebUIOmniboxPopup", "WebUIOmniboxAimPopup", "SpareRendererForSitePerProcess")
# What Playwright turns off, too: Chromium reads only the last list.
_OFF = (
    *("AvoidUnnecessaryBeforeUnloadCheckSync", "DestroyProfileOnBrowserClose", "HttpsUpgrades"),
    *("HttpsFirstBalancedModeAutoEnable", "LensOverlay", "MediaRouter", "PaintHolding"),
    *("ThirdPartyStoragePartitioning", "AvoidCorsURLLoaderRestartOnRedirect", "AimEnabled"),
    *("OptimizationHints", "NetworkTimeServiceQuerying", "PreconnectToSearch"),
)
ARGUMENTS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
    f"--disable-features={','.join(_COSTLY + _OFF)}",
    "--renderer-process-limit=8",  # limits hundreds of pages
]


def executable(playwright: "Playwright") -> Path | None:
    """Find the machine's own browser, else the one that Playwright installed. None if there is neither."""
    folders = os.environ.get("PATH", "").split(os.pathsep)
    found = [Path(folder) / name for name in INSTALLED for folder in folders]
    found.append(Path(playwright.chromium.executable_path))
    return next((path for path in found if path.is_file()), None)
