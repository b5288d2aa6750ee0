"""Contacts are saved with their order, sealed at rest, found by e-mail address and erased for good."""

from collections.abc import Iterator
from uuid import UUID

import pytest
from cryptography.fernet import Fernet
from django.conf import LazySettings
from django.db import transaction

from accounts import contacts, models
from accounts.contacts import Details
from flashsale.http import signing
from orders import tickets
from tests.cast import at_once

ANNA = Details(
    email="anna@example.com", name="Anna Öz", street="Hauptstr. 1", city="Köln", country="DE"
)
OLD, NEW = Fernet.generate_key().decode(), Fernet.generate_key().decode()


def save(order: UUID, details: Details = ANNA, accepted_terms: bool = False) -> bool:
    with transaction.atomic():
        return contacts.save(order, details, language="de", accepted_terms=accepted_terms)


@pytest.fixture
def order() -> UUID:
    return tickets.new_purchase(4711)


@pytest.fixture
def secrets(settings: LazySettings) -> Iterator[LazySettings]:
    """The secret keys may be changed: the signing keys are prepared anew."""
    signing._keys.cache_clear()
    yield settings
    signing._keys.cache_clear()


def kept(order: UUID) -> str:
    return models.Contact.objects.get(pk=order).sealed


def test_what_was_saved_is_read(order: UUID) -> None:
    assert contacts.read(order) is None
    assert save(order, accepted_terms=True) is True
    contact = contacts.read(order)
    assert contact
    assert (contact.details, contact.language) == (ANNA, "de")
    assert contact.terms_accepted_at
    assert models.Contact.objects.get(pk=order).sale == tickets.sale_of(order) == 4711


def test_a_later_save_replaces_it_and_keeps_when_terms_were_accepted(order: UUID) -> None:
    save(order, accepted_terms=True)
    before = contacts.read(order)
    other = Details(email="ben@example.com")
    assert save(order, other) is False
    after = contacts.read(order)
    assert before
    assert after
    assert after.details == other
    assert after.terms_accepted_at == before.terms_accepted_at


def test_it_is_saved_in_a_transaction_only(order: UUID) -> None:
    with pytest.raises(transaction.TransactionManagementError):
        contacts.save(order, ANNA, language="de", accepted_terms=False)


def test_two_saves_at_once_are_one_first_and_one_later(order: UUID) -> None:
    assert sorted(map(bool, at_once(lambda: save(order), lambda: save(order)))) == [False, True]


def test_many_are_read_at_once(order: UUID) -> None:
    other, third = tickets.new_purchase(1), tickets.new_purchase(1)
    save(order)
    save(other, Details(email="ben@example.com"))
    assert contacts.read_many([order, other, third]) == {
        order: ANNA,
        other: Details(email="ben@example.com"),
    }


def test_without_a_key_the_text_is_plain_and_with_one_it_is_not(
    order: UUID, settings: LazySettings
) -> None:
    settings.CONTACT_KEYS = []
    save(order)
    assert "anna@example.com" in kept(order)
    settings.CONTACT_KEYS = [NEW]
    assert contacts.read_many([order]) == {order: ANNA}  # rows from before the key stay readable
    save(order)
    assert "anna" not in kept(order)
    assert contacts.read_many([order]) == {order: ANNA}


def test_a_new_key_seals_anew_what_is_saved_and_opens_the_rest(
    order: UUID, settings: LazySettings
) -> None:
    other = tickets.new_purchase(1)
    settings.CONTACT_KEYS = [OLD]
    save(order)
    save(other)
    settings.CONTACT_KEYS = [NEW, OLD]
    assert contacts.read_many([order, other]) == {order: ANNA, other: ANNA}
    save(order)
    settings.CONTACT_KEYS = [NEW]
    assert contacts.read_many([order]) == {order: ANNA}
    with pytest.raises(contacts.Unreadable):
        contacts.read(other)


@pytest.mark.parametrize("keys", [[], [NEW]], ids=["no key", "another key"])
def test_what_no_key_opens_is_named_by_its_order_and_stays(
    keys: list[str], order: UUID, settings: LazySettings
) -> None:
    settings.CONTACT_KEYS = [OLD]
    save(order)
    before = kept(order)
    settings.CONTACT_KEYS = keys
    with pytest.raises(contacts.Unreadable, match=str(order)):
        contacts.read(order)
    assert kept(order) == before
    settings.CONTACT_KEYS = [OLD]
    assert contacts.read_many([order]) == {order: ANNA}


def test_orders_are_found_however_the_address_is_spelt(order: UUID) -> None:
    later = tickets.new_purchase(1)
    address = f"Jürgen.{order.hex}@Bücher.example"
    save(order, Details(email=address))
    save(later, Details(email=address))
    for spelt in (
        address,
        f"  {address.upper()} ",
        address.replace("ü", "u\u0308"),
        f"jürgen.{order.hex}@xn--bcher-kva.example",
    ):
        assert contacts.find_orders(spelt) == [later, order], spelt
    assert contacts.find_orders(f"other.{order.hex}@bücher.example") == []


