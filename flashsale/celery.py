"""The Celery application: `settlement` for the line, `housekeeping` for the rest."""

import os

import django
from celery import Celery
from celery.signals import worker_init, worker_shutting_down

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "flashsale.settings")

app = Celery("flashsale")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


@worker_init.connect
def start_caretaker(**_: object) -> None:
    """Before the broker is connected: it may be what is down."""
    django.setup()
    from orders import caretaker  # needs the models

    ended = caretaker.start()
    worker_shutting_down.connect(lambda **_: ended.set(), weak=False)
