"""The ways of selling that the drill of bots against people compares, and what it measures of each."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from math import inf
from typing import Any

from ops.base_command import aligned

RATE = 50  # accepted clicks/s of an address, as in a shop that sets no other


class Mode(StrEnum):
    """A way of selling."""

    ARRIVAL = "arrival"
    SHORT_DRAW = "short-draw"
    WHOLE_DRAW = "whole-draw"
    EMAIL = "email"

    @property
    def draws(self) -> bool:
        return self is not Mode.ARRIVAL

    @property
    def asks_for_email(self) -> bool:
        """Whether only shoppers with a verified e-mail address may enter."""
        return self is Mode.EMAIL


LABELS = {
    Mode.ARRIVAL: "by arrival",
    Mode.SHORT_DRAW: "draw after seconds",
    Mode.WHOLE_DRAW: "draw over the whole window",
    Mode.EMAIL: "the same, verified e-mail",
}


@dataclass(frozen=True)
class Setting:
    """The part of a drill that all its modes share."""

    bots: int  # identities of the bot
    addresses: int  # over which it spreads them
    people: int
    units: int
    window: float  # seconds from the opening to the draw, where it is short
    per_address: int  # units that one network may take; 0: no bound


@dataclass(frozen=True)
class Side:
    """What the bot or the people got."""

    identities: int
    accepted: int  # clicks: purchases, or entries of a draw
    winners: int  # identities with at least one unit
    units: int

    @property
    def win_rate(self) -> float:
        return self.winners / self.identities if self.identities else 0.0


@dataclass(frozen=True)
class Outcome:
    """How a sale ended. `faults` say where the shop's answers and PostgreSQL disagree."""

    mode: Mode
    setting: Setting
    bots: Side
    people: Side
    answers: dict[str, int]  # to the bot's clicks, by code
    faults: Sequence[str] = field(default=())

    @property
    def share(self) -> float:
        """The bot's part of the units that were sold."""
        sold = self.bots.units + self.people.units
        return self.bots.units / sold if sold else 0.0

    @property
    def advantage(self) -> float:
        """How much more often an identity of the bot wins than a person. inf if no person won."""
        if not self.people.win_rate:
            return inf if self.bots.win_rate else 1.0
        return self.bots.win_rate / self.people.win_rate

    @property
    def price(self) -> float:
        """What an identity is worth to a bot that earns 1 with each unit: units per identity."""
        return self.bots.units / self.bots.identities if self.bots.identities else 0.0

    def as_json(self) -> dict[str, Any]:
        """`advantage` is null if no person won."""
        sides = {"bots": vars(self.bots), "people": vars(self.people)}
        return {
            "mode": self.mode.value,
            "setting": vars(self.setting),
            **sides,
            "share": round(self.share, 4),
            "advantage": None if self.advantage == inf else round(self.advantage, 3),
            "price": round(self.price, 4),
            "answers": self.answers,
            "faults": list(self.faults),
        }

    def row(self) -> tuple[str, ...]:
        return (
            LABELS[self.mode],
            _count(self.bots),
            _count(self.people),
            f"{self.bots.units:,} of {self.bots.units + self.people.units:,}",
            f"{self.share:.0%}",
            "no person won" if self.advantage == inf else f"{self.advantage:.1f}",
            f"{self.price:.3f}",
        )


HEADINGS = (
    *("MODE", "BOTS TAKE PART", "PEOPLE TAKE PART"),
    *("UNITS TO BOTS", "SHARE", "ADVANTAGE", "PRICE OF AN IDENTITY"),
)
MEANING = """\
Take part: identities whose click was accepted. Advantage: how often an identity of the bot wins, by how
often a person does. Price: units that the bot wins per identity: what one is worth if a unit earns 1."""


def as_text(setting: Setting, outcomes: Sequence[Outcome]) -> str:
    addresses = "1 address" if setting.addresses == 1 else f"{setting.addresses:,} addresses"
    bound = f", at most {setting.per_address:,} from a network" if setting.per_address else ""
    head = (
        f"{setting.bots:,} identities of a bot over {addresses} against {setting.people:,} people, who"
        f" click 0.5 to 5 s after the opening; {setting.units:,} units{bound}"
    )
    faults = [f"{outcome.mode}: {fault}" for outcome in outcomes for fault in outcome.faults]
    verdict = ["INCONSISTENT", *faults] if faults else ["CONSISTENT"]
    table = aligned(HEADINGS, [outcome.row() for outcome in outcomes])
    return "\n\n".join([head, table, MEANING, "\n".join(verdict)])


def _count(side: Side) -> str:
    return f"{side.accepted:,} of {side.identities:,}"
