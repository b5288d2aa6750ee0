"""Access codes: each opens some sales for so many shoppers, perhaps from a time of its own.

A generated code has 50 random bits. Letters and digits that look alike are the same, and so are capital and
small letters; blanks and hyphens do not count.
"""

import re
import secrets
from collections.abc import Iterable, Sequence
from datetime import datetime
from enum import Enum
from typing import NamedTuple
from uuid import UUID

from accounts import people
from accounts.models import AccessCode, AccessCodeUse
from flashsale.database import bounded_transaction

MOST = 100_000  # codes that are made at once
_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # Crockford's
_LENGTH, _GROUP = 10, 5
_ALIKE = str.maketrans("ILO", "110")
_BETWEEN = re.compile(r"[\s-]+")
_CODE = re.compile(r"\A[0-9A-Z]{4,40}\Z")


class Refusal(Enum):
    WRONG = "wrong"  # there is no such code, or it is not for this sale
    USED = "used"  # by as many shoppers as it is for


class Opened(NamedTuple):
    """The code is accepted. `opens_at` is None if it opens the sale when that opens."""

    opens_at: datetime | None


def canonical(text: str) -> str:
    """The form in which codes are kept and compared; "" for text that is none."""
    plain = _BETWEEN.sub("", text).upper().translate(_ALIKE)
    return plain if _CODE.match(plain) else ""


def spell(code: str) -> str:
    """A code as people read it: in groups, if it was generated."""
    if len(code) != _LENGTH:
        return code
    return "-".join(code[at : at + _GROUP] for at in range(0, _LENGTH, _GROUP))


def redeem(text: str, sale: int, shopper: UUID) -> Opened | Refusal:
    """Let a shopper into a sale. The same code again is accepted again, on each device of a person.
    Raises django.db.DatabaseError."""
    with bounded_transaction():
        # Locked: so many shoppers and no more, however many type it at once.
        found = AccessCode.objects.select_for_update().filter(
            code=canonical(text), sales__contains=[sale]
        )
        code = found.first()
        if code is None:
            return Refusal.WRONG
        uses = AccessCodeUse.objects.filter(code=code, sale=sale)
        own = uses.filter(shopper__in=[shopper, *people.former_of(shopper)]).exists()
        if uses.filter(again=False).count() >= code.shoppers and not own:
            return Refusal.USED
        # A use stays used, also if its shopper types another code or signs in: they may have bought by it.
        # Another code is used, too: it may open the sale earlier, and would do so for any number.
        AccessCodeUse.objects.bulk_create(
            [AccessCodeUse(code=code, sale=sale, shopper=shopper, again=own)],
            ignore_conflicts=True,
        )
    return Opened(code.opens_at)


# --- For staff ------------------------------------------------------------------------------------


def generate(
    count: int,
    sales: Sequence[int],
    *,
    shoppers: int = 1,
    opens_at: datetime | None = None,
    label: str = "",
) -> list[str]:
    """Make new codes. Returns them as people read them."""
    codes = ["".join(secrets.choice(_ALPHABET) for _ in range(_LENGTH)) for _ in range(count)]
    add(codes, sales, shoppers=shoppers, opens_at=opens_at, label=label)
    return [spell(code) for code in codes]


def add(
    texts: Iterable[str],
    sales: Sequence[int],
    *,
    shoppers: int = 1,
    opens_at: datetime | None = None,
    label: str = "",
) -> int:
    """Add codes that were made elsewhere. Returns how many. Raises ValueError with the first that is none,
    that comes twice or that there is already; then nothing is added."""
    codes: dict[str, str] = {}
    for text in texts:
        code = canonical(text)
        if not code or code in codes:
            raise ValueError(text)
        codes[code] = text
    with bounded_transaction():
        if known := AccessCode.objects.filter(code__in=list(codes)).first():
            raise ValueError(codes[known.code])
        about = {"sales": list(sales), "shoppers": shoppers, "opens_at": opens_at, "label": label}
        AccessCode.objects.bulk_create([AccessCode(code=code, **about) for code in codes])
    return len(codes)


class Row(NamedTuple):
    """A code of a sale, and how many shoppers have used it there."""

    code: str
    label: str
    shoppers: int
    used: int
    opens_at: datetime | None


def exist(sale: int | None) -> bool:
    """Whether a sale has any code; none has one before it is saved."""
    return AccessCode.objects.filter(sales__contains=[sale]).exists() if sale else False


def list_codes(sale: int) -> list[Row]:
    """The codes of a sale, in the order in which they were made."""
    used: dict[int, int] = {}
    uses = AccessCodeUse.objects.filter(sale=sale, again=False)
    for code in uses.values_list("code", flat=True):
        used[code] = used.get(code, 0) + 1
    codes = AccessCode.objects.filter(sales__contains=[sale]).order_by("id")
    return [Row(spell(c.code), c.label, c.shoppers, used.get(c.pk, 0), c.opens_at) for c in codes]
