"""Start-up checks: refuse settings that would break a sale, and warn of those that are unwise anywhere.

`manage.py check` contacts no server. `manage.py check --deploy --tag redis` reads Redis' persistence
settings; commands that work without Redis never wait for it.
"""

from collections.abc import Iterable
from typing import Any

import redis
from babel import Locale, UnknownLocaleError
from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register
from django.utils.translation import to_locale

from flashsale.redis import client_factory
from flashsale.redis import servers as servers_module

# "You are in line" must survive a crash of Redis, and Redis must not evict it.
REDIS_MUST = {
    "appendonly": "yes",
    "appendfsync": "always",
    "maxmemory-policy": "noeviction",
}
_REDIS_TIMEOUT = 2.0  # seconds
_KEY_LENGTH = 32
_KEY_DISTINCT = 8
_OBVIOUS = ("django-insecure", "changeme", "change-me", "secret-key", "password", "example")
_LINE_USUAL = range(1_000, 5_000_001)


@register(Tags.security)
def secret_keys(**_: Any) -> Iterable[CheckMessage]:
    """Refuse weak secret keys: they sign tickets and cookies, so with a guessed key anyone can buy as any
    shopper."""
    named = [("SECRET_KEY", settings.SECRET_KEY)]
    named += [("SECRET_KEY_FALLBACKS", key) for key in settings.SECRET_KEY_FALLBACKS]
    if settings.PRODUCTION:
        for name, key in named:
            if _guessable(key):
                yield Error(
                    f"{name} is too short or too obvious.",
                    hint=f"Use {_KEY_LENGTH} random characters or more.",
                    id="flashsale.E001",
                )


@register(Tags.security)
def debug_off(**_: Any) -> Iterable[CheckMessage]:
    if settings.PRODUCTION and settings.DEBUG:
        yield Error("DEBUG is on: error pages would show settings and data.", id="flashsale.E002")


@register(Tags.security)
def hosts_named(**_: Any) -> Iterable[CheckMessage]:
    if settings.PRODUCTION and "*" in settings.ALLOWED_HOSTS:
        yield Warning(
            "ALLOWED_HOSTS allows every host.",
            hint="List the shop's own hosts, unless a proxy in front refuses all others.",
            id="flashsale.W001",
        )


@register()
def line_bound(**_: Any) -> Iterable[CheckMessage]:
    if settings.LINE_BOUND not in _LINE_USUAL:
        yield Warning(
            f"LINE_BOUND is unusual: {settings.LINE_BOUND} purchases.",
            hint="A short line turns shoppers away; a very long one may not fit into Redis' memory.",
            id="flashsale.W002",
        )


@register(Tags.translation)
def languages(**_: Any) -> Iterable[CheckMessage]:
    """Refuse languages that Babel cannot format prices in."""
    for code, _name in settings.LANGUAGES:
        try:
            Locale.parse(to_locale(code))
        except (UnknownLocaleError, ValueError):
            yield Error(f"LANGUAGES: prices cannot be formatted in {code!r}.", id="flashsale.E003")


@register()
def stripe_keys(**_: Any) -> Iterable[CheckMessage]:
    """Refuse a shop that offers Stripe and cannot call it."""
    if "stripe" not in settings.PAYMENT_PROVIDERS:
        return
    key, hint = settings.STRIPE_SECRET_KEY, "docs/payments.md says where Stripe shows it."
    if not key:
        yield Error("STRIPE_SECRET_KEY is missing.", hint=hint, id="flashsale.E009")
    elif not key.startswith(("sk_", "rk_")):
        yield Error("STRIPE_SECRET_KEY is not a secret key.", hint=hint, id="flashsale.E009")
    if not settings.STRIPE_WEBHOOK_SECRETS:
        yield Warning(
            "STRIPE_WEBHOOK_SECRETS is missing: events of Stripe are refused as forged.",
            hint="Payments are found later then: when the shopper returns, or when Stripe is asked.",
            id="flashsale.W003",
        )
    trial = key.startswith(("sk_test_", "rk_test_")) or settings.STRIPE_API_BASE
    if settings.PRODUCTION and trial:
        yield Warning(
            "Stripe is on trial: with a test key, or at STRIPE_API_BASE, no money moves.",
            hint="Set a live key, and no STRIPE_API_BASE, before a sale.",
            id="flashsale.W004",
        )


