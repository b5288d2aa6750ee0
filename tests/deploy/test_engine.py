"""The shop in containers, by the lines of the documents: built, started, bought from, killed, upgraded,
restored and stopped. Needs an engine, and the images that docker-compose.yml and the Dockerfile name."""

import os
import re
import secrets
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from flashsale.local.server import free_port
from tests import deadlines, mutations, stack
from tests.cast import JSON
from tests.deploy.test_containers import explained
from tests.load import Visitor


def engine_answers() -> bool:
    with suppress(OSError, subprocess.TimeoutExpired):
        asked = ["docker", "info", "--format", "{{.ServerVersion}}"]
        return (
            subprocess.run(asked, capture_output=True, timeout=deadlines.seconds(20)).returncode
            == 0
        )
    return False


pytestmark = [
    pytest.mark.deep,
    pytest.mark.alone,  # it is a whole shop, and builds images
    pytest.mark.timeout(1200),
]
PULLED_AND_BUILT = 900.0  # seconds, on a slow line
SECONDS = 120.0  # for anything else that an engine does
SLUG, SKU, UNITS = "drop", "SHOE-42", 500
SECRETS = ("SECRET_KEY", "POSTGRES_PASSWORD", "REDIS_PASSWORD")
PROPRIETOR = "from inventory.models import Variant; Variant.objects.create({})".format(
    f"sku='{SKU}', name='Shoe', option='42', price=12900, currency='EUR'"
)
# All but the one that asks, and what tini is.
KILL_ALL = (
    "import os; [os.kill(int(p), 9) for p in os.listdir('/proc')"
    " if p.isdigit() and int(p) not in (1, os.getpid())]"
)


@dataclass
class Shop:
    folder: Path
    project: str
    url: str

    def run(self, lines: str, seconds: float = SECONDS) -> str:
        """What a shell with these lines prints. Fails as soon as one of them does."""
        command = ["bash", "-euo", "pipefail", "-c", lines]
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=outside() | {"COMPOSE_PROJECT_NAME": self.project},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=deadlines.seconds(seconds),
        )
        assert done.returncode == 0, f"{lines}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def manage(self, command: str) -> str:
        return self.run(f"docker compose exec -T web python manage.py {command}")

    def set(self, **variables: str) -> None:
        """In `.env`."""
        path = self.folder / ".env"
        lines = path.read_text()
        for name, value in variables.items():
            kept = re.sub(rf"^{name}=.*\n", "", lines, flags=re.M)
            lines = f"{kept}{name}={value}\n"
        path.write_text(lines)

    def buys(self) -> str:
        """The outcome of one purchase, through the proxy. Clicks again where the shop is busy."""
        with httpx.Client(base_url=self.url, headers=JSON, timeout=deadlines.seconds(15)) as client:
            page = client.get(f"/sales/{SLUG}/").json()
            form = {"ticket": page["ticket"], "product": SKU}

            def clicked() -> httpx.Response | None:
                answer = client.post(f"/sales/{SLUG}/buy", data=form)
                return None if answer.status_code == 503 else answer

            accepted = stack.wait_for(clicked, "an answer")
            assert accepted
            assert accepted.status_code in (200, 202), accepted.text
            order = f"/orders/{accepted.json()['purchase']}/"

            def final() -> str:
                status = str(client.get(order).json().get("status", "queued"))
                return "" if status == "queued" else status

            return stack.wait_for(final, "a final answer")

    def confirmed(self) -> int:
        return self.manage("orders_export --status confirmed").count(SKU)

    def containers(self, service: str) -> list[str]:
        return self.run(f"docker compose ps --all --quiet {service}").split()

    def told_of(self, container: str, what: str) -> str:
        return self.run(f"docker inspect --format '{{{{{what}}}}}' {container}").strip()

    def answers(self) -> bool:
        with suppress(httpx.HTTPError):
            return (
                httpx.get(f"{self.url}/sales/{SLUG}/", timeout=deadlines.seconds(15)).status_code
                == 200
            )
        return False


def outside() -> dict[str, str]:
    """The environment without the tests' own servers: what it says goes before `.env`."""
    return {name: value for name, value in os.environ.items() if name not in explained()}


