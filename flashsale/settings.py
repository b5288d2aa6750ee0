"""Settings: one file, from the environment. A malformed variable stops start-up; the error names it."""

import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from csp.constants import NONE, SELF
from django.core.exceptions import ImproperlyConfigured

from flashsale import mail_servers, queues, variables
from flashsale.local import embedded
from flashsale.observe import logs
from flashsale.redis.client_factory import RetryElsewhere

BASE_DIR = Path(__file__).resolve().parent.parent
VAR_DIR = Path(variables.text("VAR_DIR", str(BASE_DIR / "var"))).expanduser().resolve()

# --- Servers: URLs, or embedded ones under VAR_DIR -------------------------------------------

_embedded_database, _embedded_redis = embedded.urls(VAR_DIR)
_given = variables.text("DATABASE_URL") or variables.text("REDIS_URL")
# `manage.py up` passes its embedded servers' URLs to its children, with FLASHSALE_EMBEDDED set.
PRODUCTION = bool(_given) and not variables.flag("FLASHSALE_EMBEDDED")

REDIS_URL = variables.redis("REDIS_URL", _embedded_redis)
REDIS_CLUSTER = variables.flag("REDIS_CLUSTER")  # then REDIS_URL names one of the cluster's servers
if REDIS_CLUSTER and REDIS_URL.startswith("unix"):
    raise ImproperlyConfigured("REDIS_CLUSTER needs a REDIS_URL with a host and a port.")
CELERY_BROKER_URL = variables.redis("CELERY_BROKER_URL", REDIS_URL)
CACHE_URL = variables.redis("CACHE_URL", REDIS_URL)
CHANNEL_URL = variables.redis("CHANNEL_URL", REDIS_URL)
# Confirms that Redis is durable (append-only file, fsync always, noeviction) where it refuses CONFIG.
REDIS_DURABLE = variables.flag("REDIS_DURABLE")

_database = variables.database("DATABASE_URL", _embedded_database)
DATABASES = {
    "default": {
        **_database,
        "ENGINE": "flashsale.postgresql",  # Django's; checks each session taken from the pool
        # The pool keeps connections open. Django's own persistent connections leak under ASGI.
        "CONN_MAX_AGE": 0,
        "DISABLE_SERVER_SIDE_CURSORS": True,  # PgBouncer in transaction mode breaks them
        "OPTIONS": {
            **_database.get("OPTIONS", {}),  # from the URL's query, such as sslmode
            "pool": {
                "min_size": 1,
                "max_size": variables.whole("DATABASE_POOL", 12, least=1),
                "timeout": 3,
                # Give up soon, so that the next request starts a new attempt: the pool's own pauses grow
                # to minutes while PostgreSQL is down.
                "reconnect_timeout": 1,
            },
            "connect_timeout": 3,
            # Detect a server that vanished without closing its connections in seconds, not in two hours.
            "keepalives_idle": 5,
            "keepalives_interval": 2,
            "keepalives_count": 3,
            "tcp_user_timeout": 10_000,  # ms
        },
    }
}

CACHES = {
    "default": {
        "BACKEND": "django_redis.cache.RedisCache",
        "LOCATION": CACHE_URL,
        "KEY_PREFIX": "cache",
        "OPTIONS": {
            "SOCKET_CONNECT_TIMEOUT": 1,
            "SOCKET_TIMEOUT": 1,
            # Never pickle: a process that can write to the cache must not be able to run code.
            "SERIALIZER": "django_redis.serializers.json.JSONSerializer",
            "CONNECTION_POOL_KWARGS": {"retry": RetryElsewhere(1)},
        },
    }
}

CHANNEL_LAYERS = {
    "default": {
        "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
        "CONFIG": {"hosts": [CHANNEL_URL], "prefix": "channels"},
    }
}

# --- Security --------------------------------------------------------------------------------

