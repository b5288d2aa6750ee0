"""One person, one shopper: whose a browser's id becomes when its owner signs in."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID, uuid4

import pytest
from django.conf import settings as configured
from django.db import IntegrityError, connection, transaction
from pytest_django import Settings

from accounts import people
from accounts.contacts import Unreadable
from accounts.models import KnownShopper, Person
from flashsale.http.shoppers import new_shopper
from flashsale.http.tests.test_shoppers import forget_keys


@pytest.fixture
def email() -> str:
    return f"anna.oz-{uuid4().hex}@shop.example"


@pytest.fixture
def keys(settings: Settings) -> Iterator[Settings]:
    yield settings
    forget_keys()


def test_the_first_sign_in_makes_the_browsers_id_the_persons(email: str) -> None:
    guest = new_shopper()
    assert people.sign_in(email, guest) == (guest, ())


def test_a_browser_without_an_id_gets_one(email: str) -> None:
    first = people.sign_in(email, None)
    assert first.former == ()
    assert people.sign_in(email, None) == first


def test_the_address_is_kept_as_it_was_typed_last_and_forgotten_on_request(email: str) -> None:
    phone, laptop = new_shopper(), new_shopper()
    people.sign_in(email, phone, "en")
    people.sign_in(email.title(), laptop, "de")
    for each in (phone, laptop):
        assert people.find_address(each) == (email.title(), "de")
    assert people.find_address(new_shopper()) is None
    people.forget(email)
    assert people.find_address(phone) is None


def test_the_address_is_read_by_the_key_that_encrypted_it(email: str, keys: Settings) -> None:
    shopper = people.sign_in(email, None).shopper
    keys.SECRET_KEY, keys.SECRET_KEY_FALLBACKS = "another key", [configured.SECRET_KEY]
    assert people.find_address(shopper) == (email, "")
    keys.SECRET_KEY_FALLBACKS = []
    with pytest.raises(Unreadable, match="SECRET_KEY_FALLBACKS") as why:
        people.find_address(shopper)
    assert email not in str(why.value)


def test_a_second_device_gets_the_id_and_brings_its_own(email: str) -> None:
    phone, laptop, tablet = (new_shopper() for _ in range(3))
    people.sign_in(email, phone)
    assert people.sign_in(email, laptop) == (phone, (laptop,))
    assert people.sign_in(email, tablet) == (phone, (tablet, laptop))
    assert people.sign_in(email, phone) == (phone, (tablet, laptop))
    assert people.former_of(phone) == (tablet, laptop)
    assert people.former_of(laptop) == ()


def test_an_id_of_another_person_is_never_taken_over(email: str) -> None:
    phone, laptop = new_shopper(), new_shopper()
    people.sign_in(email, phone)
    people.sign_in(email, laptop)
    for stolen in (phone, laptop):  # the present id, and a former one
        other = people.sign_in(f"ben-{uuid4().hex}@shop.example", stolen)
        assert other.shopper not in (phone, laptop)
        assert other.former == ()
        again = people.sign_in(f"cem-{uuid4().hex}@shop.example", None)
        assert people.sign_in(email, again.shopper).former == (laptop,)


def test_an_id_is_one_persons_and_a_person_has_one_present_id(email: str) -> None:
    guest = new_shopper()
    people.sign_in(email, guest)
    owner = KnownShopper.objects.get(shopper=guest).person
    for values in ({"shopper": guest, "current": False}, {"shopper": uuid4(), "current": True}):
        with pytest.raises(IntegrityError), transaction.atomic():
            KnownShopper.objects.bulk_create([KnownShopper(person=owner, **values)])


# --- Spellings ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Anna.Oz{}@Gmail.com", "annaoz{}@gmail.com"),
        ("annaoz{}+drop@gmail.com", "anna.oz{}@googlemail.com"),
        ("anna{}@posteo.de", "ANNA{}+shoes@posteo.de"),
        ("anna{}@bücher.example", "anna{}@xn--bcher-kva.example"),
    ],
)
def test_spellings_of_one_mailbox_are_one_person(one: str, other: str) -> None:
    number = uuid4().hex
    first = people.sign_in(one.format(number), None)
    assert people.sign_in(other.format(number), None) == first


@pytest.mark.parametrize("one", ["anna.oz{}@shop.example", "annaoz{}@other.example"])
def test_other_mailboxes_are_other_people(one: str) -> None:
    number = uuid4().hex
    assert people.sign_in(one.format(number), None) != people.sign_in(
        f"annaoz{number}@shop.example", None
    )


def test_a_tag_that_may_be_another_mailbox_is_no_way_in(email: str) -> None:
    """Some providers give `anna+b@` to somebody else than `anna@`: neither a second person of one, nor one
    person of two."""
    first = people.sign_in(email, None)
    tagged = email.replace("@", "+b@")
    with pytest.raises(people.OtherSpelling):
        people.sign_in(tagged, None)
    assert people.sign_in(email, None) == first


def test_no_address_can_be_read_in_the_database(email: str) -> None:
    people.sign_in(email, None)
    with connection.cursor() as cursor:
        cursor.execute("SELECT p::text FROM accounts_person p")
        assert not [row for (row,) in cursor.fetchall() if "anna" in row]


def test_a_person_survives_a_change_of_keys(email: str, keys: Settings) -> None:
    first = people.sign_in(email, None)
    keys.SECRET_KEY, keys.SECRET_KEY_FALLBACKS = "another key", [configured.SECRET_KEY]
    forget_keys()
    assert people.sign_in(email, None) == first
    keys.SECRET_KEY_FALLBACKS = []
    forget_keys()
    assert people.sign_in(email, None) == first
    keys.SECRET_KEY = "a third, without the second"
    forget_keys()
    assert people.sign_in(email, None) != first


# --- At the same time -----------------------------------------------------------------------------


def at_once(*sign_ins: tuple[str, UUID | None]) -> list[people.SignedIn]:
    together = threading.Barrier(len(sign_ins))

    def one(email: str, browser: UUID | None) -> people.SignedIn:
        try:
            together.wait(20)
            return people.sign_in(email, browser)
        finally:
            connection.close()

    with ThreadPoolExecutor(len(sign_ins)) as pool:
        return list(pool.map(lambda each: one(*each), sign_ins))


def test_devices_that_sign_in_at_once_are_one_person() -> None:
    for _ in range(10):
        email = f"anna-{uuid4().hex}@shop.example"
        browsers = [new_shopper() for _ in range(4)]
        found = at_once(*((email, browser) for browser in browsers))
        [present] = {each.shopper for each in found}
        assert {present, *people.former_of(present)} == set(browsers)


def test_people_who_sign_in_at_once_in_one_browser_do_not_share_its_id() -> None:
    for _ in range(10):
        browser = new_shopper()
        emails = [f"{name}-{uuid4().hex}@shop.example" for name in ("anna", "ben", "cem")]
        found = at_once(*((email, browser) for email in emails))
        assert len({each.shopper for each in found}) == 3
        assert KnownShopper.objects.filter(shopper=browser).count() == 1
    assert Person.objects.filter(shoppers=None).count() == 0


def test_a_person_who_is_forgotten_is_a_guest_again(email: str) -> None:
    phone, laptop = new_shopper(), new_shopper()
    people.sign_in(email, phone)
    people.sign_in(email, laptop)
    assert people.forget(f" {email.upper()}")
    assert people.former_of(phone) == ()
    assert not people.forget(email)
    assert people.sign_in(email, laptop) == (laptop, ())
