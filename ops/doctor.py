"""What `manage.py doctor` looks at: settings, files, servers and processes. What concerns sales is in
`ops/doctor_sales.py`."""

import json
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import redis
from django.conf import settings
from django.contrib.staticfiles.finders import get_finders
from django.core import checks
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from flashsale import variables
from flashsale.http import signing
from flashsale.observe import telemetry_reader
from flashsale.redis import connecting, servers
from ops.findings import Finding, Groups, State, failed, ok, warning

_TIMEOUT = 2.0  # seconds, for a Redis
_CLOCKS_APART = 0.5  # seconds
_NEARLY_FULL = 0.8
_LITTLE_SPACE, _NO_SPACE = 2 << 30, 200 << 20  # bytes


# --- Settings ----------------------------------------------------------------------------------


def django_checks() -> Iterator[Finding]:
    """All that `manage.py check` looks at; in production `check --deploy`'s security, too."""
    messages = checks.run_checks()
    if settings.PRODUCTION:
        strict = checks.run_checks(tags=[checks.Tags.security], include_deployment_checks=True)
        messages += [message for message in strict if message not in messages]
    messages = [message for message in messages if not message.is_silenced()]
    findings = list(_of_messages("settings", messages))
    yield from findings or [ok("settings", "Django's checks and ours have nothing to object.")]


def secret_key() -> Iterator[Finding]:
    """A guessable one is found by the checks above."""
    origin = "given" if variables.text("SECRET_KEY") else f"generated, kept in {settings.VAR_DIR}"
    older = len(settings.SECRET_KEY_FALLBACKS)
    seen = f"{origin}, {len(settings.SECRET_KEY)} characters; older ones still honoured: {older}."
    yield ok("SECRET_KEY", seen)


def hosts() -> Iterator[Finding]:
    named = ", ".join(settings.ALLOWED_HOSTS)
    if settings.PRODUCTION and set(settings.ALLOWED_HOSTS) <= _LOCAL:
        seen = f"Only this machine's own names are answered to: {named}."
        yield warning("ALLOWED_HOSTS", seen, "Set it to the names under which shoppers come.")
    else:
        yield ok("ALLOWED_HOSTS", f"{named}.")


def rates() -> Iterator[Finding]:
    shopper, address = settings.RATE_PER_SHOPPER, settings.RATE_PER_ADDRESS
    seen = f"{shopper} per shopper, {address} per address and second; 0 is no limit."
    if settings.PRODUCTION and not (shopper and address):
        yield warning("rates", seen, "Set RATE_PER_SHOPPER and RATE_PER_ADDRESS against bots.")
    else:
        yield ok("rates", seen)


def proxies() -> Iterator[Finding]:
    count = settings.TRUSTED_PROXIES
    if settings.PRODUCTION and count == 0:
        yield warning(
            "TRUSTED_PROXIES",
            "0: no X-Forwarded-Proto is believed, so no HTTPS can be seen.",
            "Nobody but this machine can buy. Say how many proxies stand in front.",
        )
        return
    told = "no X-Forwarded-For is believed" if count == 0 else "the addresses they add are believed"
    yield ok("TRUSTED_PROXIES", f"{count}: {told}.")


_LOCAL = {"localhost", "127.0.0.1", "[::1]"}


def _of_messages(about: str, messages: Iterable[checks.CheckMessage]) -> Iterator[Finding]:
    for message in messages:
        if message.level >= checks.WARNING:
            state = State.FAILED if message.is_serious() else State.WARNING
            yield Finding(about, state, f"{message.msg} ({message.id})", str(message.hint or ""))


# --- Files -------------------------------------------------------------------------------------


def var_dir() -> Iterator[Finding]:
    folder: Path = settings.VAR_DIR
    if settings.PRODUCTION and settings.MEDIA_ROOT.is_dir():
        folder = settings.MEDIA_ROOT  # all else in it was made before
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        seen = f"Nothing can be written to {folder}: {error.strerror}."
        yield failed("VAR_DIR", seen, "Give it to the user that runs the shop, or set VAR_DIR.")
    else:
        yield ok("VAR_DIR", f"{folder} can be written to.")


