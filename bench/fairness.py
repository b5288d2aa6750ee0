"""Measures what bots get against people: `python -m bench.fairness --out FILE`.

It plays a sale for each way of selling, number of identities and of addresses (`drills/fair_play.py`). The
whole table takes about an hour. Writes JSON after each sale, which `tools/plots.py` draws, and goes on
where an earlier run with the same file ended. Prints the table of `docs/fairness.md`. Exit code 3 if the
shop's answers and PostgreSQL disagree.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import Any

from bench import machine
from drills.arguments import number_between, shopper_count, whole_number, writable_file
from drills.fair_modes import LABELS, RATE, Mode, Setting
from drills.loopback import require_addresses
from drills.private_shop import HOST, say, start_shop
from flashsale.http.listening import allow_many_sockets
from ops.base_command import INCONSISTENT

_SEED = 18
_HEADINGS = (
    *("identities", "addresses", "sale", "bots take part", "people take part"),
    *("units to bots", "advantage", "price of an identity"),
)

Point = dict[str, Any]  # of `Outcome.as_json`


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.fairness", description=__doc__)
    parser.add_argument("--out", type=writable_file, required=True)
    parser.add_argument("--identities", type=_parse_numbers, default=[50, 500, 5000])
    parser.add_argument("--addresses", type=_parse_numbers, default=[1, 4, 50])
    parser.add_argument("--people", type=shopper_count, default=1000)
    parser.add_argument("--units", type=whole_number(100_000), default=300)
    parser.add_argument("--per-address", type=whole_number(100_000), default=0)
    parser.add_argument("--window", type=number_between(6, 600), default=30.0)
    options = parser.parse_args()
    points = _measure(options.out, list(_list_settings(options)))
    print(as_markdown(points))
    return INCONSISTENT if any(point["faults"] for point in points) else 0


def _measure(out: Path, settings: Sequence[Setting]) -> list[Point]:
    require_addresses()
    allow_many_sockets()
    points: list[Point] = json.loads(out.read_text())["fairness"] if out.exists() else []
    done = [(point["mode"], point["setting"]) for point in points]
    with start_shop(RATE_PER_ADDRESS=f"{RATE}") as (_, port):
        from drills.fair_play import play
        from drills.http import Site

        about = machine.describe_machine()
        for setting, mode in product(settings, Mode):
            if (mode.value, vars(setting)) in done:
                continue
            say(f"{setting.bots:,} identities, addresses: {setting.addresses}, {LABELS[mode]}")
            outcome = play(Site(f"http://{HOST}:{port}"), mode, setting, _SEED, len(points))
            points.append(outcome.as_json())
            out.write_text(json.dumps({"machine": about, "fairness": points}, indent=1))
    return points


def _list_settings(options: argparse.Namespace) -> Iterator[Setting]:
    for bots, addresses in product(options.identities, options.addresses):
        yield Setting(
            bots,
            addresses,
            options.people,
            options.units,
            options.window,
            options.per_address,
        )


def as_markdown(points: Sequence[Point]) -> str:
    lines = [_line(_HEADINGS), _line("--:" if name != "sale" else "---" for name in _HEADINGS)]
    return "\n".join([*lines, *(_line(_cells(point)) for point in points)])


def _cells(point: Point) -> Iterator[str]:
    bots, people, advantage = point["bots"], point["people"], point["advantage"]
    yield f"{bots['identities']:,}"
    yield f"{point['setting']['addresses']}"
    yield LABELS[Mode(point["mode"])]
    yield f"{bots['accepted']:,}"
    yield f"{people['accepted']:,} of {people['identities']:,}"
    yield f"{bots['units']:,} ({point['share']:.0%})"
    yield "no person won" if advantage is None else f"{advantage:.1f}"
    yield f"{point['price']:.2f}"


def _line(cells: Any) -> str:
    return f"| {' | '.join(cells)} |"


def _parse_numbers(given: str) -> list[int]:
    return [whole_number(50_000)(number) for number in given.split(",")]


if __name__ == "__main__":
    sys.exit(main())
