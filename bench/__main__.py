"""The bench behind `manage.py bench`, in a process of its own: `python -m bench`.

It starts a private shop, measures it beside the machine's limits, reconciles each sale, and stops the shop.
The load generator runs on the same machine and takes a share of it.
"""

import argparse
import json
import signal
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from bench import buying, checkout, machine, reading, waiting, watching, wrk
from bench.figures import HASTY, USERS, WRITES, Results
from bench.stage import Stage, start_stage
from drills.private_shop import ending_signals
from flashsale.http.listening import allow_many_sockets
from ops.base_command import FAILED, INTERRUPTED, aligned

Part = Callable[[Stage], None]
# Each round measures every part in this order, so that a change of the machine's speed affects all parts.
MEASURED: dict[str, tuple[Part, ...]] = {
    "limits": (buying.measure_bare_writes, buying.measure_sql_batches),
    "accept": tuple(partial(buying.measure_accepted, connections=n) for n in WRITES),
    "dashboard": (buying.measure_watched,),
    "refuse": (buying.measure_refused,),
    "pages": (reading.measure_pages,),
    "wait": (
        waiting.measure_click_to_confirmed,
        *(partial(waiting.measure_closed_loop, users=n) for n in USERS),
        waiting.measure_pauses,
    ),
    "sockets": (watching.measure_sockets,),
    "checkout": (
        *(partial(checkout.measure_typing_winners, pace=pace) for pace in checkout.PACES),
        *(partial(checkout.measure_hasty_winners, places=n) for n in HASTY),
    ),
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument(
        "--only", nargs="+", default=list(MEASURED), choices=MEASURED, help="default: all"
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=5.0, help="of each load")
    parser.add_argument("--web", type=int, default=2, help="web processes")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--out", type=Path, help="write the JSON there as well")
    options = parser.parse_args()
    if not wrk.installed():
        return _refuse_without_wrk(as_json=options.json)
    results = Results()
    failures = _measure(options, results)
    report = _as_json(options, results) | {"spoilt": failures}
    if options.out:
        options.out.write_text(json.dumps(report, indent=1) + "\n")
    print(json.dumps(report) if options.json else _as_text(report, results))
    print("\n".join(failures), file=sys.stderr, end="\n" if failures else "")
    return FAILED if failures else 0


def _refuse_without_wrk(*, as_json: bool) -> int:
    if as_json:
        print(json.dumps({"error": wrk.MISSING}))
    print(wrk.MISSING, file=sys.stderr)
    return FAILED


def _measure(options: argparse.Namespace, results: Results) -> list[str]:
    """Measure every round, and return the failures. A failed part does not stop the others."""
    failures = []
    allow_many_sockets()
    with start_stage(options.seconds, results, options.web) as ready:
        for results.round in range(1, options.rounds + 1):
            for name in options.only:
                where = f"round {results.round}"
                print(f"{where} of {options.rounds}: {name}", file=sys.stderr, flush=True)
                failures += [f"{where}, {name}: {why}" for why in _measure_part(name, ready)]
    return failures


def _measure_part(name: str, ready: Stage) -> Iterator[str]:
    for part in MEASURED[name]:
        try:
            part(ready)
        except (wrk.InvalidLoad, SystemExit) as error:
            yield str(error)


def _as_json(options: argparse.Namespace, results: Results) -> dict[str, Any]:
    conditions = {"rounds": options.rounds, "seconds": options.seconds, "web": options.web}
    return {"machine": machine.describe_machine(), **conditions, **results.as_json()}


def _as_text(report: dict[str, Any], results: Results) -> str:
    headings = ("figure", "median", "least to most", "of its limit", "aimed at, here", "")
    described = ", ".join(f"{name} {value}" for name, value in report["machine"].items())
    return (
        f"{described}\n"
        f"{report['rounds']} rounds, {report['seconds']:g} s each, {report['web']} web processes;"
        f" {_describe_speed(report['factor'])}\n\n" + aligned(headings, results.rows())
    )


def _describe_speed(factor: float | None) -> str:
    if factor is None:
        return "the speed of this machine was not measured: the aims are those of the reference machine"
    return f"this machine had {factor:.2f} of the speed of the reference machine"


if __name__ == "__main__":
    for number in ending_signals():
        signal.signal(number, signal.default_int_handler)
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
