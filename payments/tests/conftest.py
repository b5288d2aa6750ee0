"""A sale that is paid at the demo provider, and one order that it holds."""

import pytest

from conftest import MakeSale
from inventory.models import Sale
from orders.models import Order
from payments.tests.cast import end_payments_of_other_tests, held, paid_sale


@pytest.fixture(autouse=True)
def no_payments_of_other_tests() -> None:
    end_payments_of_other_tests()


@pytest.fixture
def sale(make_sale: MakeSale) -> Sale:
    return paid_sale(make_sale)


@pytest.fixture
def order(sale: Sale) -> Order:
    [order] = held(sale)
    return order
