"""`bench` turns measurements into figures; and a short run of the real command."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bench import fairness, steadiness
from bench.__main__ import main
from bench.figures import (
    ACCEPTED,
    COMMITTED,
    EMPTY,
    FIGURES,
    LOOP_P99,
    MEMORY,
    POOL,
    REFERENCE,
    REFUSED,
    WRITES,
    Figure,
    Results,
)
from drills.fair_modes import Mode, Outcome, Setting, Side
from tests import deadlines, stack
from tests.operators import spawned, typed


def find_figure(name: str) -> Figure:
    [found] = [one for one in FIGURES if one.name == name]
    return found


def make_results(**values: list[float]) -> Results:
    names = {"accepted": ACCEPTED[256], "limit": WRITES[256], "pool": POOL, "memory": MEMORY}
    results = Results()
    for key, found in values.items():
        for results.round, value in enumerate(found, 1):
            results.add(names.get(key, key), value)
    return results


def test_every_limit_is_a_figure_itself() -> None:
    names = {one.name for one in FIGURES}
    assert len(names) == len(FIGURES)
    assert {one.limit for one in FIGURES if one.limit} <= names


def test_a_ratio_is_the_median_over_the_rounds() -> None:
    results = make_results(accepted=[50, 90, 10], limit=[100, 100, 50])
    assert (
        results.ratio(find_figure(ACCEPTED[256])) == 0.5
    )  # not 50 / 100 of the medians: 0.5, 0.9, 0.2


def test_a_round_without_both_values_has_no_ratio() -> None:
    results = make_results(accepted=[50, 90, 10], limit=[100])
    results.round = 3
    results.add(WRITES[256], 10)
    assert results.ratio(find_figure(ACCEPTED[256])) == 0.75  # of 0.5 and 1, not of 90 / 10


def test_aims_scale_with_the_speed_of_a_slower_machine() -> None:
    results = make_results(pool=[REFERENCE / 2], memory=[1])
    assert results.factor == 0.5
    assert results.aim(find_figure(ACCEPTED[256])) == 3250
    assert results.aim(find_figure(LOOP_P99[64])) == 500
    assert results.aim(find_figure(MEMORY)) == 40  # memory does not scale with speed


def test_aims_do_not_rise_on_a_faster_machine() -> None:
    assert make_results(pool=[REFERENCE * 2]).factor == 1


@pytest.mark.parametrize(
    ("accepted", "limit", "met"),
    [(7000, 10_000, True), (6000, 9000, False), (7000, 20_000, False)],
)
def test_aim_and_ratio_must_both_be_met(accepted: float, limit: float, met: bool) -> None:
    results = make_results(accepted=[accepted], limit=[limit], pool=[REFERENCE])
    assert results.met(find_figure(ACCEPTED[256])) is met


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pictures that `tools/plots.py` draws of all kinds of reports."""
    folder = tmp_path_factory.mktemp("drawn")
    figures = [{"name": one.name, "median": 4000} for one in FIGURES]
    reports: dict[str, Any] = {"growth": growth_report(), "day": {"day": day_points()}}
    reports["fairness"] = {"fairness": fairness_points()}
    reports |= {f"web{n}": {"web": n, "figures": figures} for n in (1, 2)}
    for name, content in reports.items():
        (folder / f"{name}.json").write_text(json.dumps(content))
    files = [str(folder / f"{name}.json") for name in reports]
    drawing = [sys.executable, "tools/plots.py", *files, str(folder)]
    subprocess.run(drawing, cwd=stack.ROOT, check=True, timeout=deadlines.seconds(60))
    return folder


def growth_report() -> dict[str, Any]:
    loaded = [{"x": 1, "per_second": 4000, "p99": 20.5}, {"x": 1000, "per_second": 1234, "p99": 77}]
    held = [{"x": n, "Valkey": n * 400, "web": 1e8} for n in (0, 100_000)]
    return {"series": {"products in the sale": loaded, "purchases, and memory": held}}


def day_points() -> list[dict[str, float]]:
    return [
        {"minute": n} | dict.fromkeys((*steadiness.MOST, *steadiness.LEAST), 1e6 * n) | {"sale": n}
        for n in (1, 2)
    ]


def fairness_points() -> list[dict[str, Any]]:
    return [
        Outcome(
            mode,
            Setting(bots, addresses, people=100, units=30, window=30, per_address=0),
            Side(bots, bots, winners=20, units=20),
            Side(100, 100, winners=10, units=10),
            {},
        ).as_json()
        for mode in Mode
        for bots in (50, 500)
        for addresses in (1, 4)
    ]


