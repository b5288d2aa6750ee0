"""Draws the pictures of docs/architecture.md: `python tools/architecture.py [--check]`.

The packages and their layers are those of the import contract in pyproject.toml, so the first picture
cannot differ from what CI checks. The second is the way of a purchase. Needs nothing but Python.
"""

import sys
import tomllib
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
IMG = ROOT / "docs" / "img"
WIDTH, MARGIN = 1040, 20
_BODY = 1000  # width between the margins


class Room(NamedTuple):
    """A top-level package: for whom it is, or its layer; its contents, in lines that fit into its box."""

    label: str
    holds: tuple[str, ...]


ROOMS = {
    "storefront": Room(
        "shoppers, programs", ("sale list and page", "buy, outcome, orders", "feed and sockets")
    ),
    "dashboard": Room("staff", ("dashboard", "Django admin", "alarms, metrics")),
    "ops": Room("operators", ("manage.py commands", "doctor, verify", "up, prepare")),
    "drills": Room("operators", ("simulate, chaos", "simulated shoppers", "faults on purpose")),
    "bench": Room("developers", ("what it carries", "pictures of pages", "not installed")),
    "mail": Room("domain", ("mails to shoppers, from the outbox",)),
    "payments": Room("domain", ("attempts · providers · refunds · their reconciler",)),
    "orders": Room(
        "domain",
        ("settlement · lifecycle of sales · holds · replication · caretaker · reconciliation",),
    ),
    "inventory": Room(
        "domain",
        ("products and sales · stock and its ledger · the gate in Redis and its Lua scripts",),
    ),
    "accounts": Room("domain", ("who a shopper is: contacts",)),
    "flashsale": Room(
        "infrastructure",
        ("settings · HTTP server and sockets · Redis · telemetry, logs · local servers",),
    ),
}


class Step(NamedTuple):
    """A message of the second picture, from one lifeline to another."""

    sender: str
    receiver: str
    text: str
    reply: bool = False


LIFELINES = {  # name: its second line, and the colour of its box
    "browser": ("the sale's page", "people"),
    "web process": ("storefront", "audience"),
    "gate and line": ("stock, entries", "redis"),
    "broker": ("Celery's queue", "redis"),
    "channel layer": ("group “feeds”", "redis"),
    "worker": ("settlement", "domain"),
    "PostgreSQL": ("orders, ledger", "domain"),
}
REDIS = ("gate and line", "broker", "channel layer")
STEPS = (
    Step("browser", "web process", "click, with ticket"),
    Step("web process", "gate and line", "admit.lua"),
    Step("gate and line", "web process", "accepted, on disk", reply=True),
    Step("web process", "browser", "202: in line", reply=True),
    Step("web process", "broker", "bell: settle(sale)"),
    Step("broker", "worker", "one task per burst"),
    Step("worker", "gate and line", "reads the oldest entries of the line"),
    Step("worker", "PostgreSQL", "one transaction"),
    Step("PostgreSQL", "worker", "committed", reply=True),
    Step("worker", "gate and line", "apply.lua: delta; entries leave the line"),
    Step("worker", "channel layer", "sale changed"),
    Step("channel layer", "web process", "to each web process"),
    Step("web process", "gate and line", "reads once"),
    Step("web process", "browser", "outcome, stock"),
)

