"""A Celery worker that is frozen by SIGSTOP inside settlement's transaction, once, with its locks held.

`python -m tests.faults.freezing WORKER-ARGUMENTS`

The product has no switch for this: the point is patched in here, then the ordinary worker runs.
"""

import os
import signal
import sys
from typing import Any
from unittest.mock import patch

import django
from celery.__main__ import main

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "flashsale.settings")
    django.setup()
    from orders import settlement

    write, once = settlement._write, iter([True])

    def freeze(*args: Any) -> None:
        if next(once, False):
            os.kill(os.getpid(), signal.SIGSTOP)
        write(*args)

    with patch.object(settlement, "_write", freeze):
        sys.exit(main())
