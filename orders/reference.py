"""Short references: what a shopper reads out to staff, instead of a purchase id of 36 signs.

`12-K7Q29FX` is the number of the sale and the first 35 random bits of the id in Crockford's base 32,
which has no letters that look like digits. Ids that begin alike lie together in the index, so a
reference is found by a range. Among a million orders of one sale some fifteen pairs share one: staff are
shown both.
"""

import re
from uuid import UUID

_SIGNS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_LENGTH = 7
_BITS = 5 * _LENGTH
# Of the 96 bits behind the sale's number: 4 are the version's, 2 the variant's (RFC 9562).
_PATTERN = re.compile(r"\A(\d{1,10})(?:-|\s+)?([0-9A-Z]{7})\Z")
_ALIKE = str.maketrans("OIL", "011")  # what people read for these signs


def reference(purchase: UUID) -> str:
    """`12-K7Q29FX` of a purchase id."""
    raw = purchase.int
    sale, random = raw >> 96, _random_bits(raw) >> (90 - _BITS)
    signs = (_SIGNS[(random >> 5 * place) & 31] for place in reversed(range(_LENGTH)))
    return f"{sale}-{''.join(signs)}"


def purchase_range(text: str) -> tuple[UUID, UUID] | None:
    """The first and the last purchase id that a reference can mean; None if `text` is none.

    Its hyphen may be a space, or missing. Spaces elsewhere are passed over only beside a hyphen: without
    one they could hide that a sign is missing, and another sale would be meant.
    """
    said = "".join(text.split()) if "-" in text else text.strip()
    found = _PATTERN.match(said.upper())
    if found is None or int(found[1]) >= 1 << 32:
        return None
    random = 0
    for sign in found[2].translate(_ALIKE):
        if sign not in _SIGNS:
            return None
        random = random << 5 | _SIGNS.index(sign)
    first = random << (90 - _BITS)
    last = first | (1 << (90 - _BITS)) - 1
    return _purchase(int(found[1]), first), _purchase(int(found[1]), last)


def _random_bits(raw: int) -> int:
    """The 90 random bits, without the version's and the variant's."""
    return (raw >> 80 & 0xFFFF) << 74 | (raw >> 64 & 0x0FFF) << 62 | raw & (1 << 62) - 1


def _purchase(sale: int, random: int) -> UUID:
    high, middle, low = random >> 74, random >> 62 & 0x0FFF, random & (1 << 62) - 1
    return UUID(int=sale << 96 | high << 80 | (0x8000 | middle) << 64 | 0b10 << 62 | low)