_STYLE = """
:root { color-scheme: light dark }
text { font: 14px system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; fill: #1d2733 }
.name { font: 600 17px ui-monospace, "SF Mono", Menlo, Consolas, monospace }
.title { font-weight: 600 }
.small { font-size: 12.5px; fill: #55616e }
.mid { text-anchor: middle }
.page { fill: #ffffff }
.audience { fill: #e8f1fb; stroke: #5b8fc4 }
.domain { fill: #e9f5ec; stroke: #5a9a6b }
.infrastructure { fill: #f1f0ee; stroke: #8d877d }
.redis { fill: #fdeeea; stroke: #c97a63 }
.people { fill: #fbf4dc; stroke: #bf9f3f }
.group { fill: none; stroke: #c97a63; stroke-dasharray: 3 4 }
.life { stroke: #c3cad2; stroke-width: 1.5 }
.way { stroke: #3b4a5a; stroke-width: 1.6; fill: none }
.reply { stroke-dasharray: 5 4 }
.head { fill: #3b4a5a }
.number { fill: #3b4a5a }
.digit { font-size: 11.5px; font-weight: 600; fill: #ffffff }
.plate { fill: #ffffff }
@media (prefers-color-scheme: dark) {
  text { fill: #e4e9ef }
  .small { fill: #a3aebb }
  .page, .plate { fill: #12171d }
  .audience { fill: #16273a; stroke: #5b8fc4 }
  .domain { fill: #15291c; stroke: #5a9a6b }
  .infrastructure { fill: #23221f; stroke: #8d877d }
  .redis { fill: #33201a; stroke: #c97a63 }
  .people { fill: #2e2811; stroke: #bf9f3f }
  .life { stroke: #3a444f }
  .way { stroke: #aeb9c5 }
  .head, .number { fill: #aeb9c5 }
  .digit { fill: #12171d }
}
"""


def main() -> int:
    """Write the pictures, or with `--check` compare them. Gives the exit code."""
    stale = [name for name, drawn in pictures().items() if not _is_drawn(name, drawn)]
    if "--check" in sys.argv[1:]:
        for name in stale:
            print(f"docs/img/{name} is not what tools/architecture.py draws", file=sys.stderr)
        return 1 if stale else 0
    for name in stale:
        (IMG / name).write_text(pictures()[name])
    return 0


def pictures() -> dict[str, str]:
    """The pictures by the name of their file."""
    return {"architecture.svg": draw_rooms(layers()), "purchase.svg": draw_purchase()}


def _is_drawn(name: str, drawn: str) -> bool:
    return (IMG / name).exists() and (IMG / name).read_text() == drawn


