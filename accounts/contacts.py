"""Contacts of orders: saved at the checkout, read by mail and by who ships, found by e-mail, erased.

The details of a person are one text, encrypted if `settings.CONTACT_KEYS` has a key. No other module
reads or writes these rows.
"""

import json
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from functools import cache
from typing import Any, NamedTuple
from uuid import UUID

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings
from django.db import connection
from django.utils import timezone

from accounts import models
from flashsale.compiled import Compiled, Given
from flashsale.database import require_transaction
from flashsale.http import signing

_PURPOSE = "contact-email"
_BATCH = 1_000  # contacts that are read at once to be encrypted anew
_SALE = 4  # bytes of the sale's number in an order's id: `orders/tickets.py` lays it out


_READ = Compiled(
    models.Contact,
    lambda: models.Contact.objects.filter(pk=Given("order"), erased_at=None),
)
# PostgreSQL's `xmax` of a row is 0 if it was inserted. An erased row is not changed, and not returned.
_SAVE = """
INSERT INTO accounts_contact AS c
    ("order", sale, email_key, sealed, language, terms_accepted_at, created_at, changed_at)
VALUES (%(order)s, %(sale)s, %(email_key)s, %(sealed)s, %(language)s, %(accepted_at)s, %(now)s, %(now)s)
ON CONFLICT ("order") DO UPDATE SET
    email_key = excluded.email_key, sealed = excluded.sealed, language = excluded.language,
    terms_accepted_at = coalesce(c.terms_accepted_at, excluded.terms_accepted_at),
    changed_at = excluded.changed_at
WHERE c.erased_at IS NULL
RETURNING xmax = 0
"""


class Erased(Exception):
    """The contact was erased. It is not saved again: the request to erase it is the newer wish."""


class Unreadable(Exception):
    """None of the keys opens a contact. The message names the order, and nothing of the person."""


@dataclass(frozen=True)
class Details:
    """What a shopper has typed. "" where nothing was asked or given.

    `street` may have several lines. `region` and `city` are written as the country's post writes them,
    `country` is an ISO 3166 alpha-2 code, `phone` an E.164 number.
    """

    email: str = ""
    name: str = ""
    company: str = ""
    street: str = ""
    district: str = ""
    city: str = ""
    region: str = ""
    postcode: str = ""
    sorting_code: str = ""
    country: str = ""
    phone: str = ""


class Contact(NamedTuple):
    """The contact of one order. `language` is that of the page on which it was given."""

    order: UUID
    details: Details
    language: str
    terms_accepted_at: datetime | None


def save(order: UUID, details: Details, *, language: str, accepted_terms: bool) -> bool:
    """Save the contact of an order in place of an earlier one. True if it is the first.

    Must run in a transaction. Raises Erased.
    """
    require_transaction()
    values: dict[str, Any] = {
        "order": order,
        "sale": _sale_of(order),
        "email_key": _key_of(details.email),
        "sealed": seal(details),
        "language": language,
        "accepted_at": timezone.now() if accepted_terms else None,
        "now": timezone.now(),
    }
    with connection.cursor() as cursor:
        cursor.execute(_SAVE, values)
        saved = cursor.fetchone()
    if saved is None:
        raise Erased
    return bool(saved[0])


def read(order: UUID) -> Contact | None:
    """The contact of an order; None if there is none, or if it is erased. Raises Unreadable."""
    row = _READ.first(order=order)
    if row is None:
        return None
    return Contact(row.order, _open(row), row.language, row.terms_accepted_at)


def read_many(orders: Iterable[UUID]) -> dict[UUID, Details]:
    """The details of these orders' contacts, without missing and erased ones. Raises Unreadable."""
    rows = models.Contact.objects.filter(pk__in=list(orders), erased_at=None)
    return {row.order: _open(row) for row in rows}


def find_orders(email: str) -> list[UUID]:
    """The orders with this e-mail address, newest first, however it is spelt."""
    message = canonical_email(email).encode()
    keys = [key.hex() for key in signing.sign_with_each(_PURPOSE, message)]
    rows = models.Contact.objects.filter(email_key__in=keys) if message else []
    return [row.order for row in sorted(rows, key=lambda row: row.created_at, reverse=True)]


def orders_with_contact(sale: int) -> list[UUID]:
    """The orders of a sale whose contact is not erased."""
    kept = models.Contact.objects.filter(sale=sale, erased_at=None)
    return list(kept.order_by("order").values_list("order", flat=True))


def list_email_keys(orders: Iterable[UUID]) -> dict[UUID, str]:
    """The keyed hash of the e-mail address, by order, of these orders' contacts that have one."""
    found = models.Contact.objects.filter(pk__in=list(orders), erased_at=None)
    return dict(found.exclude(email_key="").values_list("order", "email_key"))


def has_any() -> bool:
    """Whether there is a contact that is not erased."""
    return models.Contact.objects.filter(erased_at=None).exists()


