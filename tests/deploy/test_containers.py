"""The files for containers: what they name exists, and each variable is explained. No engine is needed;
`test_engine.py` has one."""

import base64
import hashlib
import importlib.util
import json
import os
import random
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from django.core.management import get_commands, load_command_class

from flashsale import queues
from tests import deadlines, stack
from tests.cast import all_that_opening_needs
from tests.stack import ROOT, Process, wait_for

COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
BASE = ROOT / "templates" / "base.html"
HADOLINT = Path(sys.executable).with_name("hadolint")
OURS = ("web", "worker", "beat", "migrate")
# Of the shop, but nothing that a container's operator sets.
_INSIDE = {"HOST", "PORT", "VAR_DIR", "DATABASE_URL", "DEBUG", "FLASHSALE_EMBEDDED"}


def explained() -> set[str]:
    """The variables of `.env.example`."""
    return set(re.findall(r"^([A-Z_]+)=", (ROOT / ".env.example").read_text(), re.M))


def read_by_the_shop() -> set[str]:
    sources = [*(ROOT / "flashsale").rglob("*.py"), *(ROOT / "orders").rglob("*.py")]
    asked = re.compile(r"variables\.\w+\(\s*\"([A-Z_]+)\"")
    return {name for path in sources for name in asked.findall(path.read_text())}


