"""People: a verified e-mail address, and the shopper's ids that are theirs.

A person has one present id, on all devices on which they are signed in, so that the limit of a sale counts
for the person. Ids that a browser had before it signed in on a second device stay theirs, too.
"""

import base64
from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from accounts.contacts import Unreadable, canonical_email
from accounts.models import KnownShopper, Person
from flashsale.database import bounded_transaction, require_transaction
from flashsale.http import signing
from flashsale.http.shoppers import new_shopper

_PERSON, _ADDRESS = "person", "person-address"
_SEALED = "person-mail"

# Where an address with a `+tag` surely is a mailbox of the one without: their documentation says so.
# Elsewhere it may be somebody else's.
_TAGS = frozenset(
    (
        "fastmail.com",
        "gmail.com",
        "googlemail.com",
        "hotmail.com",
        "icloud.com",
        "live.com",
        "mailbox.org",
        "me.com",
        "outlook.com",
        "posteo.de",
        "proton.me",
        "protonmail.com",
    )
)
_GOOGLE = ("gmail.com", "googlemail.com")


class SignedIn(NamedTuple):
    """A person's present id, and their former ones, newest first."""

    shopper: UUID
    former: tuple[UUID, ...]


class Address(NamedTuple):
    """Where a person reads mail. `language` is that of the page on which they signed in last."""

    email: str
    language: str


class OtherSpelling(Exception):
    """The person has signed in with another spelling of the address, which may be another mailbox."""


def sign_in(email: str, browser: UUID | None, language: str = "") -> SignedIn:
    """Sign the owner of a verified address in, in a browser that has the id `browser` so far.

    At the first sign-in that id becomes the person's, later it becomes a former one of theirs, unless it
    is another person's. Raises OtherSpelling and django.db.DatabaseError.
    """
    with bounded_transaction():
        person = _find_person(email)
        _save_address(person, email, language)
        present = _present_of(person) or _begin(person, browser)
        if browser and browser != present:
            _claim(person, browser, current=False)
        return SignedIn(present, former_of(present))


def former_of(shopper: UUID) -> tuple[UUID, ...]:
    """The former ids of the person whose present id this is, newest first; none if it is of no person."""
    of_person = KnownShopper.objects.filter(
        current=False, person__shoppers__shopper=shopper, person__shoppers__current=True
    )
    return tuple(of_person.order_by("-since", "shopper").values_list("shopper", flat=True))


def ids_of_same(shopper: UUID) -> set[UUID]:
    """All ids of the person whose id this is, present or former, and the id itself."""
    theirs = KnownShopper.objects.filter(person__shoppers__shopper=shopper)
    return {shopper, *theirs.values_list("shopper", flat=True)}


def find_address(shopper: UUID) -> Address | None:
    """The address of the person whose id this is or was; None if it is of no person. Raises Unreadable
    and django.db.DatabaseError."""
    person = Person.objects.filter(shoppers__shopper=shopper).first()
    if person is None or not person.sealed:
        return None
    try:
        email = _fernet().decrypt(person.sealed).decode()
    except InvalidToken:
        raise Unreadable(
            "A signed-in address is encrypted under another SECRET_KEY. "
            "Put that key into SECRET_KEY_FALLBACKS."
        ) from None
    return Address(email, person.language)


def forget(email: str) -> bool:
    """Forget that an address has signed in. Its browsers stay shoppers, apart from each other; orders stay.
    False if it never has. Raises django.db.DatabaseError."""
    deleted, _ = Person.objects.filter(email_key__in=_keys(_PERSON, personal_email(email))).delete()
    return deleted > 0


def personal_email(address: str) -> str:
    """The form that is the same for all spellings of one person's address: canonical, without a `+tag`,
    and without dots where the provider ignores them. "" for text that is no address."""
    local, at, domain = canonical_email(address).rpartition("@")
    local = local.partition("+")[0] or local
    if domain in _GOOGLE:
        local, domain = local.replace(".", ""), _GOOGLE[0]
    return f"{local}{at}{domain}"


# --- Helpers, in the order in which they are called -------------------------------------------


def _find_person(email: str) -> Person:
    """The person of an address; made if there is none. Signs again what an old key signed.

    Of two first sign-ins the second waits at its INSERT, and then sees all that the first has written.
    """
    require_transaction()
    keys = _keys(_PERSON, personal_email(email))
    people = Person.objects.filter(email_key__in=keys)
    if not people.exists():
        first = Person(email_key=keys[0], address_key=_address_key(email))
        Person.objects.bulk_create([first], ignore_conflicts=True)  # another sign-in may be first
    person = people.get()
    if person.address_key not in _keys(_ADDRESS, mailbox_of(email)):
        raise OtherSpelling
    if person.email_key != keys[0]:
        person.email_key, person.address_key = keys[0], _address_key(email)
        person.save(update_fields=["email_key", "address_key"])
    return person


def _save_address(person: Person, email: str, language: str) -> None:
    person.sealed, person.language = _fernet().encrypt(email.encode()).decode(), language
    person.save(update_fields=["sealed", "language"])


def _fernet() -> MultiFernet:
    """Encrypts under SECRET_KEY, also where a shop has no CONTACT_KEYS: a copy of the database does not
    tell who has signed in."""
    keys = signing.encryption_keys(_SEALED)
    return MultiFernet([Fernet(base64.urlsafe_b64encode(key)) for key in keys])


def _keys(purpose: str, text: str) -> Sequence[str]:
    return [key.hex() for key in signing.sign_with_each(purpose, text.encode())]


def _address_key(email: str) -> str:
    return _keys(_ADDRESS, mailbox_of(email))[0]


def mailbox_of(email: str) -> str:
    """The mailbox: the address itself, or its personal form where that is surely the same mailbox."""
    canonical = canonical_email(email)
    return personal_email(email) if canonical.rpartition("@")[2] in _TAGS else canonical


def _present_of(person: Person) -> UUID | None:
    return person.shoppers.filter(current=True).values_list("shopper", flat=True).first()


def _begin(person: Person, browser: UUID | None) -> UUID:
    """Give the person their present id: the browser's, or a new one if that is another's."""
    if browser and _claim(person, browser, current=True):
        return browser
    fresh = new_shopper()
    _claim(person, fresh, current=True)
    return fresh


def _claim(person: Person, shopper: UUID, *, current: bool) -> bool:
    """Whether the id is this person's now. One that is somebody's is never taken over."""
    known = KnownShopper(shopper=shopper, person=person, current=current)
    KnownShopper.objects.bulk_create([known], ignore_conflicts=True)
    return KnownShopper.objects.filter(shopper=shopper, person=person).exists()