def is_erased(order: UUID) -> bool | None:
    """Whether the order's contact was erased; None if it never had one."""
    found = models.Contact.objects.filter(pk=order).only("erased_at").first()
    return None if found is None else found.erased_at is not None


def erase(orders: Iterable[UUID]) -> int:
    """Erase the contacts of these orders for good. Returns how many there were. The row stays, and says
    that and when it was erased."""
    there = models.Contact.objects.filter(pk__in=list(orders), erased_at=None)
    return there.update(sealed="", email_key="", erased_at=timezone.now())


class Rekeyed(NamedTuple):
    """How many contacts were looked at; how many of them an older key had encrypted, none had, and no key
    opens. A contact that was changed or erased meanwhile is none of these."""

    seen: int = 0
    old: int = 0
    plain: int = 0
    unreadable: int = 0


def encrypt_anew(*, really: bool = True) -> Iterator[Rekeyed]:
    """Encrypt with the first of CONTACT_KEYS what it has not encrypted, or only count it. Yields the sums
    after each batch, and at the end. Raises django.db.DatabaseError.

    Each contact is a statement of its own, which finds nothing if the contact was saved or erased
    meanwhile: no lock is held, and an interrupted run is repeated.
    """
    newest = _fernet(tuple(settings.CONTACT_KEYS[:1]))
    counted, last = Counter[str](), UUID(int=0)
    while True:
        rows = models.Contact.objects.filter(pk__gt=last, erased_at=None).order_by("pk")[:_BATCH]
        for row in rows:
            counted[_encrypt_one_anew(row, newest, really=really)] += 1
            counted["seen"], last = counted["seen"] + 1, row.order
        yield Rekeyed(*(counted[name] for name in Rekeyed._fields))
        if len(rows) < _BATCH:
            return


def _encrypt_one_anew(row: models.Contact, newest: MultiFernet, *, really: bool) -> str:
    """What the contact was, by the names of `Rekeyed`; "" for one that the first key opens."""
    with suppress(InvalidToken):
        newest.decrypt(row.sealed)
        return ""
    try:
        plain = _plain(row)
    except Unreadable:
        return "unreadable"
    if really:
        same = models.Contact.objects.filter(pk=row.pk, sealed=row.sealed, erased_at=None)
        if not same.update(sealed=newest.encrypt(plain.encode()).decode()):
            return ""
    return "plain" if row.sealed == plain else "old"


def canonical_email(address: str) -> str:
    """The form in which addresses are compared: NFC, in small letters, the domain as DNS has it. "" for
    text that is no address.

    Letters that are only alike stay apart, such as ß and ss: the mailboxes, and by IDNA 2008 the domains,
    may be those of two people.
    """
    local, at, domain = unicodedata.normalize("NFC", address.strip()).lower().rpartition("@")
    if not (local and domain):
        return ""
    with suppress(UnicodeError):  # no name of DNS: compared as it is
        in_dns = domain.encode("idna")
        if domain.isascii() or in_dns.decode("idna") == domain:
            domain = in_dns.decode("ascii")
    return f"{local}{at}{domain}"


def _key_of(email: str) -> str:
    canonical = canonical_email(email)
    return signing.sign(_PURPOSE, canonical.encode()).hex() if canonical else ""


def _sale_of(order: UUID) -> int:
    return int.from_bytes(order.bytes[:_SALE], "big")


# --- Encryption at rest ---------------------------------------------------------------------------


@cache
def _fernet(keys: tuple[str, ...]) -> MultiFernet:
    """Encrypts with the first key, and opens what any of them has encrypted."""
    return MultiFernet([Fernet(key) for key in keys])


def seal(details: Details) -> str:
    """The details as one text, as it is stored."""
    plain = json.dumps({name: value for name, value in asdict(details).items() if value})
    if not settings.CONTACT_KEYS:
        return plain
    return _fernet(tuple(settings.CONTACT_KEYS)).encrypt(plain.encode()).decode()


def unseal(sealed: str) -> Details:
    """Raises Unreadable."""
    try:
        return _read(_decrypt(sealed))
    except (InvalidToken, ValueError):
        raise Unreadable("Something is encrypted with a key that CONTACT_KEYS lacks.") from None


def _open(row: models.Contact) -> Details:
    return _read(_plain(row))


def _read(plain: str) -> Details:
    known = {field.name for field in fields(Details)}
    return Details(**{name: text for name, text in json.loads(plain).items() if name in known})


def _plain(row: models.Contact) -> str:
    """The details as JSON. Raises Unreadable."""
    try:
        return _decrypt(row.sealed)
    except (InvalidToken, ValueError):
        raise Unreadable(
            f"The contact of order {row.order} is encrypted with a key that CONTACT_KEYS lacks."
        ) from None


def _decrypt(sealed: str) -> str:
    """Raises InvalidToken, and ValueError if there is no key at all."""
    if sealed.startswith("{"):  # it was saved while there was no key
        return sealed
    return _fernet(tuple(settings.CONTACT_KEYS)).decrypt(sealed).decode()
