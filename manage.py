#!/usr/bin/env python3
"""Django's command line for the Flash Sale Engine."""

import os
import sys
from pathlib import Path

INTERRUPTED = 130  # the exit code that shells use for a command ended by Ctrl-C
USAGE = 2
WITH_OWN_SHOP = (
    "up",
    "chaos",
    "bench",
)  # commands that start a shop, and so must not use a running one
_MOVED = "FLASHSALE_MOVED"  # set while one Python replaces the other, so that it happens once


def main() -> None:
    switch_to_venv()
    # Imported here, so that Ctrl-C during loading ends the command without a traceback.
    from django.core.exceptions import ImproperlyConfigured
    from django.core.management import execute_from_command_line

    from flashsale import running

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "flashsale.settings")
    try:
        if not set(sys.argv[1:2]) & set(WITH_OWN_SHOP):
            running.fill_environment(os.environ)
        execute_from_command_line(sys.argv)
    except ImproperlyConfigured as error:
        # The message names the variable; a traceback would hide it.
        sys.exit(f"The configuration is wrong: {error}")
    except running.Ambiguous as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(USAGE)


def switch_to_venv() -> None:
    """Restart with the Python of .venv (or VENV_DIR), if it exists and this is another one.

    The first Python in PATH runs this file, so the file loads nothing that may be missing or too new there.
    """
    folder = Path(__file__).resolve().parent / (os.environ.get("VENV_DIR") or ".venv")
    python = folder / "bin" / "python"
    elsewhere = Path(sys.prefix).resolve() != folder.resolve()
    if os.environ.pop(_MOVED, None) is None and elsewhere and python.exists():
        os.environ[_MOVED] = "1"
        os.execv(python, [str(python), *sys.argv])  # noqa: S606  # no shell is wanted
    try:
        import django  # noqa: F401  # only to see whether it is installed
    except ImportError:
        sys.exit(
            "The shop's packages are not installed here. ./run installs them and starts a shop."
        )


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
