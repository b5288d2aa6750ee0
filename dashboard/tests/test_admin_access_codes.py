"""Admin shows access codes to staff who may see them, and lets no one change them."""

from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts import access_codes
from accounts.models import AccessCode
from conftest import MakeSale
from dashboard.tests.staff import browser_of, employ
from flashsale.http.shoppers import new_shopper

LIST = "/admin/accounts/accesscode/"
VIEWS = ("accounts.view_accesscode",)


def test_codes_are_listed_with_their_sales_and_uses(make_sale: MakeSale) -> None:
    first, second = make_sale(entrants="code"), make_sale(entrants="code")
    [code] = access_codes.generate(1, [first.pk, second.pk], shoppers=7, label="press <b>")
    access_codes.redeem(code, first.pk, new_shopper())
    staff = browser_of(employ(VIEWS))
    for term in (code, code.lower().replace("-", " "), "press"):
        shown = staff.get(LIST, {"q": term}).content.decode()
        assert code in shown
        assert f"{first.slug}, {second.slug}" in shown
        assert "press &lt;b&gt;" in shown
    key = AccessCode.objects.get(code=access_codes.canonical(code)).pk
    page = staff.get(f"{LIST}{key}/change/").content.decode()
    assert f"{first.slug}, {second.slug}" in page
    assert 'name="_save"' not in page


def test_who_may_not_view_them_does_not(make_sale: MakeSale) -> None:
    assert browser_of(employ()).get(LIST).status_code == 403


def test_a_long_list_asks_no_more_than_a_short_one(make_sale: MakeSale) -> None:
    staff, asked = browser_of(employ(VIEWS)), []
    for label, count in (("few", 2), ("many", 60)):
        access_codes.generate(count, [make_sale(entrants="code").pk], label=label)
        with CaptureQueriesContext(connection) as queries:
            staff.get(LIST, {"q": label})
        asked.append(len(queries))
    assert asked[0] == asked[1]
