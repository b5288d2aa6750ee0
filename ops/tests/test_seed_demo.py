"""The demo's sales keep the rules that staff's sales keep."""

import tomllib

from pytest_django import Settings

from inventory.models import Sale
from ops.management.commands.seed_demo import _DEMO, _checkout_of

PLANNED = tomllib.loads((_DEMO / "sales.toml").read_text())["sales"]


def test_one_sale_shows_a_whole_checkout_and_the_others_sell_at_once() -> None:
    sales = [Sale(slug=each["slug"], **_checkout_of(each)) for each in PLANNED]
    for sale in sales:
        sale.clean_fields(exclude={"name", "opens_at", "closes_at"})
    [shown] = [sale for sale in sales if sale.has_checkout]
    assert (shown.slug, shown.ask, shown.payment) == ("harbour-lanterns", "address", "demo")
    assert shown.terms
    assert shown.price_note


def test_without_the_provider_its_checkout_takes_no_payment(settings: Settings) -> None:
    settings.PAYMENT_PROVIDERS = []
    rules = [_checkout_of(each) for each in PLANNED]
    assert [each["ask"] for each in rules if each] == ["address"]
    assert not any("payment" in each for each in rules)
