"""What docker-compose.yml starts, by hand and on one machine: web hosts behind nginx, workers, beats,
PgBouncer in front of PostgreSQL, and three Valkeys that are a cluster for gates and lines. Broker, cache
and channel layer are on the tests' Valkey, the truth is in the tests' PostgreSQL.
"""

import contextlib
import os
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

import httpx
import redis

from flashsale import queues
from flashsale.local import private_files
from flashsale.local.server import free_port
from flashsale.local.valkey import Valkey
from tests import deadlines, servers, stack
from tests.stack import Process, wait_for

_DEPLOY = stack.ROOT / "deploy" / "nginx"
_SLOTS = ((0, 5460), (5461, 10922), (10923, 16383))
_PASSWORD = "of-the-cluster-for-tests"  # of nobody else's


@dataclass
class Host(Process):
    """One that serves pages."""

    port: int = 0

    def ready(self) -> bool:
        assert self.popen is not None
        assert self.popen.poll() is None, "a web host ended while it was started"
        with contextlib.suppress(httpx.HTTPError):
            return (
                httpx.get(
                    f"http://127.0.0.1:{self.port}/readyz", timeout=deadlines.seconds(2)
                ).status_code
                == 200
            )
        return False

    def back(self) -> None:
        """Starts it, and waits until it serves."""
        self.start()
        wait_for(self.ready, "the web host is ready")


@dataclass
class Proxy(Process):
    """One that may take a while to let go of its clients, or to be started."""

    port: int = 0
    stop_signal: signal.Signals = signal.SIGTERM

    def back(self) -> None:
        self.start()
        wait_for(lambda: _listens(self.port), "the proxy listens")

    def leave(self) -> None:
        assert self.popen is not None
        self.popen.send_signal(self.stop_signal)
        self.wait()


class Master(Valkey):
    """One of the cluster's."""

    def _prepare(self, new_password: bool) -> None:
        super()._prepare(new_password)
        configuration = self.folder / "valkey.conf"
        private_files.write(configuration, f"{configuration.read_text()}{self._membership()}")

    def _membership(self) -> str:
        bus = self.folder / "bus"
        if not bus.exists():
            bus.write_text(str(free_port()))
        # Where one is away, the sales of the others go on.
        return (
            f"cluster-enabled yes\ncluster-port {bus.read_text()}\n"
            "cluster-node-timeout 2000\ncluster-require-full-coverage no\n"
            f"masterauth {_PASSWORD}\n"
        )

    @property
    def client(self) -> redis.Redis:
        return redis.Redis.from_url(self.url, decode_responses=True)

    def cluster(self, *command: str | int) -> str:
        """What it answers to that command of `CLUSTER`."""
        return str(self.client.execute_command("CLUSTER", *command))  # type: ignore[no-untyped-call]  # redis-py

    @classmethod
    def made(cls, folder: Path) -> Self:
        """One that runs. All have one password, for whoever knows one of them is led to the others."""
        folder.mkdir(mode=0o700)
        server = cls(folder)
        private_files.write(folder / "url", f"redis://:{_PASSWORD}@127.0.0.1:{free_port()}/0")
        server.start()
        return server

    def meet(self, other: "Master") -> None:
        where = urlsplit(other.url)
        bus = (other.folder / "bus").read_text()
        self.cluster("MEET", str(where.hostname), int(where.port or 0), bus)

    @property
    def replicating(self) -> bool:
        """Whether it is a replica that has all of its master's data."""
        told = self.client.info("replication")
        return bool(told["role"] == "slave" and told["master_link_status"] == "up")


@dataclass
class Machines:
    url: str  # where shoppers come
    settings: dict[str, str]
    masters: list[Master]
    bouncer: Proxy
    hosts: list[Host] = field(default_factory=list)
    workers: list[Process] = field(default_factory=list)
    beats: list[Process] = field(default_factory=list)
    nginx: Proxy | None = None

    def whole(self) -> bool:
        return all(_knows_all(master) for master in self.masters)


@contextmanager
def running() -> Iterator[Machines]:
    with ExitStack() as all_of_it:
        folder = Path(all_of_it.enter_context(folder_for_all()))
        masters = all_of_it.enter_context(_cluster(folder))
        bouncer = all_of_it.enter_context(pgbouncer(folder))
        settings = {
            "DATABASE_URL": through(bouncer.port, servers.POSTGRES.url),
            "REDIS_URL": masters[0].url,
            "REDIS_CLUSTER": "1",
            "CELERY_BROKER_URL": servers.VALKEY.url,
            "CACHE_URL": servers.VALKEY.url,
            "CHANNEL_URL": servers.VALKEY.url,
            "HOST": "127.0.0.1",
            "TRUSTED_PROXIES": "1",
            "RATE_PER_SHOPPER": "0",
        }
        machines = Machines("", settings, masters, bouncer)
        for number in range(2):
            port = free_port()
            serve = [sys.executable, "-m", "flashsale.web"]
            machines.hosts.append(Host(serve, settings | {"PORT": str(port)}, port=port))
            machines.workers.append(Process(stack.WORKER, settings))
            beat = queues.beat(str(folder / f"beat-{number}"))
            machines.beats.append(Process([sys.executable, *beat], settings))
        for process in (*machines.hosts, *machines.workers, *machines.beats):
            all_of_it.callback(process.stop)
            process.start()
        for host in machines.hosts:
            wait_for(host.ready, "the web host is ready")
        machines.nginx = all_of_it.enter_context(nginx(folder, machines.hosts))
        machines.url = f"http://127.0.0.1:{machines.nginx.port}"
        yield machines


