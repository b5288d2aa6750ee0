"""A short reference names an order, and leads back to it."""

import pytest

from orders.reference import purchase_range, reference
from orders.tickets import new_purchase, sale_of


def test_a_reference_names_the_sale_and_leads_back_to_the_purchase() -> None:
    for sale in (1, 12, 2**32 - 1):
        purchase = new_purchase(sale)
        said = reference(purchase)
        assert said.startswith(f"{sale}-")
        found = purchase_range(said)
        assert found
        first, last = found
        assert first <= purchase <= last
        assert sale_of(first) == sale_of(last) == sale
        assert reference(first) == reference(last) == said


def test_it_is_read_as_people_write_it() -> None:
    assert (
        purchase_range(" 7-k7q29f1 ") == purchase_range("7-K7Q29FL") == purchase_range("7-K7Q29FI")
    )


@pytest.mark.parametrize(
    "text", ["7K7Q29F1", "7 k7q29f1", "7  K7Q29F1", " 7 - k7q 29fl", "7 -K7Q29F1", "7k7q29fi"]
)
def test_its_hyphen_may_be_missing_and_spaces_do_not_matter(text: str) -> None:
    assert purchase_range(text) == purchase_range("7-K7Q29F1")


def test_without_a_hyphen_the_last_seven_signs_are_the_purchase() -> None:
    assert purchase_range("123456789") == purchase_range("12-3456789")


@pytest.mark.parametrize("text", ["12-K7Q29F", "12 K7Q29F", "12 K7Q29F X", "1 2K7Q29FX"])
def test_nobody_guesses_which_sign_is_missing(text: str) -> None:
    assert purchase_range(text) is None


@pytest.mark.parametrize(
    "text", ["", "shoe-42", "7-K7Q29FU", "99999999999-K7Q29FX", "99999999999K7Q29FX", "7--K7Q29FX"]
)
def test_what_is_none_leads_nowhere(text: str) -> None:
    assert purchase_range(text) is None
