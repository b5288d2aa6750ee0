"""The Celery application: `settlement` for the line, `housekeeping` for the rest."""

import os

import django
from celery import Celery
from celery.signals import beat_init, worker_init, worker_shutting_down

from flashsale import telemetry

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "flashsale.settings")

app = Celery("flashsale")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


@worker_init.connect
def start_caretaker(**_: object) -> None:
    """Before the broker is connected: it may be what is down."""
    django.setup()
    from orders import caretaker  # needs the models

    telemetry.start("worker")
    ended = caretaker.start()
    worker_shutting_down.connect(lambda **_: ended.set(), weak=False)


@beat_init.connect
def tell_that_beat_lives(**_: object) -> None:
    telemetry.start("beat")
