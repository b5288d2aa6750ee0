"""Draws the results of benches: `python tools/plots.py FILE.json ... [FOLDER]`.

It draws one picture for each series of `python -m bench.growth`, one for `python -m bench.day`, one for
`python -m bench.fairness`, and one that compares several `manage.py bench --web N`. The default folder is
`docs/img/`.
"""

import json
import re
import sys
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("svg")

from matplotlib import pyplot

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench.figures import ACCEPTED, PAGES, REFUSED
from bench.steadiness import CONNECTIONS, HOLDERS, ORDER_LIST
from drills.fair_modes import LABELS

IMG = Path(__file__).resolve().parent.parent / "docs" / "img"
_RATE, _LATENCY, _MEMORY = "#2a6f97", "#b5651d", ("#2a6f97", "#b5651d", "#4f772d", "#7b2d8b")
# Makes the files reproducible.
matplotlib.rcParams |= {"svg.hashsalt": "flashsale", "font.size": 9, "svg.fonttype": "none"}


def main() -> None:
    files = [Path(name) for name in sys.argv[1:] if name.endswith(".json")]
    folder = Path(next((name for name in sys.argv[1:] if not name.endswith(".json")), IMG))
    benches = []
    for report in [json.loads(file.read_text()) for file in files]:
        for name, points in report.get("series", {}).items():
            figure = draw_memory(name, points) if "Valkey" in points[0] else draw_load(name, points)
            _save(figure, folder / f"growth-{re.sub('[^a-z]+', '-', name)}.svg")
        if "day" in report:
            _save(draw_day(report["day"]), folder / "day.svg")
        if "fairness" in report:
            _save(draw_fairness(report["fairness"]), folder / "fairness.svg")
        if "figures" in report:
            benches.append(report)
    if benches:
        _save(draw_web_processes(benches), folder / "growth-web-processes.svg")


def draw_load(name: str, points: list[dict[str, float]]) -> Any:
    """Draw answers per second, and the p99 of their latency."""
    figure, rates = pyplot.subplots(figsize=(5.2, 2.8))
    latencies = rates.twinx()
    labels = [f"{point['x']:,.0f}" for point in points]
    rates.bar(labels, [point["per_second"] for point in points], width=0.5, color=_RATE)
    latencies.plot(labels, [point["p99"] for point in points], "o-", color=_LATENCY)
    rates.set_ylabel("clicks answered a second", color=_RATE)
    latencies.set_ylabel("p99, ms", color=_LATENCY)
    latencies.set_ylim(bottom=0)
    rates.set_xlabel(name)
    _hide_top_spines(rates, latencies)
    return figure


def draw_memory(name: str, points: list[dict[str, float]]) -> Any:
    """Draw memory by role."""
    figure, axes = pyplot.subplots(figsize=(5.2, 2.8))
    numbers = [point["x"] for point in points]
    for part, colour in zip((key for key in points[0] if key != "x"), _MEMORY, strict=False):
        axes.plot(numbers, [point[part] / 1e6 for point in points], "o-", color=colour, label=part)
    axes.set_ylabel("MB")
    axes.set_ylim(bottom=0)
    axes.set_xlabel(name)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.legend(frameon=False, bbox_to_anchor=(1, 1), loc="upper left")
    _hide_top_spines(axes)
    return figure


def draw_web_processes(benches: list[dict[str, Any]]) -> Any:
    """Draw the same figures for different numbers of web processes."""
    figure, axes = pyplot.subplots(figsize=(7, 2.8))
    shown = (ACCEPTED[64], ACCEPTED[256], REFUSED["limit"], PAGES["sale, newcomer"])
    width = 0.8 / len(benches)
    for number, (bench, colour) in enumerate(zip(benches, _MEMORY[: len(benches)], strict=True)):
        medians = {one["name"]: one["median"] for one in bench["figures"]}
        places = [place + (number - (len(benches) - 1) / 2) * width for place in range(len(shown))]
        label = f"{bench['web']} web process{'es' if bench['web'] > 1 else ''}"
        axes.bar(places, [medians[name] for name in shown], width, color=colour, label=label)
    axes.set_xticks(range(len(shown)), [name.replace(", ", ",\n") for name in shown])
    axes.set_ylabel("answers a second")
    axes.legend(frameon=False, bbox_to_anchor=(1, 1), loc="upper left")
    _hide_top_spines(axes)
    return figure


