"""Argument types that drills and benches share, for argparse."""

import os
from argparse import ArgumentTypeError
from collections.abc import Callable
from pathlib import Path

from drills.crowd import max_shoppers
from flashsale.http.listening import allow_many_sockets


def number_between(least: float, most: float) -> Callable[[str], float]:
    """Parse a number from `least` to `most`."""

    def parse(given: str) -> float:
        try:
            found = float(given)
        except ValueError:
            found = least - 1
        if not least <= found <= most:
            raise ArgumentTypeError(f"a number from {least:g} to {most:g}")
        return found

    return parse


def whole_number(most: int, why: str = "") -> Callable[[str], int]:
    """Parse a whole number from 1 to `most`; `why` ends the error message."""

    def parse(given: str) -> int:
        if not given.isascii() or not given.isdigit() or not 1 <= int(given) <= most:
            raise ArgumentTypeError(f"a whole number from 1 to {most}{why}")
        return int(given)

    return parse


def shopper_count(given: str) -> int:
    """Parse a number of shoppers, limited by the files that this process may open."""
    allow_many_sockets()
    return whole_number(max_shoppers(), ", by the open files allowed here")(given)


def writable_file(given: str) -> Path:
    """Parse the path of a writable file: fail before the drill, not after it."""
    path = Path(given).absolute()
    if path.is_dir() or not os.access(path if path.exists() else path.parent, os.W_OK):
        raise ArgumentTypeError("a file that can be written")
    return path