def said_in(document: str, heading: str, number: int = 0) -> str:
    """The lines of a section that an operator is to type."""
    text = (stack.ROOT / "docs" / document).read_text()
    section = re.split(r"^## ", text.split(f"\n## {heading}\n")[1], maxsplit=1, flags=re.M)[0]
    lines: str = re.findall(r"```console\n(.*?)```", section, re.S)[number]
    return lines


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    if not engine_answers():
        pytest.skip("no container engine answers")
    folder = tmp_path_factory.mktemp("checkout")
    mutations.copy(folder)
    copied, *started = said_in("deploy.md", "In containers, on one machine").splitlines()
    port = free_port()
    shop = Shop(folder, f"flashsale-test-{port}", f"http://127.0.0.1:{port}")
    image = f"{shop.project}:built"
    shop.run(copied)
    shop.set(**{name: secrets.token_hex(32) for name in SECRETS})
    shop.set(PUBLISH=f"127.0.0.1:{port}", IMAGE=image, RATE_PER_ADDRESS="0")
    try:
        try:
            shop.run(started[0], PULLED_AND_BUILT)
        except AssertionError as error:
            error.add_note(shop.run("docker compose logs"))
            raise
        assert "createsuperuser" in started[1]
        shop.run(
            f"DJANGO_SUPERUSER_PASSWORD={secrets.token_hex(16)} "
            + started[1].replace("exec", "exec -T -e DJANGO_SUPERUSER_PASSWORD")
            + " --noinput --username boss --email boss@example.com"
        )
        shop.manage(f'shell --command "{PROPRIETOR}"')
        shop.manage(f"stock add {SKU} {UNITS} --no-input")
        window = "--opens 2026-01-01T00:00Z --closes 2099-01-01T00:00Z"
        shop.manage(f"sale create {SLUG} --name Drop --product {SKU} {window} --no-input")
        shop.manage(f"sale schedule {SLUG} --no-input")
        yield shop
    finally:
        shop.run("docker compose --profile '*' down --volumes --timeout 5")
        shop.run(f"docker image rm --force {image}")
        of_it = f"label=com.docker.compose.project={shop.project}"
        shop.run(
            f"docker image prune --force --filter {of_it}"
        )  # what was built before the upgrade


def test_it_sells(shop: Shop) -> None:
    assert shop.buys() == "confirmed"
    doctor = shop.manage("doctor")
    assert "\n0 failed" in doctor
    assert "2 alive" in doctor
    assert "Migrations: " in shop.run("docker compose logs migrate")
    assert "listening on 0.0.0.0 port 8000" in shop.run("docker compose logs web")
    for inside in ("readyz", "metrics"):
        assert httpx.get(f"{shop.url}/{inside}").status_code == 404
    assert "CONSISTENT" in shop.manage("simulate --shoppers 60 --seconds 2 --no-input")


def test_its_processes_may_do_little(shop: Shop) -> None:
    for service in ("web", "worker", "beat"):
        [container, *_] = shop.containers(service)
        shop.run(f"docker exec {container} test $(docker exec {container} id -u) = 10001")
        shop.run(f"! docker exec {container} touch /srv/shop/new 2>/dev/null")
        shop.run(f"docker exec {container} touch /srv/var/media/new /tmp/new")
        held = shop.run(f"docker exec {container} grep -E 'CapPrm|NoNewPrivs' /proc/1/status")
        assert held.split() == ["CapPrm:", "0" * 16, "NoNewPrivs:", "1"]


def test_a_web_process_that_dies_is_started_again(shop: Shop) -> None:
    victim = shop.containers("web")[0]
    with Visitor(shop.url, SLUG) as visitor:
        stack.wait_for(lambda: visitor.seen[200] > 10, "pages are shown")
        with suppress(AssertionError):  # the one that kills is ended with the container
            shop.run(f'docker exec {victim} python -c "{KILL_ALL}"')
        again = partial(shop.told_of, victim, ".RestartCount")
        stack.wait_for(lambda: again() == "1", "it is started again")
        stack.wait_for(
            lambda: shop.told_of(victim, ".State.Health.Status") == "healthy", "it serves"
        )
        so_far = visitor.seen[200]
        stack.wait_for(lambda: visitor.seen[200] > so_far + 10, "pages are shown")
    assert visitor.odd == []
    assert shop.buys() == "confirmed"


