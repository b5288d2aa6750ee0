"""Kept bodies: rendered once, filled in for each shopper."""

import pytest

from storefront.rendered import Rendered, placeholder


def test_places_are_filled_in() -> None:
    body = Rendered(f"<b>{placeholder('name')}</b> {placeholder('ticket-0')} {placeholder('name')}")
    assert body.fill({"name": "Anna", "ticket-0": "é"}) == "<b>Anna</b> é Anna".encode()


def test_the_next_shopper_starts_afresh() -> None:
    body = Rendered(f"{placeholder('ticket')}!")
    assert [body.fill({"ticket": ticket}) for ticket in ("a", "b")] == [b"a!", b"b!"]


def test_a_body_without_places_stays_as_it_is() -> None:
    assert Rendered("<p>[[ticket]]</p>").fill({"ticket": "a"}) == b"<p>[[ticket]]</p>"


def test_what_is_filled_in_is_not_looked_at_again() -> None:
    smuggled = placeholder("ticket")
    filled = Rendered(f"{placeholder('name')} {placeholder('ticket')}").fill(
        {"name": smuggled, "ticket": "a"}
    )
    assert filled.decode() == f"{smuggled} a"


def test_a_place_that_is_not_filled_in_is_a_mistake() -> None:
    with pytest.raises(KeyError):
        Rendered(placeholder("ticket")).fill({})
