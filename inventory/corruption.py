"""What stands in Redis and is not of our making: how it is told apart from what Redis cannot do for now."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from redis.exceptions import ResponseError


class CorruptGate(ResponseError):
    """Something stands in the gate that no script of ours writes. It is no other sale's trouble, and
    heals: `empty` and a rebuild leave nothing of it."""


@contextmanager
def raise_as_corrupt() -> Iterator[None]:
    """Whatever shows that something in the gate is not of our making, as OddGate."""
    try:
        yield
    except (ValueError, TypeError, IndexError) as error:
        raise CorruptGate(str(error)) from error
    except ResponseError as error:
        if is_corrupt(error):
            raise CorruptGate(str(error)) from error
        raise


def is_corrupt(error: ResponseError) -> bool:
    """Whether it is the data that a command or script stumbled over. Of whatever else Redis refuses the
    gate is innocent."""
    return isinstance(error, CorruptGate) or any(words in str(error) for words in _OF_DATA)


_OF_DATA = (
    "WRONGTYPE",
    "not an integer",
    "not a valid float",
    "would overflow",
    "attempt to",  # Lua's, of a type that it did not expect
    "bad argument",
    "malformed",
    "ID specified in XADD",  # behind the last possible one
)


_WHOLE = re.compile(r"\A-?[0-9]{1,300}\Z")
_MOST = 2**53  # further Lua does not count


def parse_count(stored: str | bytes | None) -> int:
    """Raises ValueError for what is no whole number, or absurd."""
    written = str(stored or "0")
    if not _WHOLE.match(written):  # Python reads more than Lua: 1_0, or the digits of other scripts
        raise ValueError(f"{written[:40]!r} is no number")
    number = int(written)
    if abs(number) > _MOST:
        raise ValueError(f"{number:.0e} is more than can be counted")
    return number


def parse_epoch(stored: str | bytes | None) -> str:
    """A mark; none for what nobody has put there as one: it is replaced."""
    epoch = str(stored or "")
    return epoch if len(epoch) <= 32 and epoch.isprintable() else ""
