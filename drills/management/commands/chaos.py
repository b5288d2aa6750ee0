"""`manage.py chaos`: everything goes wrong in a private shop while everybody buys, and nothing is lost."""

import os
import secrets
import sys
from typing import Any

from django.core.management.base import CommandParser

from drills.arguments import number, shoppers, writable
from drills.private_shop import ROOT
from ops.base_command import OperatorCommand

_SHORTEST, _LONGEST = 0.25, 60.0  # minutes


class Command(OperatorCommand):
    help = (
        "Starts a shop of its own in a folder that is thrown away, sends simulated shoppers into it without"
        " end, and kills, freezes and restarts web processes, worker, beat, Valkey and PostgreSQL by a"
        " schedule. Staff restock, cancel and read the books meanwhile. In the end everything that anybody"
        " was told is compared with PostgreSQL. Touches no other shop. Exit code 3 if anything was lost,"
        " sold twice or answered twice."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "--minutes",
            type=number(_SHORTEST, _LONGEST),
            default=1.0,
            metavar="M",
            help=f"from {_SHORTEST:g} to {_LONGEST:g}, default: %(default)g; in 2 everything happens once",
        )
        parser.add_argument("--seed", type=int, metavar="S", help="for the same schedule again")
        parser.add_argument(
            "--shoppers",
            type=shoppers,
            default=150,
            metavar="N",
            help="at once (default: %(default)s)",
        )
        parser.add_argument(
            "--log", type=writable, metavar="FILE", help="keep the output of the shop there"
        )

    def run(self, **options: Any) -> int:
        """Does not return: the settings of this process name another shop's servers."""
        seed = secrets.randbelow(1_000_000) if options["seed"] is None else options["seed"]
        what = (options["minutes"] * 60, seed, options["shoppers"])
        drill = [sys.executable, "-m", "drills.chaos", *map(str, what)]
        if options["json"]:
            drill.append("--json")
        if options["log"]:
            drill += ["--log", str(options["log"])]
        os.chdir(ROOT)  # where the drill's module is found
        os.execv(sys.executable, drill)  # noqa: S606  # no shell is wanted