def through(port: int, url: str, **parts: str) -> str:
    """The URL of a server that is reached by that port of this machine."""
    given = urlsplit(url)
    user, _, _ = given.netloc.rpartition("@")
    return given._replace(netloc=f"{user}@127.0.0.1:{port}", **parts).geturl()


@contextmanager
def folder_for_all() -> Iterator[str]:
    """One that others may look into: nobody may run PgBouncer as root."""
    with tempfile.TemporaryDirectory(prefix="flashsale-machines-") as folder:
        Path(folder).chmod(0o755)  # what is secret in it has rights of its own
        yield folder


@contextmanager
def _cluster(folder: Path) -> Iterator[list[Master]]:
    masters: list[Master] = []
    try:
        for number, slots in enumerate(_SLOTS):
            masters.append(Master.made(folder / f"valkey-{number}"))
            masters[-1].cluster("ADDSLOTSRANGE", *slots)
        for master in masters[1:]:
            master.meet(masters[0])
        for master in masters:
            wait_for(partial(_knows_all, master), "the cluster is one")
        yield masters
    finally:
        for master in masters:
            master.stop()


def _knows_all(master: Master) -> bool:
    told = master.cluster("INFO")
    return "cluster_state:ok" in told and f"cluster_slots_ok:{_SLOTS[-1][1] + 1}" in told


@contextmanager
def pgbouncer(folder: Path, *more: str) -> Iterator[Proxy]:
    """In transaction mode, in front of the tests' PostgreSQL, with `more` lines of configuration."""
    home = folder / "pgbouncer"
    home.mkdir()
    truth, port = urlsplit(servers.POSTGRES.url), free_port()
    (home / "users").write_text(f'"{truth.username}" "{truth.password}"\n')
    (home / "pgbouncer.ini").write_text(
        "[databases]\n"
        f"{truth.path[1:]} = host={truth.hostname} port={truth.port}\n"
        "[pgbouncer]\n"
        f"listen_addr = 127.0.0.1\nlisten_port = {port}\n"
        f"auth_type = scram-sha-256\nauth_file = {home}/users\n"
        "pool_mode = transaction\nmax_client_conn = 1000\ndefault_pool_size = 20\n"
        f"logfile = {home}/log\nunix_socket_dir =\n" + "".join(f"{line}\n" for line in more)
    )
    command = ["pgbouncer", "-q", str(home / "pgbouncer.ini")]
    if os.geteuid() == 0:
        for path in (home, *home.iterdir()):
            shutil.chown(path, "nobody")
        command[1:1] = ["-u", "nobody"]
    bouncer = Proxy(command, port=port, stop_signal=signal.SIGINT)
    bouncer.back()
    try:
        yield bouncer
    finally:
        bouncer.stop()


@contextmanager
def nginx(folder: Path, hosts: list[Host], tls: str = "") -> Iterator[Proxy]:
    """With the configuration that the containers have, but for its names and places, and a `tls.conf`."""
    home, port = folder / "nginx", free_port()
    home.mkdir()
    places = "".join(
        f"{name}_temp_path {home}/{name}; "
        for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    whose = "user root root;" if os.geteuid() == 0 else ""
    upstream = "".join(
        f"server 127.0.0.1:{host.port} max_fails=1 fail_timeout=2s;\n" for host in hosts
    )
    if tls:
        (home / "tls.conf").write_text(tls)
    for name, changes in {
        "nginx.conf": {
            "error_log stderr warn;": f"error_log {home}/log warn; pid {home}/pid; {whose}",
            "/etc/nginx/shop": str(home),
            "access_log off;": f"access_log off; {places}",
        },
        "shop.conf": {
            "listen 8080 backlog=4096;": f"listen 127.0.0.1:{port} backlog=4096;",
            "/etc/nginx/shop": str(home),
            "/var/cache/nginx/static": f"{home}/static",
            "/var/cache/nginx/draws": f"{home}/draws",
        },
        "upstream.conf": {
            "resolver 127.0.0.11 valid=1s ipv6=off;": "",
            "server web:8000 resolve max_fails=1 fail_timeout=2s;": upstream,
        },
    }.items():
        written = (_DEPLOY / name).read_text()
        for ours, here in changes.items():
            assert ours in written, f"{ours!r} is no longer in {name}"
            written = written.replace(ours, here)
        (home / name).write_text(written)
    command = ["nginx", "-p", str(home), "-c", str(home / "nginx.conf"), "-g", "daemon off;"]
    proxy = Proxy(command, port=port, stop_signal=signal.SIGQUIT)
    proxy.back()
    try:
        yield proxy
    finally:
        proxy.stop()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
