"""Postal addresses that differ by their spelling only are the same; those of two houses are not."""

from uuid import uuid4

import pytest
from django.db import transaction

from accounts import alike, contacts
from accounts.contacts import Details

HOME = Details(street="Lange Straße 5a", postcode="10115", city="Berlin", country="DE")


@pytest.mark.parametrize(
    "other",
    [
        Details(street="lange strasse 5 A", postcode="10115", city="BERLIN", country="DE"),
        Details(street="Lange Str. 5a", postcode="10 115", city="Berlin-Mitte", country="DE"),
        Details(street="Lange-Str.\n5a", postcode="10115", city="Berlin", country="DE", name="Bo"),
    ],
)
def test_spellings_of_one_address_are_alike(other: Details) -> None:
    assert alike.plain_address(other) == alike.plain_address(HOME)


@pytest.mark.parametrize(
    "other",
    [
        Details(street="Lange Straße 5b", postcode="10115", city="Berlin", country="DE"),
        Details(street="Lange Straße 5a", postcode="10117", city="Berlin", country="DE"),
        Details(street="Lange Straße 5a", postcode="10115", city="Berlin", country="AT"),
    ],
)
def test_two_houses_are_not(other: Details) -> None:
    assert alike.plain_address(other) != alike.plain_address(HOME)


def test_without_a_postcode_the_town_counts() -> None:
    there = Details(street="1 Main Road", city="Nairobi", country="KE")
    assert alike.plain_address(there) == "KE|nairobi|1mainrd"


def test_who_gave_no_address_is_like_nobody() -> None:
    assert alike.plain_address(Details(email="ada@example.com")) == ""
    order = uuid4()
    with transaction.atomic():
        contacts.save(order, Details(email="ada@example.com"), language="en", accepted_terms=False)
    assert alike.hash_addresses([order]) == {}


def test_a_hash_says_nothing_of_the_address() -> None:
    orders = [uuid4(), uuid4()]
    with transaction.atomic():
        for order in orders:
            contacts.save(order, HOME, language="en", accepted_terms=False)
    first, second = alike.hash_addresses(orders).values()
    assert first == second
    assert len(bytes.fromhex(first)) == 16