SECRET_KEY = variables.text("SECRET_KEY")
if not SECRET_KEY:
    if PRODUCTION:
        raise ImproperlyConfigured(
            "SECRET_KEY is missing: it signs tickets and cookies, and is required as soon as "
            "DATABASE_URL or REDIS_URL is set."
        )
    SECRET_KEY = embedded.secret_key(VAR_DIR)
# Old keys: tickets signed with them stay valid. Keep a key here until its sales have ended.
SECRET_KEY_FALLBACKS = variables.words("SECRET_KEY_FALLBACKS", [])

DEBUG = variables.flag("DEBUG")
ALLOWED_HOSTS = variables.words("ALLOWED_HOSTS", ["localhost", "127.0.0.1", "[::1]"])
CSRF_TRUSTED_ORIGINS = variables.origins("CSRF_TRUSTED_ORIGINS")
TRUSTED_PROXIES = variables.whole("TRUSTED_PROXIES", 0, most=16)
if TRUSTED_PROXIES:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")

SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = PRODUCTION
SESSION_COOKIE_HTTPONLY = CSRF_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
SECURE_CROSS_ORIGIN_OPENER_POLICY = "same-origin"
# Sent over HTTPS only, so that it does not lock a trial over plain HTTP out.
SECURE_HSTS_SECONDS = variables.whole("HSTS_SECONDS", 365 * 24 * 3600 if PRODUCTION else 0)
X_FRAME_OPTIONS = "DENY"
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF],
        "style-src": [SELF],
        "img-src": [SELF, "data:"],
        "font-src": [SELF],
        "connect-src": [SELF],
        "form-action": [SELF],
        "base-uri": [NONE],
        "frame-ancestors": [NONE],
    }
}

# Device features that pages must not use: all for which browsers ask the user.
PERMISSIONS_POLICY = ", ".join(
    f"{feature}=()"
    for feature in (
        "accelerometer",
        "camera",
        "display-capture",
        "geolocation",
        "gyroscope",
        "hid",
        "idle-detection",
        "magnetometer",
        "microphone",
        "midi",
        "payment",
        "screen-wake-lock",
        "serial",
        "usb",
        "xr-spatial-tracking",
    )
)
SILENCED_SYSTEM_CHECKS = [
    "security.W005",  # HSTS for sub-domains: the shop cannot decide for the domain's other sites
    "security.W008",  # redirect to HTTPS: it would loop behind a proxy not yet trusted; pages explain
    "security.W021",  # the browsers' preload list: the same as for sub-domains
]

# --- The sale --------------------------------------------------------------------------------

RATE_PER_SHOPPER = variables.whole("RATE_PER_SHOPPER", 3)  # accepted buys per second, 0: no limit
RATE_PER_ADDRESS = variables.whole("RATE_PER_ADDRESS", 50)
LINE_BOUND = variables.whole("LINE_BOUND", 200_000, least=1)  # waiting purchases of one sale
DEFAULT_CURRENCY = variables.currency("DEFAULT_CURRENCY", "EUR")  # of a new product's price

# --- Draws -----------------------------------------------------------------------------------

# The beacon of new draws: none, or drand's quicknet.
DRAW_BEACON = {"NONE": "", "QUICKNET": "quicknet"}[
    variables.choice("DRAW_BEACON", "NONE", "NONE", "QUICKNET")
]
# Servers of drand's public beacon, all asked at once. Each answer is verified.
DRAND_URLS = variables.origins(
    "DRAND_URLS",
    [
        "https://api.drand.sh",
        "https://api2.drand.sh",
        "https://api3.drand.sh",
        "https://drand.cloudflare.com",
    ],
)

# --- Checkout and payment --------------------------------------------------------------------

