"""What watches the shop from outside: every name that it asks for is one that `/metrics` has."""

import json
import re
import shutil
import subprocess
from typing import Any

import pytest
import yaml

from conftest import MakeSale
from dashboard.metrics import families
from dashboard.reading import Observer
from tests.stack import ROOT

ALERTS = ROOT / "deploy/prometheus/alerts.yml"
DASHBOARD: dict[str, Any] = json.loads((ROOT / "deploy/grafana/flashsale.json").read_text())
_KINDS = {"counter": ("_total",), "histogram": ("_bucket", "_count", "_sum"), "gauge": ("",)}


@pytest.fixture(scope="module")
def known() -> set[str]:
    metrics = list(families(Observer().look()))
    return {metric.name + end for metric in metrics for end in _KINDS[metric.type]}


def asked_for(text: str) -> set[str]:
    return set(re.findall(r"\bflashsale_\w+", text))


def test_the_dashboard_asks_for_what_there_is(known: set[str], make_sale: MakeSale) -> None:
    targets = [target for panel in DASHBOARD["panels"] for target in panel["targets"]]
    asked = asked_for(" ".join(target["expr"] for target in targets))
    assert asked <= known
    assert {
        name for name in known if not name.endswith(("_count", "_sum"))
    } <= asked  # all is shown


def test_panels_do_not_lie_over_each_other() -> None:
    places = [tuple(panel["gridPos"].values()) for panel in DASHBOARD["panels"]]
    assert len(set(places)) == len(places)
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(places)


def test_alerts_ask_for_what_there_is_and_each_is_tested(known: set[str]) -> None:
    rules = yaml.safe_load(ALERTS.read_text())["groups"][0]["rules"]
    assert asked_for(" ".join(rule["expr"] for rule in rules)) <= known
    tested = (ROOT / "tests/deploy/alerts.test.yml").read_text()
    assert all(f'alertname="{rule["alert"]}"' in tested for rule in rules)


@pytest.mark.skipif(not shutil.which("promtool"), reason="needs promtool: `apt install prometheus`")
def test_alerts_speak_when_they_should_and_only_then() -> None:
    for what in (
        ("check", "rules", str(ALERTS)),
        ("test", "rules", "tests/deploy/alerts.test.yml"),
    ):
        done = subprocess.run(["promtool", *what], cwd=ROOT, capture_output=True, text=True)  # noqa: S607
        assert done.returncode == 0, done.stdout + done.stderr


def test_the_example_scrapes_with_those_alerts() -> None:
    told = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yml").read_text())
    assert told["rule_files"] == [ALERTS.name]
    assert told["scrape_configs"][0]["job_name"] == "flashsale"
