"""Access codes: who gets in, and how often."""

import re
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from itertools import count
from uuid import UUID, uuid4

import pytest
from django.db import connection
from django.utils import timezone

from accounts import access_codes, people
from accounts.access_codes import Opened, Refusal
from flashsale.http.shoppers import new_shopper

_sales = count(2_000_000_000)


@pytest.fixture
def sale() -> int:
    """The number of a sale: it needs no more."""
    return next(_sales)


def test_a_code_opens_its_sale_for_one_shopper(sale: int) -> None:
    [code] = access_codes.generate(1, [sale])
    anna, ben = new_shopper(), new_shopper()
    assert access_codes.redeem(code, sale, anna) == Opened(None)
    assert access_codes.redeem(code, sale, anna) == Opened(None)
    assert access_codes.redeem(code, sale, ben) is Refusal.USED


def test_a_code_opens_each_of_its_sales_for_so_many(sale: int) -> None:
    other = next(_sales)
    [code] = access_codes.generate(1, [sale, other], shoppers=2)
    for each in (sale, other):
        found = [access_codes.redeem(code, each, new_shopper()) for _ in range(3)]
        assert found == [Opened(None), Opened(None), Refusal.USED]
    assert access_codes.redeem(code, next(_sales), new_shopper()) is Refusal.WRONG


def test_a_code_may_open_its_sale_at_a_time_of_its_own(sale: int) -> None:
    early = timezone.now() + timedelta(hours=1)
    [code] = access_codes.generate(1, [sale], opens_at=early, label="newsletter")
    assert access_codes.redeem(code, sale, new_shopper()) == Opened(early)
    assert access_codes.list_codes(sale) == [(code, "newsletter", 1, 1, early)]


@pytest.mark.parametrize("code", ["", "AAAAA-AAAAA", "no code", "%", "\0", "é" * 10, "A" * 1000])
def test_another_code_opens_nothing(sale: int, code: str) -> None:
    access_codes.generate(1, [sale])
    assert access_codes.redeem(code, sale, new_shopper()) is Refusal.WRONG


def test_spelling_does_not_matter(sale: int) -> None:
    access_codes.add(["Summer OIL-24"], [sale], shoppers=9)
    for text in ("summer oil 24", " SUMMER0IL24 ", "summer-01l-24"):
        assert access_codes.redeem(text, sale, new_shopper()) == Opened(None)


def test_generated_codes_are_short_to_type_and_long_to_guess(sale: int) -> None:
    codes = access_codes.generate(500, [sale])
    assert len(set(codes)) == 500
    assert all(re.fullmatch(r"[0-9A-HJKMNP-TV-Z]{5}-[0-9A-HJKMNP-TV-Z]{5}", code) for code in codes)


@pytest.mark.parametrize("bad", ["--", "abc", "x" * 41, "with.dot", "already-there", "twice"])
def test_a_list_with_a_bad_code_is_refused_as_a_whole(sale: int, bad: str) -> None:
    number = uuid4().hex[:12]
    access_codes.add([f"already-there{number}"], [sale])
    bad = f"{bad}{number}" if bad in ("already-there", "twice") else bad
    with pytest.raises(ValueError, match=re.escape(bad)):
        access_codes.add([f"good{number}", f"twice{number}", bad], [sale])
    assert len(access_codes.list_codes(sale)) == 1


def test_a_person_uses_a_code_on_all_their_devices(sale: int) -> None:
    [code] = access_codes.generate(1, [sale])
    phone, laptop = new_shopper(), new_shopper()
    assert access_codes.redeem(code, sale, laptop) == Opened(None)
    anna = f"anna-{uuid4().hex}@shop.example"
    people.sign_in(anna, phone)
    assert access_codes.redeem(code, sale, phone) is Refusal.USED
    people.sign_in(anna, laptop)  # whose id is Anna's now
    assert access_codes.redeem(code, sale, phone) == Opened(None)


def test_a_person_with_two_ids_uses_a_code_once(sale: int) -> None:
    """The second use is left for somebody else, and no third one."""
    [code] = access_codes.generate(1, [sale], shoppers=2)
    phone, laptop = new_shopper(), new_shopper()
    anna = f"anna-{uuid4().hex}@shop.example"
    people.sign_in(anna, phone)
    access_codes.redeem(code, sale, laptop)
    people.sign_in(anna, laptop)
    access_codes.redeem(code, sale, phone)
    assert access_codes.list_codes(sale)[0].used == 1
    found = [access_codes.redeem(code, sale, new_shopper()) for _ in range(2)]
    assert found == [Opened(None), Refusal.USED]


def test_two_guests_who_turn_out_to_be_one_person_have_used_a_code_twice(sale: int) -> None:
    """Both may have bought by it: no use becomes free when ids become one person's."""
    [code] = access_codes.generate(1, [sale], shoppers=2)
    guests = [new_shopper(), new_shopper()]
    anna = f"anna-{uuid4().hex}@shop.example"
    for guest in guests:
        access_codes.redeem(code, sale, guest)
    for guest in guests:
        people.sign_in(anna, guest)
    assert access_codes.redeem(code, sale, guests[0]) == Opened(None)
    assert access_codes.redeem(code, sale, new_shopper()) is Refusal.USED


def test_another_code_does_not_free_the_first(sale: int) -> None:
    first, second = access_codes.generate(2, [sale])
    anna = new_shopper()
    access_codes.redeem(first, sale, anna)
    access_codes.redeem(second, sale, anna)
    assert access_codes.redeem(first, sale, new_shopper()) is Refusal.USED


def test_a_second_code_of_a_shopper_is_used_too(sale: int) -> None:
    """It may open the sale earlier than the first, for as many as it is for and not for all of these."""
    late = timezone.now() + timedelta(hours=1)
    [early] = access_codes.generate(1, [sale])
    found = []
    for code in access_codes.generate(3, [sale], opens_at=late):
        shopper = new_shopper()
        assert access_codes.redeem(code, sale, shopper) == Opened(late)
        found.append(access_codes.redeem(early, sale, shopper))
    assert found == [Opened(None), Refusal.USED, Refusal.USED]


def test_signing_in_does_not_free_a_code(sale: int) -> None:
    [code] = access_codes.generate(1, [sale])
    anna, laptop, phone = (f"anna-{uuid4().hex}@shop.example"), new_shopper(), new_shopper()
    people.sign_in(anna, phone)
    access_codes.redeem(code, sale, laptop)
    people.sign_in(anna, laptop)
    assert access_codes.redeem(code, sale, phone) == Opened(None)
    assert access_codes.redeem(code, sale, new_shopper()) is Refusal.USED


def test_a_code_is_used_no_more_often_by_many_at_once(sale: int) -> None:
    [code] = access_codes.generate(1, [sale], shoppers=3)
    together = threading.Barrier(12)

    def one(shopper: UUID) -> Opened | Refusal:
        try:
            together.wait(20)
            return access_codes.redeem(code, sale, shopper)
        finally:
            connection.close()

    with ThreadPoolExecutor(12) as pool:
        found = list(pool.map(one, [new_shopper() for _ in range(12)]))
    assert found.count(Opened(None)) == 3
    assert found.count(Refusal.USED) == 9
