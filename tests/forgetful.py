"""A web process that soon forgets a sale that is not in use: `python -m tests.forgetful ARGUMENTS`.

It refreshes each sale that it has shown once a second. With a sale per test, that would take most of its
processor time.
"""

import os
from unittest.mock import patch

import django

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "flashsale.settings")
    django.setup()
    from flashsale.web import main

    with patch("storefront.feed._UNUSED", 3.0):
        main()