@pytest.mark.parametrize(
    ("address", "other"),
    [
        ("sam@post.example", "\u017fam@post.example"),
        ("strasse@post.example", "straße@post.example"),
        ("fi@post.example", "\ufb01@post.example"),
        ("anna@strasse.example", "anna@straße.example"),
    ],
)
def test_an_address_that_is_only_alike_finds_no_order(
    address: str, other: str, order: UUID
) -> None:
    """The owner of one mailbox would get the links of the other's orders."""
    address, other = f"{order.hex}.{address}", f"{order.hex}.{other}"
    save(order, Details(email=address))
    assert contacts.find_orders(other) == []
    assert contacts.find_orders(address) == [order]


def test_contacts_without_an_address_are_found_by_nobody(order: UUID) -> None:
    save(order, Details(name="Anna"))
    assert contacts.find_orders("") == []
    assert contacts.find_orders("no address") == []


def test_the_stored_key_does_not_reveal_the_address(order: UUID) -> None:
    save(order)
    assert len(models.Contact.objects.get(pk=order).email_key) == 32


def test_orders_are_found_under_a_former_secret_key(order: UUID, secrets: LazySettings) -> None:
    address = f"{order.hex}@example.com"
    save(order, Details(email=address))
    former = secrets.SECRET_KEY
    secrets.SECRET_KEY, secrets.SECRET_KEY_FALLBACKS = "another " * 8, [former]
    signing._keys.cache_clear()
    assert contacts.find_orders(address) == [order]
    secrets.SECRET_KEY_FALLBACKS = []
    signing._keys.cache_clear()
    assert contacts.find_orders(address) == []


def test_what_is_erased_is_gone_and_is_not_saved_again(order: UUID) -> None:
    address = f"{order.hex}@example.com"
    save(order, Details(email=address))
    assert contacts.erase([order]) == 1
    assert contacts.erase([order]) == 0
    assert contacts.read(order) is None
    assert contacts.read_many([order]) == {}
    assert contacts.find_orders(address) == []
    row = models.Contact.objects.get(pk=order)
    assert (row.sealed, row.email_key) == ("", "")
    assert row.erased_at
    with pytest.raises(contacts.Erased):
        save(order)
    assert kept(order) == ""


# --- A new key ------------------------------------------------------------------------------------


@pytest.fixture
def three(settings: LazySettings) -> list[UUID]:
    """A contact of each kind, and no other: plain, of the old key, of the new one."""
    models.Contact.objects.all().delete()
    orders = [tickets.new_purchase(4711) for _ in range(3)]
    for order, keys in zip(orders, ([], [OLD], [NEW]), strict=True):
        settings.CONTACT_KEYS = keys
        save(order)
    settings.CONTACT_KEYS = [NEW, OLD]
    return orders


def test_all_contacts_are_encrypted_with_the_first_key(
    three: list[UUID], settings: LazySettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = [kept(order) for order in three]
    changed = list(models.Contact.objects.order_by("pk").values_list("changed_at", flat=True))
    assert list(contacts.encrypt_anew(really=False)) == [(3, 1, 1, 0)]
    assert [kept(order) for order in three] == before
    monkeypatch.setattr(contacts, "_BATCH", 2)
    assert [sums.seen for sums in contacts.encrypt_anew()] == [2, 3]
    settings.CONTACT_KEYS = [NEW]
    assert contacts.read_many(three) == dict.fromkeys(three, ANNA)
    assert list(contacts.encrypt_anew())[-1] == (3, 0, 0, 0)
    now = models.Contact.objects.order_by("pk").values_list("changed_at", flat=True)
    assert list(now) == changed  # the shopper has changed nothing


def test_erased_contacts_stay_erased_and_those_of_a_lost_key_stay_as_they_are(
    three: list[UUID], settings: LazySettings
) -> None:
    plain, old, _ = three
    contacts.erase([plain])
    settings.CONTACT_KEYS = [NEW]
    before = kept(old)
    assert list(contacts.encrypt_anew())[-1] == (2, 0, 0, 1)
    assert (kept(plain), kept(old)) == ("", before)


@pytest.mark.parametrize("meanwhile", ["save", "erase"])
def test_what_is_saved_or_erased_meanwhile_is_kept_so(
    meanwhile: str, three: list[UUID], monkeypatch: pytest.MonkeyPatch
) -> None:
    old = three[1]
    other = Details(email="ben@example.com")
    real = contacts._plain

    def read_late(row: models.Contact) -> str:
        plain = real(row)
        if row.pk == old:
            contacts.erase([old]) if meanwhile == "erase" else save(old, other)
        return plain

    with monkeypatch.context() as patched:
        patched.setattr(contacts, "_plain", read_late)
        assert list(contacts.encrypt_anew())[-1] == (3, 0, 1, 0)
    if meanwhile == "erase":
        assert kept(old) == ""
    else:
        assert contacts.read_many([old]) == {old: other}
