"""`manage.py bench`: measures a private shop on this machine, beside what the machine allows.

`python -m bench` does the work. The package `bench` is outside the installed apps, so no app imports it.
"""

import os
import sys
from typing import Any

from django.core.management.base import CommandParser

from drills.arguments import number_between, whole_number, writable_file
from drills.private_shop import ROOT
from ops.base_command import OperatorCommand

_LONGEST = 60.0  # seconds of a load


class Command(OperatorCommand):
    help = (
        "Starts a private shop in a temporary folder and measures it: clicks accepted, committed and"
        " refused, pages, sockets, the time to an outcome, and checkouts. Each figure comes with a"
        " limit: what the same server, Redis, PostgreSQL and machine do without the shop, measured in the"
        " same round."
        " Takes 15 to 20 minutes on a machine that does nothing else meanwhile. Needs `wrk`."
        " Touches no other shop."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "--only",
            nargs="+",
            metavar="PART",
            help="parts to measure, of those that `python -m bench --help` lists; default: all",
        )
        parser.add_argument(
            "--rounds", type=whole_number(20), default=3, metavar="N", help="default: %(default)s"
        )
        parser.add_argument(
            "--seconds",
            type=number_between(1, _LONGEST),
            default=5.0,
            metavar="S",
            help=f"of each load, from 1 to {_LONGEST:g}, default: %(default)g",
        )
        parser.add_argument(
            "--web", type=whole_number(64), default=2, metavar="N", help="web processes, default: 2"
        )
        parser.add_argument(
            "--out", type=writable_file, metavar="FILE", help="write the JSON there as well"
        )

    def run(self, **options: Any) -> int:
        """Replace this process, whose settings name another shop's servers. Does not return."""
        bench = [sys.executable, "-m", "bench"]
        for option in ("rounds", "seconds", "web"):
            bench += [f"--{option}", str(options[option])]
        if options["out"]:
            bench += ["--out", str(options["out"])]
        if options["json"]:
            bench.append("--json")
        if options["only"]:
            bench += ["--only", *options["only"]]
        os.chdir(ROOT)  # where Python finds the package `bench`
        os.execv(sys.executable, bench)  # noqa: S606  # no shell is wanted
