"""`bench`: how figures are made of what was measured, and a short run of the whole way."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bench import steadiness
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
from tests import deadlines, stack
from tests.operators import typed


def figure(name: str) -> Figure:
    [found] = [one for one in FIGURES if one.name == name]
    return found


def measured(**values: list[float]) -> Results:
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


def test_a_ratio_is_the_median_of_what_each_round_gave() -> None:
    results = measured(accepted=[50, 90, 10], limit=[100, 100, 50])
    assert results.ratio(figure(ACCEPTED[256])) == 0.5  # not 50 / 100 of the medians: 0.5, 0.9, 0.2


def test_a_round_that_lacks_one_of_both_gives_no_ratio() -> None:
    results = measured(accepted=[50, 90, 10], limit=[100])
    results.round = 3
    results.add(WRITES[256], 10)
    assert results.ratio(figure(ACCEPTED[256])) == 0.75  # of 0.5 and 1, not of 90 / 10


def test_a_slower_machine_is_asked_for_less_in_the_same_measure() -> None:
    results = measured(pool=[REFERENCE / 2], memory=[1])
    assert results.factor == 0.5
    assert results.aim(figure(ACCEPTED[256])) == 3250
    assert results.aim(figure(LOOP_P99[64])) == 500
    assert results.aim(figure(MEMORY)) == 40  # a byte is a byte


def test_a_faster_machine_is_asked_for_no_more() -> None:
    assert measured(pool=[REFERENCE * 2]).factor == 1


@pytest.mark.parametrize(
    ("accepted", "limit", "met"),
    [(7000, 10_000, True), (6000, 9000, False), (7000, 20_000, False)],
)
def test_both_the_aim_and_the_ratio_have_to_be_met(
    accepted: float, limit: float, met: bool
) -> None:
    results = measured(accepted=[accepted], limit=[limit], pool=[REFERENCE])
    assert results.met(figure(ACCEPTED[256])) is met


def drawn(folder: Path, **told: Any) -> None:
    for name, content in told.items():
        (folder / f"{name}.json").write_text(json.dumps(content))
    files = [str(folder / f"{name}.json") for name in told]
    drawing = [sys.executable, "tools/plots.py", *files, str(folder)]
    subprocess.run(drawing, cwd=stack.ROOT, check=True, timeout=deadlines.seconds(60))


def test_growth_is_drawn_with_its_figures(tmp_path: Path) -> None:
    loaded = [{"x": 1, "per_second": 4000, "p99": 20.5}, {"x": 1000, "per_second": 1234, "p99": 77}]
    held = [{"x": n, "Valkey": n * 400, "web": 1e8} for n in (0, 100_000)]
    told = {"series": {"products in the sale": loaded, "purchases, and memory": held}}
    drawn(tmp_path, growth=told)
    picture = (tmp_path / "growth-products-in-the-sale.svg").read_text()
    assert all(words in picture for words in ("1,000", "p99, ms", "products in the sale"))
    assert "Valkey" in (tmp_path / "growth-purchases-and-memory.svg").read_text()


def test_web_processes_are_drawn_side_by_side(tmp_path: Path) -> None:
    figures = [{"name": one.name, "median": 4000} for one in FIGURES]
    drawn(tmp_path, **{f"web{n}": {"web": n, "figures": figures} for n in (1, 2)})
    picture = (tmp_path / "growth-web-processes.svg").read_text()
    assert all(words in picture for words in ("1 web process<", "2 web processes", "refused"))


def sold(latency: list[float], held: list[float]) -> list[steadiness.Point]:
    """A point for each of so many sales."""
    points = []
    for sale, (took, bytes_held) in enumerate(zip(latency, held, strict=True), 1):
        same = dict.fromkeys((*steadiness.MOST, *steadiness.LEAST), 1.0)
        points.append(same | {"sale": sale, "click p50": took, "web": bytes_held})
    return points


def test_a_day_in_which_something_grows_says_what() -> None:
    steady, warm = [5.0] * 7, [90.0, *[100.0] * 6]
    assert steadiness.too_much(sold(steady, warm)) == []
    assert steadiness.too_much(sold(steady, [100 + 8.0 * n for n in range(7)])) == ["web"]
    assert steadiness.too_much(sold([1, 2, 2, 2, 2, 4, 4], warm)) == ["click p50"]
    fewer = [point | {"clicks a second": 8 - point["sale"]} for point in sold(steady, warm)]
    assert steadiness.too_much(fewer) == ["clicks a second"]
    assert steadiness.too_much(sold(steady, [0.0] * 7)) == ["web"]  # it was not measured
    assert steadiness.growth(sold(steady, [50, 100, 120, 1, 1, 150, 180]))["web"] == 1.5


def test_a_day_is_drawn(tmp_path: Path) -> None:
    points = [
        {"minute": n} | dict.fromkeys((*steadiness.MOST, *steadiness.LEAST), 1e6 * n) | {"sale": n}
        for n in (1, 2)
    ]
    drawn(tmp_path, day={"day": points})
    picture = (tmp_path / "day.svg").read_text()
    assert all(words in picture for words in ("confirmed p99", "Valkey connections", "minutes"))


def bench(*options: str, path: str | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "manage.py", "bench", *options],
        cwd=stack.ROOT,
        env=os.environ | ({} if path is None else {"PATH": path}),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=deadlines.seconds(110),
    )


def test_without_its_load_generator_it_says_how_to_get_it(tmp_path: Path) -> None:
    done = bench(path=str(tmp_path))
    assert done.returncode == 1
    assert "apt install wrk" in done.stderr


@pytest.mark.parametrize(
    "options", [("--rounds", "0"), ("--seconds", "x"), ("--only", "nothing"), ("--out", "/no/such")]
)
def test_what_cannot_be_measured_is_refused(
    options: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "execv")  # by which the command would become the bench
    assert typed("bench", *options).code == 2


@pytest.mark.deep
@pytest.mark.alone
def test_the_shop_keeps_up_with_what_the_machine_allows() -> None:
    """Ratios, not seconds, with room for a noisy machine: a path that costs twice as much is noticed."""
    done = bench(
        "--rounds", "1", "--seconds", "2", "--only", "limits", "accept", "refuse", "--json"
    )
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = {one["name"]: one for one in json.loads(done.stdout)["figures"]}
    assert told[ACCEPTED[256]]["ratio"] > 0.2
    assert told[COMMITTED[256]]["ratio"] > 0.15
    assert told[EMPTY[256]]["median"] < 10_000
    for name in REFUSED.values():
        assert told[name]["ratio"] > 0.25, name
