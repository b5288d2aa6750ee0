"""A compiled query finds what Django's own finds. If one of these fails after an upgrade of Django, mend
`flashsale/compiled.py`, which does what its `ModelIterable` does."""

from uuid import uuid4

import pytest
from django.db import connection, transaction
from django.db.models import ForeignKey
from django.db.transaction import TransactionManagementError
from django.test.utils import CaptureQueriesContext

from conftest import MakeSale
from flashsale.compiled import Compiled, Given
from flashsale.database import ask_together
from inventory.models import Listing, Sale
from orders.models import AuditEntry

LISTINGS = Compiled(
    Listing,
    lambda: (
        Listing.objects.select_related("sale", "variant")
        .filter(sale=Given("sale"), sale__limit=1)
        .order_by("pk")
    ),
)
LOCKED = Compiled(Sale, lambda: Sale.objects.select_for_update().filter(pk=Given("sale")))
AUDIT = Compiled(AuditEntry, lambda: AuditEntry.objects.filter(key=Given("key")))


def test_each_question_has_values_of_its_own(make_sale: MakeSale) -> None:
    one, other = make_sale(stock={"shoe": 1, "hat": 2}, live=False), make_sale(live=False)
    for sale in (one, other, one):
        expected = list(sale.listings.order_by("pk"))
        assert LISTINGS.ask(sale=sale.pk) == expected
    assert LISTINGS.ask(sale=0) == []


def test_rows_come_with_those_that_they_belong_to(make_sale: MakeSale) -> None:
    sale = make_sale(live=False)
    [found] = LISTINGS.ask(sale=sale.pk)
    with CaptureQueriesContext(connection) as queries:
        assert (vars(found.sale).keys(), found.sale.slug) == (vars(sale).keys(), sale.slug)
        assert found.variant.sku.startswith("shoe")
    assert not queries.captured_queries
    relations = [field for field in Listing._meta.fields if isinstance(field, ForeignKey)]
    assert all(field.is_cached(found) for field in relations)


def test_values_are_python_s(make_sale: MakeSale) -> None:
    key = uuid4()
    AuditEntry.objects.create(
        actor="ada", action="edited", subject="shoe", key=key, before={"limit": 1}, after={}
    )
    [found] = AUDIT.ask(key=key)
    assert (found.before, found.key) == ({"limit": 1}, key)


def test_several_are_asked_together(make_sale: MakeSale) -> None:
    sale, key = make_sale(live=False), uuid4()
    listings, audit = ask_together(LISTINGS.statement(sale=sale.pk), AUDIT.statement(key=key))
    assert [listing.sale for listing in LISTINGS.read(listings)] == [sale]
    assert AUDIT.read(audit) == []


def test_what_is_missing_is_said(make_sale: MakeSale) -> None:
    assert AUDIT.first(key=uuid4()) is None
    with pytest.raises(AuditEntry.DoesNotExist):
        AUDIT.get(key=uuid4())


def test_a_lock_needs_a_transaction_each_time(make_sale: MakeSale) -> None:
    sale = make_sale(live=False)
    with transaction.atomic():
        assert LOCKED.get(sale=sale.pk) == sale
    with pytest.raises(TransactionManagementError):
        LOCKED.get(sale=sale.pk)
