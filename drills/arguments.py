"""What drills are called with."""

import os
from argparse import ArgumentTypeError
from collections.abc import Callable
from pathlib import Path

from drills.crowd import most_shoppers
from flashsale.http.listening import allow_many_sockets


def number(least: float, most: float) -> Callable[[str], float]:
    """A number between these, for argparse."""

    def parse(given: str) -> float:
        try:
            found = float(given)
        except ValueError:
            found = least - 1
        if not least <= found <= most:
            raise ArgumentTypeError(f"a number from {least:g} to {most:g}")
        return found

    return parse


def whole(most: int, why: str = "") -> Callable[[str], int]:
    """A whole number from 1 to `most`, for argparse."""

    def parse(given: str) -> int:
        if not given.isascii() or not given.isdigit() or not 1 <= int(given) <= most:
            raise ArgumentTypeError(f"a whole number from 1 to {most}{why}")
        return int(given)

    return parse


def shoppers(given: str) -> int:
    """As many as this process may be, for argparse."""
    allow_many_sockets()
    return whole(most_shoppers(), ", by the open files allowed here")(given)


def writable(given: str) -> Path:
    """A file that can be written, for argparse: it is found out before the drill, not after it."""
    path = Path(given).absolute()
    if path.is_dir() or not os.access(path if path.exists() else path.parent, os.W_OK):
        raise ArgumentTypeError("a file that can be written")
    return path
