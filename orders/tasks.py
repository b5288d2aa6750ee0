"""Celery tasks: each takes ids and calls one function. Nothing depends on them alone: the caretaker
settles without the broker, and a missed round is made up by the next."""

from celery import shared_task
from django.core.management import call_command

from inventory import picture_retention
from orders import finishing, settlement


@shared_task
def settle(sale: int) -> None:
    settlement.settle(sale)


@shared_task
def finish_sales() -> None:
    finishing.finish_sales()


@shared_task
def clear_sessions() -> None:
    call_command("clearsessions")


@shared_task
def remove_unused_pictures() -> None:
    picture_retention.remove_unused()