SITE_URL = variables.http("SITE_URL") or (  # where links in mails lead
    f"https://{ALLOWED_HOSTS[0].lstrip('.')}"
    if PRODUCTION
    else f"http://127.0.0.1:{variables.whole('PORT', 8000, most=65_535)}"
)
# The providers that a sale may name. `demo` plays a card page and takes no money.
PAYMENT_PROVIDERS = variables.words("PAYMENT_PROVIDERS", [] if PRODUCTION else ["demo"])
# To a provider, from each process and of each kind (start, fetch, capture, …).
PAYMENT_CALLS_PER_SECOND = variables.whole("PAYMENT_CALLS_PER_SECOND", 25, least=1)
# Encrypts contacts at rest: keys of Fernet (cryptography), the newest first; without one they are plain.
CONTACT_KEYS = variables.fernet_keys("CONTACT_KEYS")

STRIPE_SECRET_KEY = variables.text("STRIPE_SECRET_KEY")
# Of the webhook's endpoint. Two while one takes the other's place.
STRIPE_WEBHOOK_SECRETS = variables.words("STRIPE_WEBHOOK_SECRETS", [])
# Cards answer at once. Others may take longer than the hold, or cannot be authorised apart.
STRIPE_PAYMENT_METHODS = variables.words("STRIPE_PAYMENT_METHODS", ["card"])
STRIPE_API_BASE = variables.http("STRIPE_API_BASE")  # another server than Stripe's, for trials

# --- Mail ------------------------------------------------------------------------------------

# Without a mail server mails wait in the outbox. A trial writes them to files, which the dashboard shows.
_mail_server = variables.mail_server(
    "EMAIL_URL", "" if PRODUCTION else "file:", str(VAR_DIR / "mail")
)
MAIL_IS_SENT = bool(_mail_server)
EMAIL_BACKEND = _mail_server.get("EMAIL_BACKEND", mail_servers.NONE)
EMAIL_HOST = _mail_server.get("EMAIL_HOST", "")
EMAIL_PORT = _mail_server.get("EMAIL_PORT", 25)
EMAIL_HOST_USER = _mail_server.get("EMAIL_HOST_USER", "")
EMAIL_HOST_PASSWORD = _mail_server.get("EMAIL_HOST_PASSWORD", "")
EMAIL_USE_TLS = _mail_server.get("EMAIL_USE_TLS", False)
EMAIL_USE_SSL = _mail_server.get("EMAIL_USE_SSL", False)
EMAIL_FILE_PATH = _mail_server.get("EMAIL_FILE_PATH")
EMAIL_TIMEOUT = 10  # seconds without a word from the server
ANYMAIL = {**_mail_server.get("ANYMAIL", {}), "REQUESTS_TIMEOUT": (5, 20)}  # to connect, to answer
MAIL_FROM = variables.mail_address("MAIL_FROM") or f"shop@{urlsplit(SITE_URL).hostname}"
MAIL_REPLY_TO = variables.mail_address("MAIL_REPLY_TO")

# --- Sign-in -----------------------------------------------------------------------------------

# A file of domains, one a line, whose e-mail addresses are not accepted: they are made for one mail.
DISPOSABLE_DOMAINS = variables.lines("DISPOSABLE_DOMAINS")

# --- Django ----------------------------------------------------------------------------------

INSTALLED_APPS = [
    # Before staticfiles: it serves `runserver`. It is slow to import, and nothing else needs it.
    *(["daphne"] if sys.argv[1:2] == ["runserver"] else []),
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.postgres",
    "channels",
    "csp",
    "django_htmx",
    "django_countries",  # for its translations
    "flashsale",
    "inventory",
    "accounts",
    "orders",
    "payments",
    "mail",
    "storefront",
    "dashboard",
    "ops",
    "drills",
]

MIDDLEWARE = [
    "flashsale.middleware.only_utf_8",
    "flashsale.middleware.answer_while_postgresql_is_down",
    "django.middleware.security.SecurityMiddleware",
    "csp.middleware.CSPMiddleware",
    "flashsale.middleware.Sessions",
    "django.middleware.locale.LocaleMiddleware",
    "flashsale.middleware.forms_without_last_slash",
    "flashsale.middleware.staff_pages_in_english",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    # Last, since it is synchronous only: so all of them run in one thread. Django would else change threads
    # for each step of each middleware between the last synchronous one and an asynchronous view.
    "flashsale.middleware.without_null_characters",
]