def test_the_dockerfile_has_no_fault_that_a_linter_knows() -> None:
    done = subprocess.run([HADOLINT, "Dockerfile"], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")


def test_each_variable_of_the_shop_can_be_set_and_is_explained() -> None:
    settings = read_by_the_shop() - _INSIDE
    assert settings <= explained()
    for name in OURS:
        passed = SERVICES[name]["environment"]
        assert settings <= passed.keys(), name
        assert all(f"${{{variable}:" in passed[variable] for variable in settings), name


def test_each_variable_that_is_explained_is_used() -> None:
    used = set(re.findall(r"\$\{([A-Z_]+)", (ROOT / "docker-compose.yml").read_text()))
    assert used == explained()


def test_the_shop_knows_what_it_is_given() -> None:
    for name in OURS:
        assert SERVICES[name]["environment"].keys() <= read_by_the_shop(), name


@pytest.mark.parametrize("name", OURS)
def test_what_is_started_exists(name: str) -> None:
    python, *command = SERVICES[name]["command"]
    assert python == "python"
    if command[0] == "-m":
        assert importlib.util.find_spec(command[1])
    else:
        assert (ROOT / command[0]).is_file()
        assert command[1] in get_commands()
        load_command_class(get_commands()[command[1]], command[1]).create_parser(
            "", command[1]
        ).parse_args(command[2:])


def test_workers_and_beat_are_started_as_by_up() -> None:
    assert SERVICES["worker"]["command"] == ["python", *queues.WORKER]
    assert SERVICES["beat"]["command"] == ["python", *stack.DEPLOYED_BEAT]


def test_each_starts_when_what_it_needs_is_there() -> None:
    for name in ("web", "worker", "beat"):
        needs = {what: how["condition"] for what, how in SERVICES[name]["depends_on"].items()}
        assert needs == {
            "migrate": "service_completed_successfully",
            "postgres": "service_healthy",
            "valkey": "service_healthy",
        }
    for name, service in SERVICES.items():
        for what, how in service.get("depends_on", {}).items():
            if how["condition"] == "service_healthy" and what != "web":
                assert "test" in SERVICES[what]["healthcheck"], (name, what)
    assert "HEALTHCHECK" in (ROOT / "Dockerfile").read_text()  # of web


def test_valkey_has_on_its_disk_what_it_has_answered() -> None:
    said = " ".join(SERVICES["valkey"]["command"])
    assert "--appendonly yes --appendfsync always --maxmemory-policy noeviction" in said
    # A copy beside the log would refuse all clicks as soon as it fails.
    assert "--save  --maxmemory" in said


def test_nobody_has_more_than_is_needed() -> None:
    for name in OURS:
        service = SERVICES[name]
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert "ports" not in service
        assert "container_name" not in service  # or there could not be several
    assert [name for name, service in SERVICES.items() if "ports" in service] == ["proxy"]
    for name, service in SERVICES.items():
        if name != "migrate":
            assert service["deploy"]["resources"]["limits"].keys() == {"cpus", "memory"}, name
    assert re.search(r"^USER 10001", (ROOT / "Dockerfile").read_text(), re.M)


def test_the_proxys_own_page_may_have_its_style() -> None:
    served = (ROOT / "deploy" / "nginx" / "shop.conf").read_text()
    [style] = re.findall(r"<style>(.*?)</style>", served)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert f"default-src 'none'; style-src 'sha256-{digest}'" in served


def test_the_proxy_gives_up_sooner_than_a_page() -> None:
    """Or nginx takes it for the shopper's own wish, and asks nobody else."""
    served = (ROOT / "deploy" / "nginx" / "shop.conf").read_text()
    waits = int(re.findall(r"proxy_read_timeout (\d+)s;\n    proxy_next", served)[0])
    pages = json.loads(re.findall(r'htmx-config" content=\'(.*?)\'', BASE.read_text())[0])
    assert 4 < waits < pages["timeout"] / 1000  # the shop itself answers within four seconds


def test_one_of_them_builds_the_image_that_all_of_them_are() -> None:
    assert {SERVICES[name]["image"] for name in OURS} == {"${IMAGE:-flashsale:local}"}
    assert [name for name, service in SERVICES.items() if "build" in service] == ["migrate"]


def test_images_are_pinned_and_files_that_are_mounted_exist() -> None:
    for name, service in SERVICES.items():
        if name not in OURS:
            assert re.search(r":[\w.-]+$", service["image"]), service["image"]
            assert not service["image"].endswith(":latest")
        for mounted in service.get("volumes", []):
            source = mounted.partition(":")[0]
            assert (ROOT / source).exists() if "/" in source else source in COMPOSE["volumes"]


def test_no_secret_and_no_history_goes_into_the_image() -> None:
    left_out = (ROOT / ".dockerignore").read_text().splitlines()
    assert {".git", ".env*", "var", ".venv"} <= set(left_out)
    written = re.findall(r"> (\S+)", (ROOT / "docs" / "operations.md").read_text())
    dumps = {name for name in written if name.endswith((".dump", ".tar.gz"))}
    assert dumps
    for ignored in (left_out, (ROOT / ".gitignore").read_text().splitlines()):
        assert all(any(fnmatch(name, one) for one in ignored) for name in dumps)
    for line in (ROOT / ".env.example").read_text().splitlines():
        assert line.startswith("#") or not line.partition("=")[2], line


@contextmanager
def taken() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening.getsockname()[1]


def free_port() -> int:
    """One that the system gives to nobody by itself."""
    while True:
        port = random.randrange(11_000, 20_000)
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port


def probe(path: str, **env: str) -> subprocess.CompletedProcess[str]:
    """As a container's health check: without what is installed."""
    return subprocess.run(
        [sys.executable, "-I", ROOT / "tools/probe.py", path],
        env=os.environ | env,
        capture_output=True,
        text=True,
        check=False,
        timeout=deadlines.seconds(60),
    )


def test_a_web_process_listens_by_itself_and_says_how_it_is_whatever_it_is_called() -> None:
    """Health checks and Prometheus ask by an address, which is no name of the shop."""
    port = free_port()
    env = {"PORT": str(port), "ALLOWED_HOSTS": ".example.com", "METRICS_TOKEN": "for-prometheus"}
    web = Process([sys.executable, "-m", "flashsale.web"], env).start()
    try:
        wait_for(lambda: probe("/livez", **env).returncode == 0, "it lives")
        with all_that_opening_needs():
            assert '"ready": true' in probe("/readyz", **env).stdout
        token = {"Authorization": "Bearer for-prometheus"}
        told = httpx.get(f"http://127.0.0.1:{port}/metrics", headers={"Host": scraped()} | token)
        assert "flashsale_processes" in told.text
        assert httpx.get(f"http://127.0.0.1:{port}/metrics").status_code == 403  # without it
        assert httpx.get(f"http://127.0.0.1:{port}/").status_code == 400
    finally:
        web.stop()


def scraped() -> str:
    """What Prometheus asks for, by the example."""
    example = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yml").read_text())
    [target] = example["scrape_configs"][0]["static_configs"][0]["targets"]
    return str(target)


def test_a_probe_says_no_where_nobody_answers() -> None:
    done = probe("/livez", PORT=str(free_port()))
    assert (done.returncode, done.stdout.startswith("no answer")) == (1, True)


def test_a_port_that_is_taken_is_named() -> None:
    with taken() as port:
        done = subprocess.run(
            [sys.executable, "-m", "flashsale.web"],
            cwd=ROOT,
            env=os.environ | {"PORT": str(port)},
            capture_output=True,
            text=True,
            check=False,
            timeout=deadlines.seconds(60),
        )
    assert done.returncode == 1
    assert done.stderr == (
        f"Cannot listen on 127.0.0.1:{port}: Address already in use. Choose another with PORT.\n"
    )
