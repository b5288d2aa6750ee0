"""`manage.py purge` removes gates of sales that are over and ended logins, and nothing else."""

from datetime import timedelta

from django.contrib.sessions.backends.db import SessionStore
from django.contrib.sessions.models import Session
from django.utils import timezone

from conftest import MakeSale
from flashsale.redis import blocking_clients
from inventory.gate import replica
from inventory.gate.scripts import keys
from orders import sale_lifecycle, settlement
from tests.cast import queue_up
from tests.operators import here, spawned

OVER = 10**12  # the number of a sale that an old copy of Redis has brought back


def login(ends_in: timedelta) -> str:
    session = SessionStore()
    session.create()
    Session.objects.filter(pk=session.session_key).update(expire_date=timezone.now() + ends_in)
    return str(session.session_key)


def test_what_is_over_goes_and_what_is_on_stays(make_sale: MakeSale) -> None:
    sale = make_sale()
    queue_up(sale, 3)
    settlement.settle(sale.pk)
    blocking_clients.client_of(0).hset(keys(OVER).gate, "version", 1)
    over = make_sale()
    here("purge")
    blocking_clients.client_of(0).hset(keys(OVER).gate, "version", 1)
    sale_lifecycle.end(over.pk, by="staff")
    ended, lasting = login(-timedelta(days=1)), login(timedelta(days=1))

    counted = here("purge", "--dry-run", "--json")
    nothing = {"pictures": 0, "contacts": 0, "networks": 0, "outbox": 0, "events": 0}
    assert counted.told == {"gates": 2, "sessions": 1, **nothing}
    assert OVER in replica.list_gates()
    assert Session.objects.filter(pk=ended).exists()

    assert here("purge").out.strip() == (
        "Removed 2 gates of sales that are over, 1 ended logins, 0 files of pictures out of use,"
        " 0 networks, 0 contacts, 0 rows of the outbox, 0 events of payment providers."
    )
    assert replica.list_gates() & {OVER, over.pk} == set()
    assert not Session.objects.filter(pk=ended).exists()
    assert Session.objects.filter(pk=lasting).exists()
    assert replica.read_view(sale.pk).ready
    assert sale.orders.count() == 3
    assert here("purge", "--json").told == {"gates": 0, "sessions": 0, **nothing}


def test_a_gate_whose_line_is_not_empty_stays(make_sale: MakeSale) -> None:
    sale = make_sale()
    queue_up(sale, 1)
    sale_lifecycle.end(sale.pk, by="staff")
    here("purge")
    for options in (("--dry-run",), ()):
        assert here("purge", "--json", *options).told["gates"] == 0
    assert sale.pk in replica.list_gates()


def test_without_redis_it_says_so() -> None:
    ran = spawned("purge", REDIS_URL="redis://127.0.0.1:1/0")
    assert ran.code == 1
    assert len(ran.err.strip().splitlines()) == 1