ROOT_URLCONF = "flashsale.urls"
ASGI_APPLICATION = "flashsale.asgi.application"
TEMPLATES: list[dict[str, Any]] = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]
LOGIN_URL = "admin:login"

LANGUAGE_CODE = "en"
LANGUAGES = [("en", "English"), ("de", "Deutsch")]
# Nothing sets it. Django's own name for it may be set by another site of the domain, and the express lane
# reads no such cookie.
LANGUAGE_COOKIE_NAME = "flashsale_language"
COUNTRIES_OVERRIDE = {"XK": "Kosovo"}  # ISO 3166 has not named it yet, and parcels go there
USE_I18N = True
USE_TZ = True
TIME_ZONE = "UTC"

# A product's page sends 16 fields for each of 100 variants, a sale's 5 for each of 200.
DATA_UPLOAD_MAX_NUMBER_FIELDS = 4000

STATIC_URL = "/static/"
STATICFILES_DIRS = [BASE_DIR / "static"]
STATIC_ROOT = VAR_DIR / "static"
MEDIA_URL = "/media/"
MEDIA_ROOT = VAR_DIR / "media"
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    # Also writes a compressed copy beside each text file, which ServeStatic sends.
    "staticfiles": {"BACKEND": "servestatic.storage.CompressedManifestStaticFilesStorage"},
}

# --- Celery: a message is only a bell, which wakes a worker. Nothing depends on its delivery --

CELERY_TASK_DEFAULT_QUEUE = queues.HOUSEKEEPING
CELERY_TASK_ROUTES = {queues.SETTLE: {"queue": queues.SETTLEMENT}}
# Never pickle: a process that can write to the broker must not be able to run code.
CELERY_ACCEPT_CONTENT = CELERY_RESULT_ACCEPT_CONTENT = ["json"]
CELERY_TASK_SERIALIZER = CELERY_RESULT_SERIALIZER = CELERY_EVENT_SERIALIZER = "json"
CELERY_TASK_IGNORE_RESULT = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_WORKER_SOFT_SHUTDOWN_TIMEOUT = 5
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CHANNEL_ERROR_RETRY = True  # otherwise a worker ends when its broker's memory is full
CELERY_BROKER_TRANSPORT_OPTIONS = {
    "socket_timeout": 5,
    "socket_connect_timeout": 1,
    "global_keyprefix": "celery:",
}
CELERY_BEAT_SCHEDULE = {
    "finish-sales": {
        "task": queues.FINISH_SALES,
        "schedule": 10.0,
        "options": {"expires": 10},
    },
    "clear-sessions": {"task": queues.CLEAR_SESSIONS, "schedule": 24 * 3600.0},
    "erase-contacts": {"task": queues.ERASE_CONTACTS, "schedule": 24 * 3600.0},
    "remove-old-news": {"task": queues.REMOVE_OLD_NEWS, "schedule": 24 * 3600.0},
    "remove-pictures": {
        "task": queues.REMOVE_PICTURES,
        "schedule": 3600.0,
        "options": {"expires": 3600},
    },
}

METRICS_TOKEN = variables.text(
    "METRICS_TOKEN"
)  # the bearer token of /metrics; without one it is a 404

OTEL_EXPORTER_OTLP_ENDPOINT = variables.http("OTEL_EXPORTER_OTLP_ENDPOINT")
OTEL_TRACES_SAMPLER_ARG = variables.share("OTEL_TRACES_SAMPLER_ARG", 1.0)
SENTRY_DSN = variables.sentry("SENTRY_DSN")

LOG_LEVEL = variables.choice("LOG_LEVEL", "INFO", "DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
LOGGING = logs.logging_configuration(
    LOG_LEVEL,
    as_json=variables.choice("LOG_FORMAT", "JSON" if PRODUCTION else "LINE", "JSON", "LINE")
    == "JSON",
    purchases=variables.flag("LOG_PURCHASES"),
)
