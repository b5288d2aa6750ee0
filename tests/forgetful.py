"""A web process that soon forgets a sale that is not in use, and soon reads again what it shows of one:
`python -m tests.forgetful ARGUMENTS`.

It refreshes each sale that it has shown once a second. With a sale per test, that would take most of its
processor time. Tests that rename a product would wait for seconds, and ask for the page meanwhile.
"""

import os
from unittest.mock import patch

import django

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "flashsale.settings")
    django.setup()
    from flashsale.web import main

    with patch("storefront.feed._UNUSED", 3.0), patch("storefront.live_sale._CARD_KEPT", 2.0):
        main()
