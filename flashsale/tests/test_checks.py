"""A shop whose settings would break a sale does not start."""

from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import pytest
import redis
from django.core.checks import CheckMessage, run_checks
from django.core.management import call_command
from django.core.management.base import SystemCheckError
from pytest_django import Settings

from flashsale import checks
from flashsale.redis import blocking_clients

GOOD_KEY = "Zr8-kW2_qLx9TnVb4HsYc7PdMf3JgAe6"


def found() -> list[str]:
    """The ids of our own checks that object, of those that need no server."""
    return ids(run_checks())


def found_about_redis() -> list[str]:
    return ids(run_checks(tags=["redis"], include_deployment_checks=True))


def ids(messages: list[CheckMessage]) -> list[str]:
    return [str(message.id) for message in messages if str(message.id).startswith("flashsale.")]


@pytest.fixture
def production(settings: Settings) -> Settings:
    settings.PRODUCTION = True
    settings.SECRET_KEY = GOOD_KEY
    settings.SECRET_KEY_FALLBACKS = []
    settings.ALLOWED_HOSTS = ["shop.example"]
    return settings


@contextmanager
def redis_set(name: str, value: str) -> Iterator[None]:
    """The tests' own Redis with another setting."""
    client = blocking_clients.client_of(0)
    before = str(client.config_get(name)[name])
    client.config_set(name, value)
    try:
        yield
    finally:
        client.config_set(name, before)


# --- Without a server ------------------------------------------------------------------------


def test_a_sound_configuration_passes(production: Settings) -> None:
    assert found() == []


@pytest.mark.parametrize(
    "key", ["short", GOOD_KEY[:31], "x" * 64, "django-insecure-" + GOOD_KEY, "changeme" * 8]
)
def test_production_needs_a_strong_key(production: Settings, key: str) -> None:
    production.SECRET_KEY = key
    assert found() == ["flashsale.E001"]


def test_an_old_key_that_still_signs_is_held_to_the_same(production: Settings) -> None:
    production.SECRET_KEY_FALLBACKS = [GOOD_KEY[::-1], "short"]
    assert found() == ["flashsale.E001"]


def test_the_message_does_not_show_the_key(production: Settings) -> None:
    production.SECRET_KEY = "hunter2"
    [message] = checks.secret_keys()
    assert "hunter2" not in str(message)


def test_a_demo_may_have_any_key(production: Settings) -> None:
    production.PRODUCTION = False
    production.SECRET_KEY = "short"
    assert found() == []


def test_production_refuses_debug(production: Settings) -> None:
    production.DEBUG = True
    assert found() == ["flashsale.E002"]


def test_production_warns_of_any_host(production: Settings) -> None:
    production.ALLOWED_HOSTS = ["*"]
    assert found() == ["flashsale.W001"]


@pytest.mark.parametrize("bound", [1, 999, 5_000_001])
def test_an_unusual_line_is_pointed_out(production: Settings, bound: int) -> None:
    production.LINE_BOUND = bound
    assert found() == ["flashsale.W002"]


def test_a_language_without_a_price_format_is_refused(production: Settings) -> None:
    production.LANGUAGES = [("en", "English"), ("tlh", "Klingon")]
    assert found() == ["flashsale.E003"]


def test_commands_that_need_no_redis_do_not_ask_it(settings: Settings) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    assert found() == []
    call_command("check", databases=["default"])


@pytest.mark.parametrize(
    ("key", "secrets", "base", "expected"),
    [
        ("sk_live_1", ["whsec_1"], "", []),
        ("rk_live_1", ["whsec_1", "whsec_2"], "", []),
        ("", ["whsec_1"], "", ["flashsale.E009"]),
        ("pk_live_1", ["whsec_1"], "", ["flashsale.E009"]),
        ("sk_live_1", [], "", ["flashsale.W003"]),
        ("sk_test_1", ["whsec_1"], "", ["flashsale.W004"]),
        ("sk_live_1", ["whsec_1"], "http://127.0.0.1:12111", ["flashsale.W004"]),
    ],
)
def test_stripe_needs_its_keys(
    production: Settings, key: str, secrets: list[str], base: str, expected: list[str]
) -> None:
    production.STRIPE_SECRET_KEY = key
    production.STRIPE_WEBHOOK_SECRETS = secrets
    production.STRIPE_API_BASE = base
    assert found() == []  # it is not offered
    production.PAYMENT_PROVIDERS = ["stripe"]
    assert found() == expected


# --- Redis -----------------------------------------------------------------------------------


def test_a_durable_redis_passes() -> None:
    assert found_about_redis() == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("appendonly", "no"),
        ("appendfsync", "everysec"),
        ("appendfsync", "no"),
        ("maxmemory-policy", "allkeys-lru"),
        ("maxmemory-policy", "volatile-ttl"),
    ],
)
def test_a_redis_that_may_lose_purchases_is_refused(name: str, value: str) -> None:
    with redis_set(name, value):
        [message] = run_checks(tags=["redis"], include_deployment_checks=True)
        assert message.id == "flashsale.E005"
        assert name in message.msg
        assert str(message.hint) == f"Set {name} {checks.REDIS_MUST[name]} in its configuration."


def test_a_redis_known_to_lose_purchases_is_not_acknowledged(settings: Settings) -> None:
    settings.REDIS_DURABLE = True
    with redis_set("appendfsync", "everysec"):
        assert found_about_redis() == ["flashsale.E005"]


@pytest.fixture
def secretive_redis(settings: Settings) -> Iterator[Settings]:
    """Redis as some providers offer it: it answers everything but CONFIG."""
    client = blocking_clients.client_of(0)
    client.acl_setuser("guest", enabled=True, passwords=["+guest"], commands=["+@all", "-config"])
    parts = urlsplit(settings.REDIS_URL)
    settings.REDIS_URL = f"redis://guest:guest@{parts.hostname}:{parts.port}/0"
    yield settings
    client.acl_deluser("guest")


def test_a_redis_that_may_not_be_asked_needs_an_acknowledgement(
    secretive_redis: Settings,
) -> None:
    assert redis.Redis.from_url(secretive_redis.REDIS_URL).ping()
    assert found_about_redis() == ["flashsale.E006"]
    secretive_redis.REDIS_DURABLE = True
    assert found_about_redis() == []


def test_a_redis_that_does_not_answer_is_refused(settings: Settings) -> None:
    settings.REDIS_URL = "redis://:hunter2@127.0.0.1:1/0"
    settings.REDIS_DURABLE = True
    with pytest.raises(SystemCheckError, match=r"flashsale\.E004") as refused:
        call_command("check", deploy=True, tags=["redis"])
    assert "hunter2" not in str(refused.value)
