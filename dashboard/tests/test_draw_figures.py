"""Staff see how far a draw is, entries by size, and who is on standby; a draw that hangs is an alarm."""

import re
from datetime import timedelta

import pytest
from django.utils import timezone
from pytest_django import Settings

from conftest import MakeSale
from dashboard import stores
from dashboard.metrics import families
from dashboard.reading import Observer
from dashboard.snapshot import SaleFigures
from dashboard.tests.staff import LOOKS, RUNS, browser_of, employ
from inventory.models import Sale
from ops.doctor import findings
from ops.doctor.sales import check_draws
from orders import sale_lifecycle, settlement
from orders.draws import steps
from orders.models import Draw
from tests.cast import bring_draw_forward, queue_up, run_caretaker, skus
from tests.draws import enter, make_draw

LATE = -70  # seconds


@pytest.fixture(autouse=True)
def all_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also the sales that other tests have left."""
    monkeypatch.setattr(stores, "SHOWN", 1000)
    monkeypatch.setattr(stores, "_OVER_SHOWN", 1000)


def of(sale: Sale) -> SaleFigures:
    return next(figures for figures in Observer().look().sales if figures.sale.pk == sale.pk)


def desk_of(sale: Sale) -> str:
    page = browser_of(employ(LOOKS)).get("/dashboard/").content.decode()
    _, _, rest = page.partition(f'id="sale-{sale.pk}"')
    return rest.partition("</article>")[0]


def figure(desk: str, name: str) -> str:
    """A figure as it is read, without its markup."""
    found = re.search(rf'data-figure="{name}">(.*?)</dd>', desk, re.S)
    return re.sub(r"<[^>]+>", "", found[1]) if found else ""


def test_entries_stand_against_stock_by_size(make_sale: MakeSale) -> None:
    sale = make_draw(make_sale, stock={"shoe-42": 3, "shoe-43": 1})
    small, large = skus(sale)
    enter(sale, ["192.0.2.1"] * 4, sku=small)
    enter(sale, ["192.0.2.1"], sku=large)
    seen = of(sale)
    assert [(each.waiting, each.left) for each in seen.variants] == [(4, 0), (1, 0)]
    assert (seen.left, seen.waiting_orders, seen.to_draw) == (0, 5, 4)
    desk = desk_of(sale)
    assert figure(desk, "entries") == "5 for 4 units"
    assert figure(desk, "draw").startswith("in 0:")
    assert figure(desk, "standby") == ""
    units = re.findall(r'data-figure="entries">(\d+)</b> (entr\w+)', desk)
    assert units == [("4", "entries"), ("1", "entry")]


def test_each_state_of_a_draw_has_its_words(make_sale: MakeSale) -> None:
    sale = make_draw(make_sale, stock=2, standby=True)
    enter(sale, ["192.0.2.1"] * 5)
    bring_draw_forward(sale)
    said = []
    while steps.advance(sale.pk):
        said.append(of(sale).draw_words)
    assert said[0] == "entries are closed, the last ones are written down"
    assert said[1] == "frozen; ranks are computed"
    assert said[2] == "0 of 5 entries have their outcome"
    assert said[-1].startswith("done at ")
    desk = desk_of(sale)
    assert (figure(desk, "entries"), figure(desk, "standby")) == ("5 for 2 units", "3")
    assert "3</span> on standby" in desk


def test_a_sale_by_arrival_says_nothing_of_draws(make_sale: MakeSale) -> None:
    desk = desk_of(make_sale())
    for name in ("draw", "entries", "standby"):
        assert figure(desk, name) == ""


def test_rules_of_entry_stand_beside_the_limit(make_sale: MakeSale) -> None:
    sale = make_draw(make_sale, live=False, standby=True)
    Sale.objects.filter(pk=sale.pk).update(per_address=20, entrants="email")
    desk = desk_of(sale)
    for words in (
        "at most 20 per network",
        "only people with a verified e-mail address",
        "with standby",
    ):
        assert words in desk


def test_a_draw_that_does_not_move_is_an_alarm_a_metric_and_a_finding(make_sale: MakeSale) -> None:
    sale = make_draw(make_sale)
    enter(sale, ["192.0.2.1"])
    bring_draw_forward(sale, LATE)
    snapshot = Observer().look()
    words = f"{sale}: its draw has not moved for 1 minute: it has not begun."
    assert [a.words for a in snapshot.alarms if a.code == "draw-late" and str(sale) in a.words] == [
        words
    ]
    assert 60 < late_seconds(sale)[0] < 600
    [found] = [
        each for each in findings.examine({"sales": [check_draws]}) if sale.slug in each.about
    ]
    assert (found.state, "it has not begun" in found.seen) == ("failed", True)
    run_caretaker()
    assert late_seconds(sale) == []
    assert sale.slug not in {each.about for each in findings.examine({"sales": [check_draws]})}


def late_seconds(sale: Sale) -> list[float]:
    by_name = {family.name: family for family in families(Observer().look())}
    samples = by_name["flashsale_draw_late_seconds"].samples
    return [sample.value for sample in samples if sample.labels == {"sale": sale.slug}]


def test_waiting_orders_are_counted_for_prometheus(make_sale: MakeSale) -> None:
    sale = make_draw(make_sale)
    enter(sale, ["192.0.2.1"] * 2)
    by_name = {family.name: family for family in families(Observer().look())}
    samples = by_name["flashsale_sale_waiting_orders"].samples
    assert {s.value for s in samples if s.labels == {"sale": sale.slug}} == {2.0}


def test_units_are_not_left_for_others_while_somebody_waits(make_sale: MakeSale) -> None:
    sale = make_sale(stock=1, standby=True)
    queue_up(sale, 2)
    settlement.settle(sale.pk)
    seen = of(sale)
    assert [(each.left, each.waiting) for each in seen.variants] == [(0, 1)]


@pytest.mark.parametrize(("configured", "bound"), [("", ""), ("quicknet", "quicknet")])
def test_a_draw_is_bound_to_the_beacon_of_the_shop(
    make_sale: MakeSale, settings: Settings, configured: str, bound: str
) -> None:
    settings.DRAW_BEACON = configured
    sale = make_draw(make_sale, live=False)
    browser = browser_of(employ(RUNS))
    url = f"/dashboard/sales/{sale.pk}/schedule/"
    asked = browser.post(url, headers={"HX-Request": "true"}).content.decode()
    [accepted] = re.findall(r'name="accepted" value="(\w+)"', asked)
    browser.post(url, {"accepted": accepted}, headers={"HX-Request": "true"})
    assert Draw.objects.get(pk=sale.pk).beacon == bound


def test_a_sale_by_arrival_and_a_scheduled_one_are_bound_to_none(
    make_sale: MakeSale, settings: Settings
) -> None:
    settings.DRAW_BEACON = "quicknet"
    browser = browser_of(employ(RUNS))
    sales = [make_sale(live=False), make_sale(opens_in=600, draw_in=900)]
    for sale in sales:
        answer = browser.post(f"/dashboard/sales/{sale.pk}/open/", headers={"HX-Request": "true"})
        if accepted := re.findall(r'name="accepted" value="(\w+)"', answer.content.decode()):
            browser.post(f"/dashboard/sales/{sale.pk}/open/", {"accepted": accepted[0]})
        sale.refresh_from_db()
        assert sale.opens_at <= timezone.now() + timedelta(seconds=1)
    assert Draw.objects.get(pk=sales[1].pk).beacon == ""


def test_a_draw_that_is_called_off_says_so(make_sale: MakeSale) -> None:
    sale = make_draw(make_sale)
    sale_lifecycle.end(sale.pk, by="staff")
    assert of(sale).draw_words == "called off: the sale was ended before"