def draw_day(points: list[dict[str, float]]) -> Any:
    """Draw latencies, memory and connections, from the first sale to the last."""
    figure, (latencies, held, counted) = pyplot.subplots(3, figsize=(7, 6.4), sharex=True)
    minutes = [point["minute"] for point in points]
    shades = dict(zip(("click", "page", "confirmed"), _MEMORY, strict=False))
    for what, colour in shades.items():
        for share, line in (("p50", "-"), ("p99", ":")):
            values = [point[f"{what} {share}"] for point in points]
            latencies.plot(minutes, values, line, color=colour, label=f"{what} {share}")
    listed = [point[ORDER_LIST] for point in points]
    latencies.plot(minutes, listed, "--", color=_MEMORY[3], label=ORDER_LIST)
    for part, colour in zip(HOLDERS, _MEMORY, strict=True):
        held.plot(minutes, [point[part] / 1e6 for point in points], color=colour, label=part)
    for name, colour in zip(CONNECTIONS, _MEMORY, strict=False):
        counted.plot(minutes, [point[name] for point in points], color=colour, label=name)
    axes = (latencies, held, counted)
    for each, unit in zip(axes, ("ms", "MB", "number"), strict=True):
        each.set_ylabel(unit)
        each.set_ylim(bottom=0)
        each.legend(frameon=False, bbox_to_anchor=(1, 1), loc="upper left")
    counted.set_xlabel("minutes")
    _hide_top_spines(*axes)
    return figure


def draw_fairness(points: list[dict[str, Any]]) -> Any:
    """Draw the units that bots got, by their identities: a picture for each number of addresses, a line for
    each way of selling."""
    several = sorted({point["setting"]["addresses"] for point in points})
    figure, pictures = pyplot.subplots(
        1, len(several), figsize=(7.5, 2.8), sharey=True, squeeze=False
    )
    for axes, addresses in zip(pictures[0], several, strict=True):
        these = [point for point in points if point["setting"]["addresses"] == addresses]
        numbers = sorted({point["bots"]["identities"] for point in these})
        for (mode, label), colour in zip(LABELS.items(), _MEMORY, strict=False):
            shares = {p["bots"]["identities"]: p["share"] for p in these if p["mode"] == mode}
            values = [shares[number] * 100 for number in numbers if number in shares]
            places = [number for number in numbers if number in shares]
            axes.plot(places, values, "o-", color=colour, label=label)
        people = these[0]["people"]["identities"]
        even = [number / (number + people) * 100 for number in numbers]
        axes.plot(numbers, even, ":", color="#777777", label="their share of all identities")
        axes.set_xscale("log")
        axes.set_xticks(numbers, [f"{number:,}" for number in numbers], minor=False)
        axes.minorticks_off()
        axes.set_ylim(0, 105)
        axes.set_title(
            "from 1 address" if addresses == 1 else f"from {addresses} addresses", fontsize=9
        )
        axes.set_xlabel("identities of the bot")
    pictures[0][0].set_ylabel("units to the bot, %")
    pictures[0][-1].legend(frameon=False, bbox_to_anchor=(1, 1), loc="upper left")
    _hide_top_spines(*pictures[0])
    return figure


def _save(figure: Any, file: Path) -> None:
    figure.savefig(file, metadata={"Date": None}, bbox_inches="tight")
    pyplot.close(figure)


def _hide_top_spines(*several: Any) -> None:
    for axes in several:
        axes.spines["top"].set_visible(False)


if __name__ == "__main__":
    main()
