"""The bench behind `manage.py bench`, in a process of its own: `python -m bench`.

Starts a private shop, measures it beside what the machine allows, verifies its books, and tears it down.
The load generator runs on the same machine and takes its share of it.
"""

import argparse
import json
import signal
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from bench import PARTS, buying, machine, reading, waiting, watching, wrk
from bench.figures import USERS, WRITES, Results
from bench.stage import Stage, stage
from drills.private_shop import endings
from flashsale.http.listening import allow_many_sockets
from ops.base_command import FAILED, INTERRUPTED, aligned

Part = Callable[[Stage], None]
# Each round measures all of them in this order, so that what changes with the hour changes for all.
MEASURED: dict[str, tuple[Part, ...]] = {
    "limits": (buying.bare_writes, buying.sql_batches),
    "accept": tuple(partial(buying.accepted, connections=n) for n in WRITES),
    "dashboard": (buying.watched,),
    "refuse": (buying.refused,),
    "pages": (reading.pages,),
    "wait": (
        waiting.click_to_confirmed,
        *(partial(waiting.closed_loop, users=n) for n in USERS),
        waiting.pauses,
    ),
    "sockets": (watching.sockets,),
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--only", nargs="+", default=list(MEASURED), choices=PARTS)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=5.0, help="of each load")
    parser.add_argument("--web", type=int, default=2, help="web processes")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--out", type=Path, help="write the JSON there as well")
    options = parser.parse_args()
    allow_many_sockets()
    results, spoilt = Results(), []
    with stage(options.seconds, results, options.web) as ready:
        for number in range(1, options.rounds + 1):
            results.round = number
            for name in options.only:
                print(f"round {number} of {options.rounds}: {name}", file=sys.stderr, flush=True)
                for part in MEASURED[name]:
                    try:
                        part(ready)
                    except (wrk.Spoilt, SystemExit) as why:
                        spoilt.append(f"round {number}, {name}: {why}")
    told = _told(options, results) | {"spoilt": spoilt}
    if options.out:
        options.out.write_text(json.dumps(told, indent=1) + "\n")
    print(json.dumps(told) if options.json else words(told, results))
    print("\n".join(spoilt), file=sys.stderr, end="\n" if spoilt else "")
    return FAILED if spoilt else 0


def _told(options: argparse.Namespace, results: Results) -> dict[str, Any]:
    asked = {"rounds": options.rounds, "seconds": options.seconds, "web": options.web}
    return {"machine": machine.described(), **asked, **results.as_json()}


def words(told: dict[str, Any], results: Results) -> str:
    headings = ("figure", "median", "least to most", "of its limit", "aimed at, here", "")
    described = ", ".join(f"{name} {value}" for name, value in told["machine"].items())
    return (
        f"{described}\n"
        f"{told['rounds']} rounds, {told['seconds']:g} s each, {told['web']} web processes;"
        f" {_how_fast(told['factor'])}\n\n" + aligned(headings, results.rows())
    )


def _how_fast(factor: float | None) -> str:
    if factor is None:
        return "how fast this machine is was not measured, so the aims are those of a fast one"
    return f"this machine was {factor:.2f} as fast as the one of the aims"


if __name__ == "__main__":
    for number in endings():
        signal.signal(number, signal.default_int_handler)
    try:
        if not wrk.installed():
            print(wrk.MISSING, file=sys.stderr)
            sys.exit(FAILED)
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
