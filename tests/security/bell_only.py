"""A Celery worker that settles only what it is told to by a message: its caretaker is patched away.

`python -m tests.security.bell_only WORKER-ARGUMENTS`
"""

import os
import sys
import threading
from unittest.mock import patch

import django
from celery.__main__ import main

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "flashsale.settings")
    django.setup()
    with patch("orders.caretaker.start", lambda *_: threading.Event()):
        sys.exit(main())
