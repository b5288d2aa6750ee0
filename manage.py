#!/usr/bin/env python
"""Django's command line for the Flash Sale Engine."""

import os
import sys

INTERRUPTED = 130  # as a shell reports a command that Ctrl-C has ended


def main() -> None:
    # Inside, so that Ctrl-C ends also a command that has only begun to load without a traceback.
    from django.core.exceptions import ImproperlyConfigured
    from django.core.management import execute_from_command_line

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "flashsale.settings")
    try:
        execute_from_command_line(sys.argv)
    except ImproperlyConfigured as error:
        # It names the variable; a traceback would hide it.
        sys.exit(f"The configuration is wrong: {error}")


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
