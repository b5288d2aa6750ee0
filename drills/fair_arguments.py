"""The options of `simulate --bots`, which becomes `python -m drills.fair_entry`."""

import os
import secrets
import sys
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Callable, Mapping
from typing import Any, NoReturn, Protocol

from drills.arguments import number_between, shopper_count, whole_number
from drills.fair_modes import Mode
from drills.private_shop import ROOT
from ops.base_command import UsageError

_MOST_BOTS, _MOST_ADDRESSES, _MOST_UNITS = 50_000, 250, 100_000
_SHORTEST, _LONGEST = 6.0, 600.0  # seconds of a draw: people click until 5 s after the opening
# With these the other drill is meant.
_OTHERS = ("sale", "paying", "dry_run")


class Options(Protocol):
    def add_argument(self, *names: str, **about: Any) -> Any: ...


def add_bots(crowd: Options) -> None:
    crowd.add_argument(
        "--bots",
        type=whole_number(_MOST_BOTS),
        metavar="K",
        help="identities of a bot that plays against people, in a private shop",
    )


def add(parser: ArgumentParser) -> None:
    fair = parser.add_argument_group("with --bots")
    fair.add_argument(
        "--addresses",
        type=whole_number(_MOST_ADDRESSES),
        default=1,
        metavar="N",
        help="of the bot (default: %(default)s)",
    )
    fair.add_argument(
        "--people",
        type=shopper_count,
        default=200,
        metavar="M",
        help="with one identity and one address each (default: %(default)s)",
    )
    fair.add_argument(
        "--units",
        type=whole_number(_MOST_UNITS),
        default=100,
        metavar="U",
        help="for sale, one for each shopper (default: %(default)s)",
    )
    fair.add_argument(
        "--per-address",
        type=_or_none(whole_number(_MOST_UNITS)),
        default=0,
        metavar="P",
        help="units that one network may take; 0: no bound (default: %(default)s)",
    )
    fair.add_argument(
        "--window",
        type=number_between(_SHORTEST, _LONGEST),
        default=30.0,
        metavar="W",
        help="seconds from the opening to a short draw (default: %(default)g)",
    )
    fair.add_argument(
        "--modes",
        type=_parse_modes,
        default=list(Mode),
        metavar="MODE,...",
        help=f"of {', '.join(Mode)} (default: all)",
    )


def become_drill(options: Mapping[str, Any]) -> NoReturn:
    """Replace this process, whose settings name another shop's servers. Raises UsageError."""
    if given := [name for name in _OTHERS if options[name]]:
        names = ", ".join(f"--{name.replace('_', '-')}" for name in given)
        raise UsageError(f"--bots plays in a private shop, so {names} says nothing.")
    seed = secrets.randbelow(1_000_000) if options["seed"] is None else options["seed"]
    drill = [sys.executable, "-m", "drills.fair_entry", "--seed", f"{seed}"]
    for name in ("bots", "addresses", "people", "units", "per_address", "window"):
        drill += [f"--{name.replace('_', '-')}", f"{options[name]}"]
    for mode in options["modes"]:
        drill += ["--mode", mode]
    if options["json"]:
        drill.append("--json")
    os.chdir(ROOT)  # where Python finds the package `drills`
    os.execv(sys.executable, drill)  # noqa: S606  # no shell is wanted


def _or_none(parse: Callable[[str], int]) -> Callable[[str], int]:
    return lambda given: 0 if given == "0" else parse(given)


def _parse_modes(given: str) -> list[Mode]:
    try:
        return [Mode(name) for name in given.split(",")]
    except ValueError as error:
        raise ArgumentTypeError(f"{error}; there are {', '.join(Mode)}") from error
