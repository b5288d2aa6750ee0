"""Fixtures for every test: a migrated database, whose data stays, and a small recurring cast.

A test makes sales of its own instead of flushing tables: what it asserts must hold among others'.
"""

import itertools
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import copy
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import pytest
from django.core.management import call_command
from django.db.models import F
from django.db.models.functions import Greatest, Least
from django.test.utils import ContextList
from django.utils import timezone
from pytest_django.plugin import DjangoDbBlocker

if TYPE_CHECKING:
    from inventory.models import Sale

MakeSale = Callable[..., "Sale"]

_numbers = itertools.count(1)


def pytest_configure() -> None:
    """A shell's background jobs and `nohup` ignore these, and every process that a test starts would
    inherit that: an operator's Ctrl-C and a closed terminal are tested. A handler of Python's is not
    inherited, and goes on ignoring the hangup here."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if signal.getsignal(signal.SIGHUP) == signal.SIG_IGN:
        signal.signal(signal.SIGHUP, lambda *_: None)


@pytest.fixture(scope="session", autouse=True)
def database(django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """The real database, committed to: locks, triggers and other processes are what is tested."""
    with django_db_blocker.unblock():
        call_command("migrate", verbosity=0)
        yield


@pytest.fixture(scope="session", autouse=True)
def contexts_of_pages() -> Iterator[None]:
    """Django's test client copies the context of every template that a page includes, and of each field of
    its forms, which takes as long as to render them. The first is the page's own, and tests read no other.
    """

    def store(kept: dict[str, Any], context: Any, **_: object) -> None:
        if "context" not in kept:
            kept["context"] = ContextList([copy(context)])

    with patch("django.test.client.store_rendered_templates", store):
        yield


@contextmanager
def sales() -> Iterator[MakeSale]:
    """Makes sales that can be bought from at once, and ends them."""
    from inventory.gate import replica
    from inventory.models import Listing, Sale
    from inventory.products import Product
    from orders import sale_lifecycle
    from tests.cast import put_off_holds, run_caretaker, stocked

    made = []

    def make(
        stock: int | dict[str, int] = 10,
        limit: int = 1,
        opens_in: float = -60,
        closes_in: float = 3600,
        live: bool = True,
        hold: int = 0,
        draw_in: float | None = None,
        standby: bool = False,
        beacon: str = "",
        per_address: int = 0,
        entrants: str = "",
    ) -> Sale:
        number = next(_numbers)
        now = timezone.now()
        sale = Sale.objects.create(
            slug=f"drop-{number}",
            name=f"Drop {number}",
            opens_at=now + timedelta(seconds=opens_in),
            closes_at=now + timedelta(seconds=closes_in),
            limit=limit,
            hold_minutes=hold,
            draw_at=None if draw_in is None else now + timedelta(seconds=draw_in),
            standby=standby,
            per_address=per_address,
            entrants=entrants,
        )
        made.append(sale.pk)
        products: dict[str, Product] = {}  # shoe-42 and shoe-43 are of one
        for name, units in (stock if isinstance(stock, dict) else {"shoe": stock}).items():
            variant = stocked(f"{name}-{number}", units, products.get(name.partition("-")[0]))
            assert variant.product
            products[name.partition("-")[0]] = variant.product
            Listing.objects.create(sale=sale, variant=variant)
        if live:
            sale_lifecycle.schedule(sale.pk, by="staff", beacon=beacon)
            run_caretaker()
            sale.refresh_from_db()
        return sale

    yield make
    # Out of the way of later tests, also where a twin has broken its gate.
    soonest = Greatest(F("opens_at") + timedelta(seconds=1), F("draw_at"))
    over = {"status": "ended", "finished": True, "closes_at": Least(F("closes_at"), soonest)}
    Sale.objects.filter(pk__in=made).exclude(status="draft").update(**over)
    put_off_holds(made)
    replica.remove(made)


@pytest.fixture
def make_sale() -> Iterator[MakeSale]:
    """Makes a sale that can be bought from at once, and ends it after the test."""
    with sales() as make:
        yield make


@pytest.fixture(scope="module")
def make_shared_sale() -> Iterator[MakeSale]:
    """The same for a sale that all tests of a file look at and none changes."""
    with sales() as make:
        yield make


@pytest.fixture
def impatient_shoppers(monkeypatch: pytest.MonkeyPatch) -> None:
    """They ask as pages do, only sooner."""
    for name, seconds in {"RETRY": 0.1, "LONGEST_RETRY": 0.4, "SOON": 0.1, "POLL": 0.4}.items():
        monkeypatch.setattr(f"drills.shopper.{name}", seconds)