@register("redis", deploy=True)
def redis_durability(**_: Any) -> Iterable[CheckMessage]:
    """Refuse a Redis that may acknowledge an accepted purchase before the purchase is on its disk."""
    try:
        servers = servers_module.read_configured()
    except (redis.RedisError, OSError) as error:
        yield Error(f"Redis does not answer: {type(error).__name__}.", id="flashsale.E004")
        return
    where = "Redis"
    for url in servers.urls:
        if len(servers.urls) > 1:
            where = f"Redis at {servers_module.address_of(url)}"
        yield from _durability(url, where)


def _durability(url: str, where: str) -> Iterable[CheckMessage]:
    try:
        actual = _redis_settings(url)
    except redis.ResponseError:
        actual = {}
    except (redis.RedisError, OSError) as error:
        yield Error(f"{where} does not answer: {type(error).__name__}.", id="flashsale.E004")
        return
    if not REDIS_MUST.keys() <= actual.keys():
        yield from _require_confirmation(where)
        return
    for name, must in REDIS_MUST.items():
        if actual[name] != must:
            yield Error(
                f"{where} has {name} {actual[name]!r}: accepted purchases could be lost.",
                hint=f"Set {name} {must} in its configuration.",
                id="flashsale.E005",
            )


@register("redis", deploy=True)
def clusters(**_: Any) -> Iterable[CheckMessage]:
    """Refuse a cluster for the broker and the cache: they use keys of several slots in one command."""
    for name in ("REDIS_URL", "CELERY_BROKER_URL", "CACHE_URL"):
        may = name == "REDIS_URL" and settings.REDIS_CLUSTER
        try:
            part = _is_part_of_cluster(getattr(settings, name))
        except (redis.RedisError, OSError):
            continue  # the shop sells without broker and cache; `redis_durability` reports the gates' Redis
        if part and not may:
            yield Error(
                f"{name} names a server of a cluster.",
                hint="Set REDIS_CLUSTER=1, or name another server for gates, broker and cache."
                if name == "REDIS_URL"
                else f"Set {name} to a server that is not in a cluster.",
                id="flashsale.E007",
            )
        elif may and not part:
            yield Error(
                "REDIS_CLUSTER is set, but the server at REDIS_URL is not in a cluster.",
                hint="Unset it, or name one of the cluster's servers.",
                id="flashsale.E008",
            )


def _require_confirmation(where: str) -> Iterable[CheckMessage]:
    """Require REDIS_DURABLE where the provider refuses CONFIG: then the operator has checked it."""
    if not settings.REDIS_DURABLE:
        wanted = ", ".join(f"{name} {must}" for name, must in REDIS_MUST.items())
        yield Error(
            f"{where} does not reveal whether it is durable.",
            hint=f"Make sure that it runs with {wanted}; then set REDIS_DURABLE=1.",
            id="flashsale.E006",
        )


def _redis_settings(url: str) -> dict[Any, Any]:
    """Redis' values of the settings in REDIS_MUST, without those that it lacks or hides."""
    with _client(url) as client:
        return dict(client.config_get(*REDIS_MUST))


def _is_part_of_cluster(url: str) -> bool:
    with _client(url) as client:
        return bool(client.info("cluster").get("cluster_enabled"))


def _client(url: str) -> redis.Redis:
    return client_factory.client(url, timeout=_REDIS_TIMEOUT, connect_timeout=_REDIS_TIMEOUT)


def _guessable(key: str) -> bool:
    few = len(key) < _KEY_LENGTH or len(set(key)) < _KEY_DISTINCT
    return few or any(word in key.lower() for word in _OBVIOUS)
