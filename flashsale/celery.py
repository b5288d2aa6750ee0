"""The Celery application: `settlement` for the line, `housekeeping` for the rest."""

import os

import django
from celery import Celery
from celery.signals import beat_init, worker_init, worker_ready, worker_shutting_down

from flashsale import broker, garbage
from flashsale.observe import sentry, telemetry, tracing

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "flashsale.settings")

broker.register_transport()
app = Celery("flashsale")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


@worker_init.connect
def start_caretaker(**_: object) -> None:
    """Start the caretaker, threads that heal interrupted work. Before the broker is connected: the
    broker may be down."""
    django.setup()
    from mail.sending import send_mail  # these need the models
    from orders import caretaker
    from payments.reconciler import reconcile_payments

    ended = caretaker.start(reconcile_payments, send_mail)
    telemetry.start("worker")
    worker_shutting_down.connect(lambda **_: ended.set(), weak=False)
    sentry.start("worker")
    tracing.start("worker")


@worker_ready.connect
def avoid_collector_pauses(**_: object) -> None:
    garbage.freeze_loaded_objects()


@beat_init.connect
def start_beat_telemetry(**_: object) -> None:
    telemetry.start("beat")
    sentry.start("beat")
