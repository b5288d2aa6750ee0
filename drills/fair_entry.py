"""The drill of bots against people, in a process of its own: `python -m drills.fair_entry`.

It starts a private shop with the rates of a real one, and plays a sale of each mode. Clients have loopback
addresses of their own. `drills/fair_play.py` plays a sale, `drills/bots.py` says what a bot may know.
"""

import argparse
import json
import signal
import sys
from typing import TYPE_CHECKING

from drills.chaos import show_progress
from drills.fair_modes import LABELS, RATE, Mode, Outcome, Setting, as_text
from drills.loopback import require_addresses
from drills.private_shop import HOST, ending_signals, start_shop
from ops.base_command import INCONSISTENT, INTERRUPTED

if TYPE_CHECKING:
    from drills.crowd import Say


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m drills.fair_entry", description=__doc__)
    for name in ("bots", "addresses", "people", "units", "per-address", "seed"):
        parser.add_argument(f"--{name}", type=int, required=True)
    parser.add_argument("--window", type=float, required=True)
    parser.add_argument("--mode", choices=list(Mode), action="append", dest="modes", required=True)
    parser.add_argument("--json", action="store_true")
    given = vars(parser.parse_args())
    modes, seed, as_json = given.pop("modes"), given.pop("seed"), given.pop("json")
    setting = Setting(**given)
    with show_progress() as say:
        outcomes = drill(setting, [Mode(name) for name in modes], seed, say)
    if as_json:
        print(json.dumps({"seed": seed, "outcomes": [each.as_json() for each in outcomes]}))
    else:
        print(as_text(setting, outcomes))
    return INCONSISTENT if any(outcome.faults for outcome in outcomes) else 0


def drill(setting: Setting, modes: list[Mode], seed: int, say: "Say") -> list[Outcome]:
    """Start a shop, play the modes, and return their outcomes."""
    require_addresses()
    say("starting a shop")
    with start_shop(RATE_PER_ADDRESS=f"{RATE}") as (_, port):
        from drills.fair_play import play
        from drills.http import Site
        from flashsale.http.listening import allow_many_sockets

        allow_many_sockets()
        outcomes = []
        for run, mode in enumerate(modes):
            say(f"{LABELS[mode]}: {setting.bots:,} identities against {setting.people:,} people")
            outcomes.append(play(Site(f"http://{HOST}:{port}"), mode, setting, seed, run))
    return outcomes


if __name__ == "__main__":
    for number in ending_signals():
        signal.signal(number, signal.default_int_handler)
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        if "--json" in sys.argv:
            print(json.dumps({"error": "interrupted"}))
        sys.exit(INTERRUPTED)
