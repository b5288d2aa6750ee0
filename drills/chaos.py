"""The drill behind `manage.py chaos`, in a process of its own: `python -m drills.chaos`.

Starts a private shop, sends shoppers into it without end, kills, freezes and restarts its parts by a
schedule, and then compares all that anybody was told with what PostgreSQL says.
"""

import argparse
import json
import logging
import shutil
import signal
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from drills.faults import Saboteur, schedule
from drills.private_shop import HOST, endings, make_sale, shop, wait_for
from ops.base_command import INTERRUPTED

if TYPE_CHECKING:
    from drills.aftermath import Aftermath
    from drills.crowd import Say

PRODUCTS, UNITS, LIMIT = 3, 1000, 2  # of the sale; staff restock what runs low


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m drills.chaos", description=__doc__)
    parser.add_argument("seconds", type=float)
    parser.add_argument("seed", type=int)
    parser.add_argument("shoppers", type=int)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--log", type=Path, help="where the output of the shop is left")
    options = parser.parse_args()
    with _progress() as say:
        say(f"seed {options.seed}: starting a shop")
        with shop() as (folder, port):
            try:
                found = drill(folder, port, options.seconds, options.seed, options.shoppers, say)
            finally:
                if options.log:
                    shutil.copy(folder / "up.log", options.log)
    print(json.dumps(found.as_json()) if options.json else found.words())
    return found.exit_code


def drill(
    folder: Path, port: int, seconds: float, seed: int, shoppers: int, say: "Say"
) -> "Aftermath":
    """Everything goes wrong while everybody buys. Gives what came of it."""
    from drills import consistency
    from drills.aftermath import Aftermath
    from drills.crowd import Throng
    from drills.report import Report
    from drills.shopper import Site
    from drills.staff import Staff
    from flashsale.database import drop_broken_connections
    from inventory.gate import replica
    from orders import reconciliation

    logging.disable(logging.WARNING)  # of this process, where servers are away: `Staff` counts that
    sale = make_sale(LIMIT, PRODUCTS, UNITS)
    before = consistency.stock_of(sale)
    throng = Throng(Site(f"http://{HOST}:{port}"), sale.slug, shoppers, seconds, seed)
    saboteur, staff = Saboteur(folder, schedule(seed, seconds)), Staff(sale)

    def tell(progress: str) -> None:
        last = saboteur.done[-1:]
        say(f"seed {seed}, {progress}" + (f"; last: {last[0].fault}" if last else ""))

    with ExitStack() as ending:
        for helper in (staff, saboteur):
            helper.start()
            ending.callback(helper.stop)
        logs = throng.shop(tell)
    say("reading the books")
    drop_broken_connections()
    wait_for(lambda: replica.read_view(sale.pk).ready)
    told = consistency.Books.read(sale, before, logs)
    report = Report(logs, consistency.faults_in(logs, told), reconciliation.verify(sale.pk))
    return Aftermath(
        seed, seconds, throng.interrupted, saboteur.began, saboteur.done, staff.seen, report
    )


@contextmanager
def _progress() -> "Iterator[Say]":
    if not sys.stderr.isatty():
        yield lambda words: None
        return
    with Console(stderr=True).status("") as status:
        yield status.update


if __name__ == "__main__":
    # Whatever ends this command, but SIGKILL, ends the shop first, and its folder goes.
    for number in endings():
        signal.signal(number, signal.default_int_handler)
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        if "--json" in sys.argv:
            print(json.dumps({"error": "interrupted"}))
        sys.exit(INTERRUPTED)
