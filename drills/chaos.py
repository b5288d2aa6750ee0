"""The drill behind `manage.py chaos`, in a process of its own: `python -m drills.chaos`.

It starts a private shop, sends shoppers into it without end, kills, freezes and restarts its processes by
a schedule, and then compares all logs of the shoppers with PostgreSQL.
"""

import argparse
import json
import logging
import shutil
import signal
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from drills.faults import Saboteur, schedule
from drills.private_shop import HOST, ending_signals, make_sale, start_shop, wait_for
from ops.base_command import INTERRUPTED

if TYPE_CHECKING:
    from drills.aftermath import Aftermath
    from drills.crowd import Say

VARIANTS, UNITS, LIMIT = 3, 1000, 2  # of the sale; staff restock low variants
DRAWN = 5  # units of each variant in the sale with a draw
WINDOW = 0.6  # part of the drill before the draw


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m drills.chaos", description=__doc__)
    parser.add_argument("seconds", type=float)
    parser.add_argument("seed", type=int)
    parser.add_argument("shoppers", type=int)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--log", type=Path, help="file for the output of the shop")
    options = parser.parse_args()
    with show_progress() as say:
        say(f"seed {options.seed}: starting a shop")
        with start_shop() as (folder, port):
            try:
                aftermath = drill(
                    folder, port, options.seconds, options.seed, options.shoppers, say
                )
            finally:
                if options.log:
                    shutil.copy(folder / "up.log", options.log)
    print(json.dumps(aftermath.as_json()) if options.json else aftermath.as_text())
    return aftermath.exit_code


def drill(
    folder: Path, port: int, seconds: float, seed: int, shoppers: int, say: "Say"
) -> "Aftermath":
    """Carry out the faults while shoppers buy, and return the results."""
    from django.utils import timezone

    from drills import log_check
    from drills.aftermath import Aftermath
    from drills.crowd import EndlessCrowd
    from drills.entries import DrawReport
    from drills.http import Site
    from drills.report import Report
    from drills.staff import Staff
    from flashsale.database import drop_broken_connections
    from inventory.gate import replica
    from payments import reconciliation

    logging.disable(logging.WARNING)  # servers are away on purpose: `Staff` counts it
    sale = make_sale(LIMIT, VARIANTS, UNITS)
    before = log_check.read_stock(sale)
    draw = make_sale(
        LIMIT, VARIANTS, DRAWN, draw_at=timezone.now() + timedelta(seconds=seconds * WINDOW)
    )
    stock_of_draw = log_check.read_stock(draw)
    site = Site(f"http://{HOST}:{port}")
    crowd = EndlessCrowd(site, sale.slug, shoppers, seconds, seed, draw=draw.slug)
    saboteur, staff = Saboteur(folder, schedule(seed, seconds)), Staff(sale)

    def report(progress: str) -> None:
        last = saboteur.injections[-1:]
        say(f"seed {seed}, {progress}" + (f"; last: {last[0].fault}" if last else ""))

    with ExitStack() as ending:
        for helper in (staff, saboteur):
            helper.start()
            ending.callback(helper.stop)
        logs = crowd.shop(report)
    say("comparing the logs with PostgreSQL")
    drop_broken_connections()
    wait_for(lambda: replica.read_view(sale.pk).ready)
    state = log_check.DatabaseState.read(sale, before, logs)
    found = Report(logs, log_check.find_faults(logs, state), reconciliation.verify(sale.pk))
    return Aftermath(
        seed,
        seconds,
        crowd.interrupted,
        saboteur.began,
        saboteur.injections,
        staff.log,
        found,
        DrawReport.read(draw, stock_of_draw, crowd.entered),
    )


@contextmanager
def show_progress() -> "Iterator[Say]":
    if not sys.stderr.isatty():
        yield lambda words: None
        return
    with Console(stderr=True).status("") as status:
        yield status.update


if __name__ == "__main__":
    # Any signal but SIGKILL ends the shop and removes its folder before this process ends.
    for number in ending_signals():
        signal.signal(number, signal.default_int_handler)
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        if "--json" in sys.argv:
            print(json.dumps({"error": "interrupted"}))
        sys.exit(INTERRUPTED)
