"""What PostgreSQL tells the gate: rules, stock and answers that changed between two versions."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Delta:
    """What `tell` tells; the fields are explained in `lua/apply.lua`."""

    since: int
    to: int
    rules: dict[str, Any] = field(default_factory=dict)
    stock: dict[str, int] = field(default_factory=dict)
    answers: list[list[Any]] = field(default_factory=list)
    bought: dict[str, int] = field(default_factory=dict)
    epoch: str = ""
    opens: bool = False

    def parts(self, size: int) -> Iterator[str]:
        """The tale as JSON, in parts of at most `size` answers; the last one moves rules, stock and
        version. Only a cold gate may be told in several: a warm one would sell between them."""
        bought = list(self.bought.items())
        count = max(1, -(-max(len(self.answers), len(bought)) // size))
        for number in range(count):
            cut = slice(number * size, (number + 1) * size)
            last = number == count - 1
            yield json.dumps(
                {
                    "from": self.since,
                    "to": self.to,
                    "last": last,
                    "epoch": self.epoch or False,
                    "opens": last and self.opens,
                    "rules": self.rules if last else {},
                    "stock": self.stock if last else {},
                    "answers": self.answers[cut],
                    "bought": dict(bought[cut]),
                }
            )