def layers() -> list[list[str]]:
    """The checked layers, the highest first; packages of one layer do not import each other. Raises
    ValueError where `ROOMS` describes others."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"][
        "contracts"
    ]
    [contract] = [contract for contract in contracts if contract["type"] == "layers"]
    found = [[room.strip() for room in layer.split("|")] for layer in contract["layers"]]
    if {room for layer in found for room in layer} != set(ROOMS):
        raise ValueError("ROOMS does not describe the layers of pyproject.toml")
    return found


# --- The packages ---------------------------------------------------------------------------------

_BOX, _STEP, _SLAB = 118, 30, 62  # heights: of the lowest box, of a layer's rise, of a slab


def draw_rooms(layers: list[list[str]]) -> str:
    """User-facing packages on top: the higher the layer, the higher the box. Below, a slab each for domain
    and infrastructure."""
    floors = [layer for layer in layers if _is_slab(layer)]
    stairs = [layer for layer in layers if not _is_slab(layer)][::-1]
    ground = 92 + _STEP * (len(stairs) - 1) + _BOX
    parts = [
        _text(MARGIN, 34, "A package imports from the layers below it;", "title"),
        _text(MARGIN, 55, "in the upper row, a lower box is a lower layer.", "title"),
    ]
    boxes = [(room, level) for level, layer in enumerate(stairs) for room in layer]
    width = (_BODY - 14 * (len(boxes) - 1)) / len(boxes)
    for number, (room, level) in enumerate(boxes):
        parts += _stair(room, MARGIN + number * (width + 14), ground, width, level)
    for number, [room] in enumerate(floors):
        parts += _slab(room, ground + 14 + number * (_SLAB + 10))
    return _svg(
        ground + 14 + len(floors) * (_SLAB + 10) + 10, "The packages and their layers", parts
    )


def _is_slab(layer: list[str]) -> bool:
    return ROOMS[layer[0]].label in ("domain", "infrastructure")


def _stair(room: str, x: float, ground: float, width: float, level: int) -> Iterator[str]:
    height = _BOX + level * _STEP
    top, middle = ground - height, x + width / 2
    yield _rect(x, top - 34, width, 24, "people", 12)
    yield _text(middle, top - 17, ROOMS[room].label, "mid")
    yield _rect(x, top, width, height, "audience")
    yield _text(middle, top + 30, f"{room}/", "name mid")
    for number, line in enumerate(ROOMS[room].holds):
        yield _text(middle, top + 56 + 19 * number, line, "small mid")


def _slab(room: str, top: float) -> Iterator[str]:
    yield _rect(MARGIN, top, _BODY, _SLAB, ROOMS[room].label)
    yield _text(MARGIN + 20, top + 37, f"{room}/", "name")
    yield _text(MARGIN + 165, top + 36, ROOMS[room].holds[0])
    yield _text(MARGIN + _BODY - 20, top + 36, ROOMS[room].label, "small end")


# --- The way of a purchase ------------------------------------------------------------------------

_TOP, _ROW = 34, 38  # where the lifelines' boxes begin, and the height of a step


def draw_purchase() -> str:
    """A sequence diagram: lifelines from left to right, steps from top to bottom."""
    places = {name: MARGIN + 65 + 145 * number for number, name in enumerate(LIFELINES)}
    bottom = _TOP + 70 + _ROW * len(STEPS)
    parts = [*_redis(places, bottom)]
    for name, x in places.items():
        parts += _lifeline(name, x, bottom)
    number = 0
    for row, step in enumerate(STEPS):
        number += not step.reply
        y = _TOP + 92 + _ROW * row
        parts += _message(places[step.sender], places[step.receiver], y, step, number)
    return _svg(bottom + 24, "The way of a purchase", parts)


def _redis(places: dict[str, int], bottom: float) -> Iterator[str]:
    left, right = places[REDIS[0]] - 68, places[REDIS[-1]] + 68
    yield _rect(left, 10, right - left, bottom - 2, "group", 12)
    yield _text((left + right) / 2, 27, "Redis or Valkey, one server or several", "small mid")


def _lifeline(name: str, x: float, bottom: float) -> Iterator[str]:
    detail, kind = LIFELINES[name]
    yield f'<line class="life" x1="{x}" y1="{_TOP + 50}" x2="{x}" y2="{bottom}"/>'
    yield _rect(x - 62, _TOP, 124, 50, kind)
    yield _text(x, _TOP + 21, name, "title mid")
    yield _text(x, _TOP + 39, detail, "small mid")


def _message(start: float, end: float, y: float, step: Step, number: int) -> Iterator[str]:
    toward = 1 if end > start else -1
    kind = "way reply" if step.reply else "way"
    yield f'<line class="{kind}" x1="{start}" y1="{y}" x2="{end - 9 * toward}" y2="{y}"/>'
    yield f'<path class="head" d="M{end},{y} l{-10 * toward},-5 v10 z"/>'
    width = 6.3 * len(step.text) + 8
    middle = (start + end) / 2
    yield _rect(middle - width / 2, y - 21, width, 17, "plate", 3)
    yield _text(middle, y - 8, step.text, "small mid")
    if not step.reply:
        yield f'<circle class="number" cx="{start}" cy="{y}" r="9.5"/>'
        yield _text(start, y + 4, str(number), "digit mid")


# --- SVG ------------------------------------------------------------------------------------------


def _svg(height: float, title: str, parts: list[str]) -> str:
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:g}" role="img">',
            f"<title>{escape(title)}</title>",
            f"<style>{_STYLE}.end {{ text-anchor: end }}\n</style>",
            _rect(0, 0, WIDTH, height, "page", 0),
            *parts,
            "</svg>\n",
        ]
    )


def _rect(x: float, y: float, width: float, height: float, kind: str, radius: float = 9) -> str:
    size = f'width="{width:g}" height="{height:g}" rx="{radius:g}"'
    return f'<rect class="{kind}" x="{x:g}" y="{y:g}" {size}/>'


def _text(x: float, y: float, text: str, kind: str = "") -> str:
    return f'<text class="{kind}" x="{x:g}" y="{y:g}">{escape(text)}</text>'


if __name__ == "__main__":
    sys.exit(main())
