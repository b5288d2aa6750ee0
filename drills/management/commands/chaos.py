"""`manage.py chaos`: kills and freezes a private shop's processes, and checks that nothing is lost."""

import os
import secrets
import sys
from typing import Any

from django.core.management.base import CommandParser

from drills.arguments import number_between, shopper_count, whole_number, writable_file
from drills.private_shop import ROOT
from ops.base_command import OperatorCommand

_SHORTEST, _LONGEST = 0.25, 60.0  # minutes
_MOST_ORDERS = 100_000


class Command(OperatorCommand):
    help = (
        "Starts a private shop in a temporary folder, sends simulated shoppers into it without end, and"
        " kills, freezes and restarts web processes, worker, beat, Valkey and PostgreSQL by a schedule."
        " Simulated staff restock, cancel orders and reconcile meanwhile. At the end every answer to a"
        " shopper is compared with PostgreSQL. Touches no other shop. Exit code 3 if a purchase was lost,"
        " sold twice or answered twice. With --orders it is the drill of money: so many orders are held at"
        " once and paid, expire or are cancelled, while the payment provider is killed, too. Exit code 3"
        " if somebody was charged without units, or has units without a charge."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "--minutes",
            type=number_between(_SHORTEST, _LONGEST),
            default=1.0,
            metavar="M",
            help=f"from {_SHORTEST:g} to {_LONGEST:g}, default: %(default)g; in 2 each fault happens once",
        )
        parser.add_argument(
            "--seed", type=int, metavar="S", help="repeats the schedule of an earlier drill"
        )
        crowd = parser.add_mutually_exclusive_group()
        crowd.add_argument(
            "--shoppers",
            type=shopper_count,
            default=150,
            metavar="N",
            help="at once (default: %(default)s)",
        )
        crowd.add_argument(
            "--orders",
            type=whole_number(_MOST_ORDERS),
            metavar="N",
            help="the drill of money, with so many orders held at once",
        )
        parser.add_argument(
            "--log", type=writable_file, metavar="FILE", help="write the output of the shop there"
        )

    def run(self, **options: Any) -> int:
        """Replace this process, whose settings name another shop's servers. Does not return."""
        seed = secrets.randbelow(1_000_000) if options["seed"] is None else options["seed"]
        module, size = "drills.chaos", options["shoppers"]
        if options["orders"]:
            module, size = "drills.money_drill", options["orders"]
        drill = [sys.executable, "-m", module, f"{options['minutes'] * 60}", f"{seed}", f"{size}"]
        if options["json"]:
            drill.append("--json")
        if options["log"]:
            drill += ["--log", str(options["log"])]
        os.chdir(ROOT)  # where Python finds the package `drills`
        os.execv(sys.executable, drill)  # noqa: S606  # no shell is wanted
