"""A web process whose feed reads a gate only after a message: `python -m tests.tickless ARGUMENTS`.

Its reading once a second could find a change before the message that a trace is about.
"""

import os
from unittest.mock import patch

import django

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "flashsale.settings")
    django.setup()
    from flashsale.web import main

    with patch("storefront.feed.TICK", 3600.0):
        main()
