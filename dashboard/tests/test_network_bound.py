"""Staff read in admin how many units one network could be allowed."""

import pytest

from conftest import MakeSale
from dashboard.tests.admin_pages import LOOK, WRITE, Staff, page_of


@pytest.mark.parametrize("live", [False, True])
def test_a_sales_page_proposes_a_bound_per_network(live: bool, make_sale: MakeSale) -> None:
    sale = make_sale(stock=300, live=live)
    page = Staff.with_permissions(*LOOK, *WRITE).opens(page_of(sale))
    assert "199 for 1,000, 52 for 5,000, 19 for 20,000, 7 for 100,000 people" in page
