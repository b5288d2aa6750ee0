"""Queues, tasks and command lines have one home, `flashsale/queues.py`, and what it names exists."""

import re

from django.conf import settings

from flashsale import queues
from flashsale.celery import app
from tests.stack import ROOT

_APPS = (
    "accounts",
    "dashboard",
    "drills",
    "flashsale",
    "inventory",
    "mail",
    "orders",
    "payments",
    "tools",
)


def test_every_task_that_is_named_exists() -> None:
    app.loader.import_default_modules()
    named = {queues.SETTLE, queues.FINISH_SALES, queues.CLEAR_SESSIONS, queues.REMOVE_PICTURES}
    named |= {queues.ERASE_CONTACTS, queues.REMOVE_OLD_NEWS}
    assert named == {name for name in app.tasks if not name.startswith("celery.")}


def test_every_task_goes_to_a_queue_that_workers_serve() -> None:
    served = queues.WORKER[queues.WORKER.index("--queues") + 1].split(",")
    routed = {route["queue"] for route in settings.CELERY_TASK_ROUTES.values()}
    assert routed | {settings.CELERY_TASK_DEFAULT_QUEUE} == set(served)


def test_no_other_module_spells_them_out() -> None:
    spelled = re.compile(
        r'"[\w.,]*(?:housekeeping|\bsettlement,|(?:orders|payments)\.tasks\.)[\w.,]*"'
    )
    found = {
        str(path.relative_to(ROOT))
        for name in _APPS
        for path in (ROOT / name).rglob("*.py")
        if "tests" not in path.relative_to(ROOT).parts and spelled.search(path.read_text())
    }
    assert found == {"flashsale/queues.py"}
