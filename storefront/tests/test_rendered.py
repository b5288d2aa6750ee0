"""Bodies that are rendered once, and filled in for each shopper."""

import pytest

from storefront.rendered import Rendered, placeholder


def test_placeholders_are_filled_in() -> None:
    body = Rendered(f"<b>{placeholder('name')}</b> {placeholder('ticket-0')} {placeholder('name')}")
    assert body.fill({"name": "Anna", "ticket-0": "é"}) == "<b>Anna</b> é Anna".encode()


def test_each_shopper_gets_only_their_values() -> None:
    body = Rendered(f"{placeholder('ticket')}!")
    assert [body.fill({"ticket": ticket}) for ticket in ("a", "b")] == [b"a!", b"b!"]


def test_a_body_without_placeholders_stays_as_it_is() -> None:
    assert Rendered("<p>[[ticket]]</p>").fill({"ticket": "a"}) == b"<p>[[ticket]]</p>"


def test_a_value_is_not_searched_for_placeholders() -> None:
    smuggled = placeholder("ticket")
    filled = Rendered(f"{placeholder('name')} {placeholder('ticket')}").fill(
        {"name": smuggled, "ticket": "a"}
    )
    assert filled.decode() == f"{smuggled} a"


def test_a_missing_value_raises() -> None:
    with pytest.raises(KeyError):
        Rendered(placeholder("ticket")).fill({})