def test_an_upgrade_goes_on_selling(shop: Shop) -> None:
    pulled, upgrade = said_in("operations.md", "Upgrade").split(" && ", 1)
    assert pulled == "git pull"
    (shop.folder / "CHANGELOG.md").write_text("A new version.\n")
    before = {*shop.containers("web"), *shop.containers("worker")}
    with Visitor(shop.url, SLUG) as visitor:
        shop.run(upgrade, PULLED_AND_BUILT)
        so_far = visitor.seen[200]
        stack.wait_for(lambda: visitor.seen[200] > so_far + 10, "pages are shown")
    assert visitor.odd == []
    assert len(shop.containers("web")) == 2
    assert not before & {*shop.containers("web"), *shop.containers("worker")}
    assert "new version" in shop.run("docker compose exec -T web cat CHANGELOG.md")
    assert shop.buys() == "confirmed"


def test_a_wrong_setting_is_found_before_anything_is_stopped(shop: Shop) -> None:
    text = (stack.ROOT / "docs" / "deploy.md").read_text()
    [change] = re.findall(r"^docker compose run .* migrate && docker .*$", text, re.M)
    before = (shop.folder / ".env").read_text()
    shop.set(RATE_PER_SHOPPER="many")
    with pytest.raises(AssertionError, match="RATE_PER_SHOPPER"):
        shop.run(change)
    assert shop.buys() == "confirmed"
    (shop.folder / ".env").write_text(before)
    shop.set(RATE_PER_SHOPPER="7")
    shop.run(change)
    stack.wait_for(shop.answers, "it serves", SECONDS)
    assert "7 per shopper" in shop.manage("doctor")


def test_a_dump_becomes_the_shop_again(shop: Shop) -> None:
    kept = shop.confirmed()
    shop.run(said_in("operations.md", "Backup"))
    shop.run(said_in("operations.md", "Backup", 1))
    assert (shop.folder / "media.tar.gz").stat().st_size
    assert shop.buys() == "confirmed"
    shop.run(said_in("operations.md", "Restore"))
    stack.wait_for(shop.answers, "it serves", SECONDS)
    assert shop.confirmed() == kept > 0
    assert shop.buys() == "confirmed"
    shop.manage("verify")


def test_servers_that_are_gone_are_met_again(shop: Shop) -> None:
    """As when the machine starts: the engine starts containers in any order."""
    sold = shop.confirmed()
    shop.run("docker compose kill postgres valkey web worker")
    shop.run("docker compose up --detach --no-deps web worker")
    told = stack.wait_for(partial(told_by, shop), "the shop says that it is not ready")
    assert told.headers["retry-after"]
    shop.run("docker compose start postgres valkey")
    stack.wait_for(shop.answers, "it serves", SECONDS)
    assert shop.confirmed() == sold
    assert shop.buys() == "confirmed"


def told_by(shop: Shop) -> Any:
    """The answer of a web process that has no servers; the proxy has no such header."""
    answer = httpx.get(f"{shop.url}/sales/{SLUG}/", timeout=deadlines.seconds(15))
    return (
        answer if answer.status_code == 503 and "x-content-type-options" in answer.headers else None
    )


def test_pgbouncer_may_stand_between_and_there_may_be_more_of_it(shop: Shop) -> None:
    shop.set(COMPOSE_PROFILES="pgbouncer", POOLED_DATABASE_HOST="pgbouncer:5432")
    shop.set(WEB_REPLICAS="3", WORKER_REPLICAS="2")
    shop.run("docker compose up --detach")
    assert [len(shop.containers(service)) for service in ("web", "worker")] == [3, 2]
    stack.wait_for(shop.answers, "it serves", SECONDS)
    assert "pgbouncer:5432" in shop.manage("doctor")
    assert shop.buys() == "confirmed"
    assert "CONSISTENT" in shop.manage("simulate --shoppers 60 --seconds 2 --no-input")


def test_everything_ends_when_it_is_asked_to(shop: Shop) -> None:
    shop.run("docker compose stop")
    containers = shop.run("docker compose --profile '*' ps --all --quiet").split()
    ended = {shop.told_of(one, ".Name"): shop.told_of(one, ".State.ExitCode") for one in containers}
    assert len(ended) >= 10
    assert {name: code for name, code in ended.items() if code != "0"} == {}
    shop.run("docker compose up --detach")
    stack.wait_for(shop.answers, "it serves", SECONDS)
    assert shop.buys() == "confirmed"
    shop.manage("verify")