def test_fairness_is_drawn_for_each_number_of_addresses(drawn: Path) -> None:
    picture = (drawn / "fairness.svg").read_text()
    for words in ("from 1 address<", "from 4 addresses", "units to the bot", "by arrival"):
        assert words in picture


def test_the_table_of_fairness_has_a_line_for_each_sale() -> None:
    [headings, rule, *lines] = fairness.as_markdown(fairness_points()).splitlines()
    assert len(lines) == len(Mode) * 4
    assert {line.count("|") for line in (headings, rule, *lines)} == {9}
    assert lines[0] == "| 50 | 1 | by arrival | 50 | 100 of 100 | 20 (67%) | 4.0 | 0.40 |"


def test_growth_is_drawn_with_its_figures(drawn: Path) -> None:
    picture = (drawn / "growth-products-in-the-sale.svg").read_text()
    assert all(words in picture for words in ("1,000", "p99, ms", "products in the sale"))
    assert "Valkey" in (drawn / "growth-purchases-and-memory.svg").read_text()


def test_web_processes_are_drawn_side_by_side(drawn: Path) -> None:
    picture = (drawn / "growth-web-processes.svg").read_text()
    assert all(words in picture for words in ("1 web process<", "2 web processes", "refused"))


def make_points(latency: list[float], held: list[float]) -> list[steadiness.Point]:
    """Make one point per sale."""
    points = []
    for sale, (took, bytes_held) in enumerate(zip(latency, held, strict=True), 1):
        same = dict.fromkeys((*steadiness.MOST, *steadiness.LEAST), 1.0)
        points.append(same | {"sale": sale, "click p50": took, "web": bytes_held})
    return points


def test_a_day_names_the_figures_that_grow() -> None:
    steady, flat = [5.0] * 7, [90.0, *[100.0] * 6]
    assert steadiness.find_unsteady(make_points(steady, flat)) == []
    assert steadiness.find_unsteady(make_points(steady, [100 + 8.0 * n for n in range(7)])) == [
        "web"
    ]
    assert steadiness.find_unsteady(make_points([1, 2, 2, 2, 2, 4, 4], flat)) == ["click p50"]
    fewer = [point | {"clicks a second": 8 - point["sale"]} for point in make_points(steady, flat)]
    assert steadiness.find_unsteady(fewer) == ["clicks a second"]
    assert steadiness.find_unsteady(make_points(steady, [0.0] * 7)) == ["web"]  # not measured
    assert steadiness.growth(make_points(steady, [50, 100, 120, 1, 1, 150, 180]))["web"] == 1.5


def test_a_day_is_drawn(drawn: Path) -> None:
    picture = (drawn / "day.svg").read_text()
    assert all(words in picture for words in ("confirmed p99", "Valkey connections", "minutes"))


def bench(*options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "manage.py", "bench", *options],
        cwd=stack.ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=deadlines.seconds(110),
    )


def test_without_wrk_the_error_names_its_package(tmp_path: Path) -> None:
    done = spawned("bench", PATH=str(tmp_path))
    assert done.code == 1
    assert "apt install wrk" in done.err


@pytest.mark.parametrize("options", [("--rounds", "0"), ("--seconds", "x"), ("--out", "/no/such")])
def test_invalid_options_are_refused(
    options: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "execv")  # with which the command becomes the bench
    assert typed("bench", *options).code == 2


def test_an_unknown_part_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["bench", "--only", "nothing"])
    with pytest.raises(SystemExit) as refused:
        main()
    assert refused.value.code == 2


@pytest.mark.deep
@pytest.mark.alone
def test_the_shop_keeps_up_with_what_the_machine_allows() -> None:
    """Ratios to the limit, with room for a noisy machine, notice a path that costs twice as much."""
    done = bench(
        "--rounds", "1", "--seconds", "2", "--only", "limits", "accept", "refuse", "--json"
    )
    assert done.returncode == 0, done.stderr
    figures: dict[str, Any] = {one["name"]: one for one in json.loads(done.stdout)["figures"]}
    assert figures[ACCEPTED[256]]["ratio"] > 0.2
    assert figures[COMMITTED[256]]["ratio"] > 0.15
    assert figures[EMPTY[256]]["median"] < 10_000
    for name in REFUSED.values():
        assert figures[name]["ratio"] > 0.25, name
