"""Short references, which shoppers read out to staff instead of a purchase id of 36 characters.

`12-K7Q29FX` is the number of the sale and the first 35 random bits of the id in Crockford's base
32, which has no letters that look like digits. A reference is a range of ids, so the primary key's
index finds its order. Among a million orders of one sale about fifteen pairs share a reference:
staff see both orders.
"""

import re
from uuid import UUID

_SIGNS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_LENGTH = 7
_BITS = 5 * _LENGTH
# The id has 96 bits after the sale's number: 4 of the version, 2 of the variant (RFC 9562), 90
# random.
_PATTERN = re.compile(r"\A(\d{1,10})(?:-|\s+)?([0-9A-Z]{7})\Z")
_ALIKE = str.maketrans("OIL", "011")  # what people read for 0 and 1


def reference(purchase: UUID) -> str:
    """The reference of a purchase id, like `12-K7Q29FX`."""
    raw = purchase.int
    sale, random = raw >> 96, _random_bits(raw) >> (90 - _BITS)
    signs = (_SIGNS[(random >> 5 * place) & 31] for place in reversed(range(_LENGTH)))
    return f"{sale}-{''.join(signs)}"


def purchase_range(text: str) -> tuple[UUID, UUID] | None:
    """The first and the last purchase id with this reference. None if `text` is not a reference.

    A space may replace the hyphen, or it may be missing. Other spaces are ignored only if there is
    a hyphen: without one they could hide a missing character, and the reference would name another
    sale.
    """
    written = "".join(text.split()) if "-" in text else text.strip()
    found = _PATTERN.match(written.upper())
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