def disk_space() -> Iterator[Finding]:
    folder = next(part for part in (settings.VAR_DIR, *settings.VAR_DIR.parents) if part.exists())
    free = shutil.disk_usage(folder).free
    seen = f"{free / (1 << 30):.1f} GB are free where {settings.VAR_DIR} is."
    advice = "Make room: pictures, and embedded servers, stop writing when it is full."
    if free < _NO_SPACE:
        yield failed("disk", seen, advice)
    elif free < _LITTLE_SPACE:
        yield warning("disk", seen, advice)
    else:
        yield ok("disk", seen)


def static_files() -> Iterator[Finding]:
    """Pages link the names under which they were collected."""
    advice = "Run `manage.py prepare --static`, then start the web processes again."
    manifest: Path = settings.STATIC_ROOT / "staticfiles.json"
    collected = json.loads(manifest.read_text())["paths"] if manifest.exists() else {}
    sources = {
        path: Path(storage.path(path))
        for finder in get_finders()
        for path, storage in finder.list([])
    }
    missing = sorted(sources.keys() - collected.keys())
    stale = [path for path in sources.keys() & collected.keys() if _is_newer(sources[path], path)]
    if missing:
        seen = f"{len(missing)} of {len(sources)} files are not collected, such as {missing[0]}."
        yield failed("static files", seen, advice)
    elif stale:
        seen = f"{len(stale)} files have changed since they were collected, such as {min(stale)}."
        yield warning("static files", seen, advice)
    else:
        yield ok("static files", f"All {len(sources)} are collected.")


def _is_newer(source: Path, path: str) -> bool:
    kept: Path = settings.STATIC_ROOT / path
    return not kept.exists() or source.stat().st_mtime > kept.stat().st_mtime


# --- PostgreSQL --------------------------------------------------------------------------------


def postgresql() -> Iterator[Finding]:
    """Django itself refuses a version that is too old."""
    about = connection.settings_dict
    [(version,)] = _asked("SHOW server_version")
    where = f"{about['HOST'] or 'local socket'}:{about['PORT'] or 5432}/{about['NAME']}"
    yield ok("PostgreSQL", f"Version {version} answers at {where}.")
    for setting, (must, otherwise) in _POSTGRESQL_MUST.items():
        [(actual,)] = _asked("SELECT current_setting(%s)", setting)
        if actual != must:
            yield failed("PostgreSQL", f"{setting} is {actual}: {otherwise}", f"Set it to {must}.")


_LOST = "what was confirmed to a shopper could be lost."
_POSTGRESQL_MUST = {
    "fsync": ("on", _LOST),
    "full_page_writes": ("on", _LOST),
    "synchronous_commit": ("on", _LOST),
    "transaction_read_only": ("off", "nothing can be sold. Is it a standby?"),
    "transaction_isolation": ("read committed", "what others commit would be overlooked."),
    "TimeZone": ("UTC", "something between here and there changes what Django has set."),
}


def migrations() -> Iterator[Finding]:
    executor = MigrationExecutor(connection)
    graph = executor.loader.graph
    missing = [str(step) for step, _ in executor.migration_plan(graph.leaf_nodes())]
    ours = {app for app, _ in graph.nodes}
    unknown = {(app, name) for app, name in executor.loader.applied_migrations if app in ours}
    unknown -= set(graph.nodes)
    if missing:
        seen = f"{len(missing)} migrations are missing, the first is {missing[0]}."
        yield failed("migrations", seen, "Run `manage.py prepare`.")
    elif unknown:
        seen = (
            f"The database is newer than this program: {'.'.join(min(unknown))} is not known here."
        )
        yield warning("migrations", seen, "Deploy the version that has migrated it.")
    else:
        yield ok("migrations", "All are applied.")


