"""The options of `manage.py sale create` about who gets units."""

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from django.core.management.base import CommandParser

from inventory.models import Sale
from ops.lifecycle_command import in_zone, iso_time, whole_number
from orders.draws import scheduling
from orders.models import Draw

_RULES = ("standby", "entrants", "per_address")


def add_entry_arguments(parser: CommandParser) -> None:
    parser.add_argument(
        "--draw",
        type=iso_time,
        metavar="TIME",
        help="until then every click is an entry, and lots decide (default: first come, first served)",
    )
    parser.add_argument(
        "--standby",
        action="store_true",
        help="who comes too late waits in order, and gets what comes back",
    )
    parser.add_argument(
        "--entrants",
        default="",
        choices=[value for value in Sale.Entrants.values if value],
        help="who may buy: people with a verified e-mail address, or with an access code"
        " (default: anyone)",
    )
    parser.add_argument(
        "--per-address",
        default=0,
        type=whole_number(0),
        metavar="UNITS",
        help="units, or entries of a draw, from one network; 0: no bound (default)",
    )


def read_entry(options: dict[str, Any], zone: ZoneInfo) -> dict[str, Any]:
    """The rules that were given, as fields of a sale. Raises UsageError for a time that `zone` shows twice
    or never."""
    draw: datetime | None = options["draw"]
    return {
        **{rule: options[rule] for rule in _RULES},
        "draw_at": in_zone(draw, zone) if draw else None,
    }


def add_beacon_argument(parser: CommandParser) -> None:
    parser.add_argument(
        "--beacon",
        choices=["none", *filter(None, Draw.Beacon.values)],
        help="the beacon to which its draw is bound (default: DRAW_BEACON)",
    )


def read_beacon(options: dict[str, Any], sale: Sale) -> str:
    """One of `Draw.Beacon`."""
    named: str | None = options["beacon"]
    return scheduling.usual_beacon(sale) if named is None else named.replace("none", "")
