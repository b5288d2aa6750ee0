"""`manage.py bench`: what a private shop does on this machine, beside what the machine allows."""

import os
import sys
from typing import Any

from django.core.management.base import CommandParser

from bench import PARTS
from bench.wrk import MISSING, installed
from drills.arguments import number, whole, writable
from drills.private_shop import ROOT
from ops.base_command import Failed, OperatorCommand

_LONGEST = 60.0  # seconds of a load


class Command(OperatorCommand):
    help = (
        "Starts a shop of its own in a folder that is thrown away, and measures it: clicks accepted,"
        " committed and refused, pages, sockets, and how soon a shopper knows. Beside each figure stands"
        " what the same server, Redis, PostgreSQL and machine do without us, measured in the same round."
        " Ten to fifteen minutes; nothing else should run meanwhile. Needs `wrk` on this machine."
        " Touches no other shop."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "--only",
            nargs="+",
            choices=PARTS,
            metavar="PART",
            help=f"of {', '.join(PARTS)}; default: all",
        )
        parser.add_argument(
            "--rounds", type=whole(20), default=3, metavar="N", help="default: %(default)s"
        )
        parser.add_argument(
            "--seconds",
            type=number(1, _LONGEST),
            default=5.0,
            metavar="S",
            help=f"of each load, from 1 to {_LONGEST:g}, default: %(default)g",
        )
        parser.add_argument(
            "--web", type=whole(64), default=2, metavar="N", help="web processes, default: 2"
        )
        parser.add_argument(
            "--out", type=writable, metavar="FILE", help="keep the JSON there as well"
        )

    def run(self, **options: Any) -> int:
        """Does not return: the settings of this process name another shop's servers."""
        if not installed():
            raise Failed(MISSING)
        bench = [sys.executable, "-m", "bench"]
        for option in ("rounds", "seconds", "web"):
            bench += [f"--{option}", str(options[option])]
        if options["out"]:
            bench += ["--out", str(options["out"])]
        if options["json"]:
            bench.append("--json")
        if options["only"]:
            bench += ["--only", *options["only"]]
        os.chdir(ROOT)  # where the bench's module is found
        os.execv(sys.executable, bench)  # noqa: S606  # no shell is wanted