def _asked(query: str, *values: str) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(query, values)
        return list(cursor.fetchall())


# --- Redis -------------------------------------------------------------------------------------


def gate_redis() -> Iterator[Finding]:
    told: dict[str, dict[str, Any]] = {}
    urls = servers.read_configured().urls
    for url in urls:
        place = servers.address_of(url)
        try:
            with _client(url) as client:
                told[place] = client.info()
        except redis.RedisError as error:
            if len(urls) == 1:
                raise
            yield failed("Redis", f"{place} cannot be asked: {type(error).__name__}.", _THE_OTHERS)
            continue
        yield ok("Redis", f"{_version(told[place])} answers at {place}.")
        yield from _refuse_replica("Redis", told[place])
        if told[place].get("aof_last_write_status", "ok") != "ok":
            seen = f"The last write to the append-only file at {place} has failed: nothing is accepted."
            yield failed("Redis", seen, "Look at its log and its disk.")
    messages = checks.run_checks(tags=["redis"], include_deployment_checks=True)
    lacking = list(_of_messages("Redis", messages))
    yield from lacking or [
        ok("Redis", "What is accepted is on its disk before the shopper reads it.")
    ]
    for place, seen_there in told.items():
        yield from _memory(seen_there, f" at {place}" if len(told) > 1 else "")


_THE_OTHERS = "See to it that it runs. Sales on the other servers go on."


def _memory(told: dict[str, Any], where: str) -> Iterator[Finding]:
    used = int(told.get("used_memory", 0))
    bound = int(told.get("maxmemory", 0)) or int(told.get("total_system_memory", 0))
    seen = f"{used / (1 << 20):,.0f} MB are used of {bound / (1 << 20):,.0f} MB{where}."
    if bound and used > bound * _NEARLY_FULL:
        advice = "Give it more: when it is full, every click is answered with `busy`."
        yield warning("Redis' memory", seen, advice)
    else:
        yield ok("Redis' memory", seen)


def broker() -> Iterator[Finding]:
    yield from _other_redis("broker", "CELERY_BROKER_URL")


def cache() -> Iterator[Finding]:
    yield from _other_redis("cache", "CACHE_URL")


def channel_layer() -> Iterator[Finding]:
    yield from _other_redis("channel layer", "CHANNEL_URL")


def _other_redis(about: str, variable: str) -> Iterator[Finding]:
    url: str = getattr(settings, variable)
    if url == settings.REDIS_URL:
        yield ok(about, "It is the gate's Redis.")
        return
    with _client(url) as client:
        told: dict[str, Any] = client.info()
    yield ok(about, f"{_version(told)} answers at {servers.address_of(url)}.")
    yield from _refuse_replica(about, told)


def _refuse_replica(about: str, told: dict[str, Any]) -> Iterator[Finding]:
    if told.get("role") in ("slave", "replica"):
        advice = "Point the URL to its primary."
        yield failed(about, "It is a replica: it refuses to be written to.", advice)


def _client(url: str) -> redis.Redis:
    return connecting.client(url, timeout=_TIMEOUT, connect_timeout=_TIMEOUT)


def _version(told: dict[str, Any]) -> str:
    if "valkey_version" in told:
        return f"Valkey {told['valkey_version']}"
    return f"Redis {told.get('redis_version', 'of an unknown version')}"


# --- What runs ---------------------------------------------------------------------------------


