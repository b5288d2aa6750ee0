"""A Celery worker that dies by SIGKILL at one point of settlement.

`python -m tests.faults.crashing POINT WORKER-ARGUMENTS`

The product has no switch for this: the point is patched in here, then the ordinary worker runs.
"""

import os
import signal
import sys
from typing import Any
from unittest.mock import patch

import django
from celery.__main__ import main


def die(*args: Any, **options: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


POINTS = {
    "before_commit": "orders.settlement.stock.sell",
    "between_commit_and_tell": "orders.settlement.telling.tell",
    "after_tell_before_the_pages_hear": "orders.telling.announce.changed",
}

if __name__ == "__main__":
    point = sys.argv.pop(1)
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "flashsale.settings")
    django.setup()
    # The caretaker tells as well; the point is reached by settlement, whoever runs it.
    with patch(POINTS[point], die):
        sys.exit(main())
