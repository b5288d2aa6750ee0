"""A delta: changes of rules, stock and answers that PostgreSQL sends to the gate."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Delta:
    """Changes between two versions of the sale. `lua/apply.lua` explains the fields."""

    since: int
    to: int
    rules: dict[str, Any] = field(default_factory=dict)
    stock: dict[str, int] = field(default_factory=dict)
    answers: list[list[Any]] = field(default_factory=list)
    bought: dict[str, int] = field(default_factory=dict)
    epoch: str = ""
    makes_ready: bool = False

    def parts(self, size: int) -> Iterator[str]:
        """Yield the delta as JSON, in parts of at most `size` answers. The last part sets rules,
        stock and version.

        Only a gate that is not ready may take several parts: a ready one would sell between them.
        """
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
                    "makes_ready": last and self.makes_ready,
                    "rules": self.rules if last else {},
                    "stock": self.stock if last else {},
                    "answers": self.answers[cut],
                    "bought": dict(bought[cut]),
                }
            )