def clocks() -> Iterator[Finding]:
    """Redis' clock opens and closes sales, PostgreSQL's and this machine's date what staff do."""
    apart = {}
    urls = servers.read_configured().urls
    for url in urls:
        name = "Redis" if len(urls) == 1 else servers.address_of(url)
        try:
            with _client(url) as client:
                apart[name] = _ahead(partial(_now_at, client))
        except redis.RedisError:
            if len(urls) == 1:
                raise  # of several, `gate_redis` names it
    apart["PostgreSQL"] = _ahead(lambda: float(_asked(_CLOCK)[0][0]))
    seen = ", ".join(f"{server}'s by {ahead:+.3f} s" for server, ahead in apart.items())
    apart["this machine"] = 0.0
    if max(apart.values()) - min(apart.values()) > _CLOCKS_APART:
        advice = "Let all machines take their time from the same NTP servers."
        yield warning("clocks", f"They differ from this machine's: {seen}.", advice)
    else:
        yield ok("clocks", f"They agree with this machine's: {seen}.")


_CLOCK = "SELECT extract(epoch FROM clock_timestamp())"


def _ahead(ask: Callable[[], float]) -> float:
    """Seconds by which a server's clock is ahead of ours, to half the time that asking takes. The
    first question may have to connect, and is not counted."""
    ask()
    before = time.time()
    theirs = ask()
    return theirs - (before + time.time()) / 2


def _now_at(client: redis.Redis) -> float:
    seconds, microseconds = client.time()
    return float(seconds + microseconds / 1e6)


def processes() -> Iterator[Finding]:
    alive = [process for process in telemetry_reader.processes() if process.alive]
    for role, (lacking, without) in _ROLES.items():
        mine = [process for process in alive if process.role == role]
        if mine:
            places = ", ".join(f"{process.host}:{process.pid}" for process in mine)
            yield ok(role, f"{len(mine)} alive: {places}.")
        else:
            advice = "Start the shop, or this part of it."
            yield Finding(role, lacking, f"None is alive: {without}", advice)


_ROLES = {
    "web": (State.FAILED, "nobody can see or buy anything."),
    "worker": (State.FAILED, "what is accepted is not decided, and cold gates stay cold."),
    "beat": (State.WARNING, "sales that are over are not finished."),
}


def keys() -> Iterator[Finding]:
    """Of all web processes: what one of them signs, the others have to know."""
    ours = signing.key_number()
    others = [
        process
        for process in telemetry_reader.processes()
        if process.alive and process.role == "web" and process.gauges.get("key", ours) != ours
    ]
    if others:
        places = ", ".join(f"{process.host}:{process.pid}" for process in others)
        yield failed(
            "keys",
            f"Web processes sign with another SECRET_KEY than is set here: {places}.",
            "Set the same everywhere and start them again. Until then each needs the other's among its"
            " SECRET_KEY_FALLBACKS, or shoppers are refused at random.",
        )
    else:
        yield ok("keys", "All web processes sign with the SECRET_KEY that is set here.")


def database_connections() -> Iterator[Finding]:
    """Each web and worker process may take as many as its pool holds."""
    [(allowed, used)] = _asked(
        "SELECT current_setting('max_connections')::int"
        " - current_setting('superuser_reserved_connections')::int,"
        " (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend')"
    )
    pool: dict[str, Any] = settings.DATABASES["default"]["OPTIONS"].get("pool") or {}
    each = pool.get("max_size") or variables.whole("DATABASE_POOL", 12, least=1)
    alive = sum(
        process.alive and process.role != "beat" for process in telemetry_reader.processes()
    )
    seen = (
        f"{used} of {allowed} connections are taken; {alive} processes may take {each} each"
        " (DATABASE_POOL)."
    )
    if max(used, alive * each) > allowed * _NEARLY_FULL:
        advice = "Raise max_connections, lower DATABASE_POOL, or put PgBouncer between."
        yield warning("connections", seen, advice)
    else:
        yield ok("connections", seen)


GROUPS: Groups = {
    "settings": (django_checks, secret_key, hosts, rates, proxies),
    "files": (var_dir, disk_space, static_files),
    "PostgreSQL": (postgresql, migrations),
    "Redis": (gate_redis,),
    "broker": (broker,),
    "cache": (cache,),
    "channel layer": (channel_layer,),
    "clocks": (clocks,),
    "processes": (processes, keys, database_connections),
}
