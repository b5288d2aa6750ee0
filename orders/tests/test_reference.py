"""A short reference stands for an order, and leads back to it."""

import pytest

from orders.reference import purchases_of, reference
from orders.tickets import new_purchase, sale_of


def test_a_reference_names_the_sale_and_leads_back_to_the_purchase() -> None:
    for sale in (1, 12, 2**32 - 1):
        purchase = new_purchase(sale)
        said = reference(purchase)
        assert said.startswith(f"{sale}-")
        found = purchases_of(said)
        assert found
        first, last = found
        assert first <= purchase <= last
        assert sale_of(first) == sale_of(last) == sale
        assert reference(first) == reference(last) == said


def test_it_is_read_as_people_write_it() -> None:
    assert purchases_of(" 7-k7q29f1 ") == purchases_of("7-K7Q29FL") == purchases_of("7-K7Q29FI")


@pytest.mark.parametrize("text", ["", "shoe-42", "7-K7Q29F", "7-K7Q29FU", "99999999999-K7Q29FX"])
def test_what_is_none_leads_nowhere(text: str) -> None:
    assert purchases_of(text) is None
