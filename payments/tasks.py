"""Celery tasks: each calls one function. Nothing depends on them alone: a missed round is made up by
the next."""

from celery import shared_task

from orders import networks
from payments import personal_data, retention


@shared_task
def erase_contacts() -> None:
    try:
        personal_data.erase_overdue()
    finally:
        networks.erase_overdue()


@shared_task
def remove_old_news() -> None:
    retention.remove_old()
