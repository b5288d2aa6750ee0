"""The ledger and the audit are read-only; the audit describes each change in words."""

from conftest import MakeSale
from dashboard.tests.admin_pages import LOOK, RUN, Staff, form_of, listed, page_of
from inventory.models import StockMovement, Variant
from orders import cancellation, sale_lifecycle, settlement, stock_changes
from orders.audit_trail import describe_change
from orders.models import AuditEntry
from tests.cast import queue_up, stocked


def test_nobody_writes_in_the_ledger_or_the_audit(make_sale: MakeSale) -> None:
    root, sale = Staff.superuser(), make_sale()
    for row in (StockMovement.objects.filter(variant__sales=sale)[0], sale.audit.all()[0]):
        assert root.browser.post(page_of(row), {"actor": "nobody"}).status_code == 403
        assert root.browser.post(f"{listed(row)}add/", {}).status_code == 403
        assert root.browser.post(f"{listed(row)}{row.pk}/delete/", {}).status_code == 403


def test_a_change_is_told_in_words(make_sale: MakeSale) -> None:
    sale = make_sale(stock=3)
    stock_changes.restock(sale.variants.get().pk, 1400, by="anna")
    sale_lifecycle.change_limit(sale.pk, 2, by="anna")
    sale_lifecycle.pause(sale.pk, by="anna")
    told = [describe_change(entry) for entry in sale.audit.all()[:3]]
    assert told == ["status live → paused", "units per shopper 1 → 2", "stock 3 → 1,403"]


def test_moments_and_prices_are_told_as_people_write_them() -> None:
    variant = Variant(sku="words", name="Shoe", price=1, currency="EUR")
    price = AuditEntry(variant=variant, before={"price": 12900}, after={"price": 9900})
    assert describe_change(price) == "price €129.00 → €99.00"
    before, after = {"price": 12900, "currency": "EUR"}, {"price": 12900, "currency": "JPY"}
    both = AuditEntry(variant=variant, before=before, after=after)
    assert describe_change(both) == "price €129.00 → ¥12,900, currency EUR → JPY"
    opens = AuditEntry(before={}, after={"opens_at": "2026-11-27T18:00:00+00:00", "option": ""})
    assert describe_change(opens) == "opens 27 Nov 2026, 18:00:00 UTC, option nothing"


def test_the_audit_is_searched_by_subject_and_by_who_did_it(make_sale: MakeSale) -> None:
    anna, sale = Staff.with_permissions(*RUN), make_sale()
    anna.confirms("pause", sale, reason="wrong picture")
    for wanted in (sale.slug, anna.name):
        page = anna.browser.get(listed(AuditEntry), {"q": wanted}).content.decode()
        assert "status live → paused" in page
        assert "wrong picture" in page


def test_each_page_leads_to_its_part_of_the_audit(make_sale: MakeSale) -> None:
    sale = make_sale()
    queue_up(sale, 1)
    settlement.settle(sale.pk)
    order, anna = sale.orders.get(), Staff.with_permissions(*LOOK)
    cancellation.cancel_order(order.pk, by="ben")
    for subject, by in ((sale, "sale"), (sale.variants.get(), "variant"), (order, "order")):
        address = f"{listed(AuditEntry)}?{by}={subject.pk}"
        assert address in anna.opens(page_of(subject))
        assert "status confirmed → cancelled" in anna.opens(address)


def test_the_audit_outlives_what_it_tells_of() -> None:
    root, variant = (
        Staff.superuser(),
        Variant.objects.create(sku="short-lived", name="Shoe", price=100, currency="EUR"),
    )
    variant.refresh_from_db()  # with the product that a trigger has made
    assert variant.product
    row = {**form_of(root.opens(page_of(variant.product))), "variants-0-DELETE": "on"}
    root.sends(page_of(variant.product), **row)
    entry = AuditEntry.objects.get(subject="short-lived")
    assert (entry.action, entry.actor) == ("deleted", root.name)
    assert "short-lived" in root.opens(page_of(entry))
    assert "short-lived" in root.opens(f"{listed(AuditEntry)}?q=short-lived")


def test_a_movement_is_found_by_its_order(make_sale: MakeSale) -> None:
    anna, sale = Staff.with_permissions(*RUN), make_sale()
    queue_up(sale, 1)
    settlement.settle(sale.pk)
    order = sale.orders.get()
    anna.confirms("cancel", order)
    for wanted in (order.reference, order.pk):
        found = anna.browser.get(listed(StockMovement), {"q": str(wanted)}).context["cl"]
        assert [movement.order for movement in found.result_list] == [order.pk]


def test_movements_are_found_by_sku() -> None:
    anna, variant = Staff.with_permissions(*LOOK), stocked("history-shoe", 3)
    found = anna.browser.get(listed(StockMovement), {"q": "history-SHOE"}).context["cl"]
    assert [movement.variant for movement in found.result_list] == [variant]
