"""Detect corrupt gate data, as opposed to Redis errors."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from redis.exceptions import ResponseError


class CorruptGate(ResponseError):
    """The gate holds data that no script writes. Other sales are not affected; `empty` and a
    rebuild heal it."""


@contextmanager
def raise_as_corrupt() -> Iterator[None]:
    """Turn errors that corrupt data causes into CorruptGate."""
    try:
        yield
    except (ValueError, TypeError, IndexError) as error:
        raise CorruptGate(str(error)) from error
    except ResponseError as error:
        if is_corrupt(error):
            raise CorruptGate(str(error)) from error
        raise


def is_corrupt(error: ResponseError) -> bool:
    """Whether data made the command or script fail. Other refusals of Redis are not the gate's
    fault."""
    return isinstance(error, CorruptGate) or any(words in str(error) for words in _OF_DATA)


_OF_DATA = (
    "WRONGTYPE",
    "not an integer",
    "not a valid float",
    "would overflow",
    "attempt to",  # Lua: unexpected type
    "bad argument",
    "malformed",
    "ID specified in XADD",  # the stream has reached the last possible id
)


_WHOLE = re.compile(r"\A-?[0-9]{1,300}\Z")
_MOST = 2**53  # Lua counts in doubles


def parse_count(stored: str | bytes | None) -> int:
    """A whole number as scripts write it, 0 if None. Raises ValueError otherwise, or if it is too
    large."""
    written = str(stored or "0")
    if not _WHOLE.match(written):  # int() also reads 1_0 and the digits of other alphabets
        raise ValueError(f"{written[:40]!r} is not a whole number")
    number = int(written)
    if abs(number) > _MOST:
        raise ValueError(f"{number:.0e} is too large")
    return number


def parse_epoch(stored: str | bytes | None) -> str:
    """An epoch, "" if it is malformed: then it is replaced."""
    epoch = str(stored or "")
    return epoch if len(epoch) <= 32 and epoch.isprintable() else ""
