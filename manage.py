#!/usr/bin/env python3
"""Django's command line for the Flash Sale Engine."""

import os
import sys
from pathlib import Path

INTERRUPTED = 130  # as a shell reports a command that Ctrl-C has ended
USAGE = 2
SHOPS_OF_THEIR_OWN = ("up", "chaos", "bench")  # what these start
_MOVED = "FLASHSALE_MOVED"  # set for the moment in which one Python becomes the other


def main() -> None:
    use_the_environments_python()
    # Inside, so that Ctrl-C ends also a command that has only begun to load without a traceback.
    from django.core.exceptions import ImproperlyConfigured
    from django.core.management import execute_from_command_line

    from flashsale import running

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "flashsale.settings")
    try:
        if not set(sys.argv[1:2]) & set(SHOPS_OF_THEIR_OWN):
            running.fill_environment(os.environ)
        execute_from_command_line(sys.argv)
    except ImproperlyConfigured as error:
        # It names the variable; a traceback would hide it.
        sys.exit(f"The configuration is wrong: {error}")
    except running.Ambiguous as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(USAGE)


def use_the_environments_python() -> None:
    """Continues with the Python of .venv (or VENV_DIR), where there is one and this is another.

    Whichever Python is first in PATH runs this file, so it loads nothing that may be missing or newer.
    """
    folder = Path(__file__).resolve().parent / (os.environ.get("VENV_DIR") or ".venv")
    python = folder / "bin" / "python"
    elsewhere = Path(sys.prefix).resolve() != folder.resolve()
    if os.environ.pop(_MOVED, None) is None and elsewhere and python.exists():
        os.environ[_MOVED] = "1"
        os.execv(python, [str(python), *sys.argv])  # noqa: S606  # no shell is wanted
    try:
        import django  # noqa: F401  # is it there?
    except ImportError:
        sys.exit(
            "The shop's packages are not installed here. ./run installs them, and starts a shop."
        )


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
