"""The Celery application: `settlement` for the line, `housekeeping` for the rest."""

import os

import django
from celery import Celery
from celery.signals import beat_init, worker_init, worker_ready, worker_shutting_down

from flashsale import broker, garbage
from flashsale.observe import sentry, telemetry, tracing

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "flashsale.settings")

broker.use()
app = Celery("flashsale")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


@worker_init.connect
def start_caretaker(**_: object) -> None:
    """Before the broker is connected: it may be what is down."""
    django.setup()
    from orders import caretaker  # needs the models

    ended = caretaker.start()
    telemetry.start("worker")
    worker_shutting_down.connect(lambda **_: ended.set(), weak=False)
    sentry.start("worker")
    tracing.start("worker")


@worker_ready.connect
def stay_quick(**_: object) -> None:
    garbage.keep_for_good()


@beat_init.connect
def tell_that_beat_lives(**_: object) -> None:
    telemetry.start("beat")
    sentry.start("beat")
