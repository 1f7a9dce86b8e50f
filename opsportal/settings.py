"""Read Django's settings from the environment, with defaults that work on a single machine.

Set `NAME_FILE=/run/secrets/name` to read the value of `NAME` from a file. All invalid values are reported at once.
Options that owners change while the portal runs (thresholds, routes, users, limits) are rows in the admin instead.
"""

import os
import tomllib
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import django_stubs_ext
from environs import validate

from core.lib.currencies import CURRENCIES
from core.lib.env import PortalEnv
from core.lib.secret_key import installation_secret_key

# This makes generics such as ModelAdmin[...] subscriptable at run time.
django_stubs_ext.monkeypatch()

BASE_DIR = Path(__file__).resolve().parent.parent
VERSION: str = tomllib.loads((BASE_DIR / "pyproject.toml").read_text())["project"]["version"]

env = PortalEnv()

# --- installation ---------------------------------------------------------------------------------
DEBUG = env.bool("DEBUG", False)
DATA_DIR = Path(env.str("DATA_DIR", str(BASE_DIR / "data")) or BASE_DIR / "data")
BASE_URL: str = env.base_url("BASE_URL", "http://127.0.0.1:8000") or ""
INSTANCE = env.str("INSTANCE", "") or os.uname().nodename
REGION = env.str("REGION", "")
IS_HTTPS = BASE_URL.startswith("https://")

SECRET_KEY = env.str("SECRET_KEY", "")
if not SECRET_KEY:
    try:
        SECRET_KEY = installation_secret_key(DATA_DIR)
    except OSError as error:
        env.add_error("DATA_DIR", f"cannot be written: {error}.")
SECRET_KEY_FALLBACKS: list[str] = env.list("SECRET_KEY_FALLBACKS", [])
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", []) or [
    urlsplit(BASE_URL).hostname or "127.0.0.1",
    "localhost",
    "127.0.0.1",
    "[::1]",
]
# The host that serves only the status page, or "" if no host is reserved for it.
STATUS_PAGE_DOMAIN = env.str("STATUS_PAGE_DOMAIN", "").lower()
if STATUS_PAGE_DOMAIN:
    ALLOWED_HOSTS.append(STATUS_PAGE_DOMAIN)
CSRF_TRUSTED_ORIGINS = env.list("CSRF_TRUSTED_ORIGINS", []) or ([BASE_URL] if IS_HTTPS else [])
# The number of proxies in front of the portal, which is also the number of trusted hops in X-Forwarded-For.
TRUSTED_PROXY_COUNT = env.int("TRUSTED_PROXY_COUNT", 0, validate=validate.Range(min=0))

# Private hosts and networks that staff may enter in URLs. All other private addresses are refused.
ALLOW_PRIVATE_URLS: list[str] = env.list("ALLOW_PRIVATE_URLS", [])
# By default, the portal refuses URLs with these ports if staff enter them, because the ports belong to other protocols,
# such as mail. Browsers block the same "bad ports": https://fetch.spec.whatwg.org/#port-blocking
BAD_PORTS = """
1 7 9 11 13 15 17 19 20 21 22 23 25 37 42 43 53 69 77 79 87 95 101 102 103 104 109 110 111 113 115 117 119 123 135 137
139 143 161 179 389 427 465 512 513 514 515 526 530 531 532 540 548 554 556 563 587 601 636 989 990 993 995 1719 1720
1723 2049 3659 4045 4190 5060 5061 6000 6566 6665 6666 6667 6668 6669 6679 6697 10080
"""
DENIED_PORTS: list[int] = env.list(
    "DENIED_PORTS", [int(port) for port in BAD_PORTS.split()], subcast=int
)
# /health reports check results of up to this age without running the checks again.
HEALTH_FRESH_SECONDS = env.int("HEALTH_FRESH_SECONDS", 15)
# These settings are for backups (docs/operations.md). PG_BIN is the folder of pg_dump and related programs if they are
# not on PATH.
BACKUP_DAILY = env.bool("BACKUP_DAILY", True)
BACKUP_DIR = env.str("BACKUP_DIR", "") or str(DATA_DIR / "backups")
BACKUP_KEEP = env.int("BACKUP_KEEP", 14)
PG_BIN = env.str("PG_BIN", "")
# Clients of /metrics need this token or one of these addresses.
METRICS_TOKEN = env.str("METRICS_TOKEN", "")
METRICS_ALLOW: list[str] = env.list("METRICS_ALLOW", ["127.0.0.0/8", "::1"])
# The maximum number of measurements that each app may send per minute.
SIGNALS_PER_MINUTE = env.int("SIGNALS_PER_MINUTE", 60_000)
# The maximum number of log entries per minute for an app without its own limit, and the days for which they are kept.
LOGS_PER_MINUTE = env.int("LOGS_PER_MINUTE", 3_000, validate=validate.Range(min=0))
LOG_DAYS = env.int("LOG_DAYS", 3, validate=validate.Range(min=1, max=90))
# The portal connects to these host:port addresses if all external monitors fail, to detect a failure of its own
# network.
NETWORK_PROBES: list[str] = env.list("NETWORK_PROBES", [])

# --- apps ------------------------------------------------------------------------------------------
FIRST_PARTY_APPS = [
    "core.accounts",
    "core.clients",
    "core.jobs",
    "core.limits",
    "core.releases",
    "core.config",
    "impact",
    "alerts",
    "health",
    "payments",
    "reservations",
    "errors",
    "logs",
    "otlp",
]
INSTALLED_APPS = [
    "opsportal.apps.PortalAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.humanize",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "django_htmx",
    "django_linear_migrations",
    # This app must precede django_q, because it replaces django_q's command `qcluster`.
    "opsportal.apps.PortalConfig",
    "django_q",
    "django_otp",
    "django_otp.plugins.otp_totp",
    "allauth.account",
    "allauth.socialaccount",
    "allauth.socialaccount.providers.github",
    *FIRST_PARTY_APPS,
]

MIDDLEWARE = [
    "opsportal.middleware.RequestIdMiddleware",
    "opsportal.middleware.SecurityHeadersMiddleware",
    "opsportal.middleware.RateLimitMiddleware",
    "opsportal.middleware.ReadOnlyMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "opsportal.middleware.ErrorPagesMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    # This middleware must follow WhiteNoise, whose static files are already compressed. Against the BREACH attack on
    # compressed pages, Django adds random bytes to them and masks the CSRF token.
    "opsportal.middleware.CompressionMiddleware",
    "opsportal.middleware.StatusDomainMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "core.accounts.middleware.UserMiddleware",
    "core.accounts.middleware.SessionsMiddleware",
    "core.accounts.middleware.AppAccessMiddleware",
    "core.accounts.middleware.AuditMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
]

ROOT_URLCONF = "opsportal.urls"
WSGI_APPLICATION = "opsportal.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

# --- data ------------------------------------------------------------------------------------------
DATABASE_URL = env.str("DATABASE_URL", f"sqlite:///{DATA_DIR / 'opsportal.sqlite3'}")
DATABASE_POOL = env.int("DATABASE_POOL", 20, validate=validate.Range(min=0))
DATABASES: dict[str, dict[str, Any]] = {
    "default": env.database("DATABASE_URL", DATABASE_URL) or {"ENGINE": ""}
}
DATABASES["default"]["ATOMIC_REQUESTS"] = False
IS_SQLITE = DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3"
if IS_SQLITE:
    DATABASES["default"]["ENGINE"] = "core.lib.sqlite"
    # IMMEDIATE takes the write lock at the start of a transaction; a DEFERRED transaction fails with "database is
    # locked" under load. FULL makes commits survive a power failure. A WAL checkpoint runs every 32 MB instead of every
    # 4 MB, so that pages that change with every batch are copied less often and fewer commits wait for a checkpoint.
    DATABASES["default"]["OPTIONS"] = {
        "transaction_mode": "IMMEDIATE",
        "timeout": 20,
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON;"
        "PRAGMA cache_size=-8000; PRAGMA temp_store=MEMORY; PRAGMA wal_autocheckpoint=8000;"
        # Erased data must not stay in the file. This is the default in Debian, but not in all builds of SQLite.
        "PRAGMA secure_delete=ON;",
    }
    # Tests use a file too, because threads cannot share an in-memory database.
    DATABASES["default"]["TEST"] = {
        "NAME": str(DATA_DIR / "test.sqlite3"),
        "OPTIONS": {},
    }
else:
    DATABASES["default"]["ENGINE"] = "core.lib.postgresql"
    # Options of psycopg's pool. Set DATABASE_POOL=0 behind pgbouncer in transaction mode. reconnect_timeout is short
    # because the pool doubles its delay after each attempt: after an outage of minutes, it would take minutes to
    # reconnect. With 2 s, an attempt is made every second.
    DATABASES["default"]["CONN_MAX_AGE"] = 0
    DATABASES["default"]["DISABLE_SERVER_SIDE_CURSORS"] = True
    DATABASES["default"]["OPTIONS"] = {
        **DATABASES["default"].get("OPTIONS", {}),
        "pool": {"min_size": 1, "max_size": DATABASE_POOL, "timeout": 1, "reconnect_timeout": 2}
        if DATABASE_POOL
        else False,
        "connect_timeout": 5,
        "prepare_threshold": None,
    }
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

REDIS_URL = env.str("REDIS_URL", "")


def _redis(db_prefix: str) -> dict[str, object]:
    from core.lib.redis_link import connection_options

    return {
        "BACKEND": "django_redis.cache.RedisCache",
        "LOCATION": REDIS_URL,
        "KEY_PREFIX": f"opsportal:{db_prefix}",
        # While Redis is unavailable, the cache fails early and without exceptions (docs/operations.md).
        "OPTIONS": {
            "CONNECTION_POOL_KWARGS": connection_options(REDIS_URL),
            "IGNORE_EXCEPTIONS": True,
        },
    }


def _memory(name: str, entries: int) -> dict[str, object]:
    return {
        "BACKEND": "django.core.cache.backends.locmem.LocMemCache",
        "LOCATION": name,
        "OPTIONS": {"MAX_ENTRIES": entries},
    }


def _files(name: str) -> dict[str, object]:
    return {
        "BACKEND": "django.core.cache.backends.filebased.FileBasedCache",
        "LOCATION": str(DATA_DIR / "cache" / name),
        "OPTIONS": {"MAX_ENTRIES": 3_000},
    }


CACHES = {
    "default": _redis("cache") if REDIS_URL else _memory("default", 10_000),
    # Used by django-ratelimit only. It has many entries, because a limit has no effect once its counter is evicted.
    "ratelimit": _redis("ratelimit") if REDIS_URL else _memory("ratelimit", 100_000),
    # Shared by all processes, even without Redis: the cluster state of django-q2, and open circuit breakers.
    "q2": _redis("q2") if REDIS_URL else _files("q2"),
    "shared": _redis("shared") if REDIS_URL else _files("shared"),
}
RATELIMIT_USE_CACHE = "ratelimit"
# Sign-ins are allowed while Redis is unavailable, so that owners can sign in to fix it. RateLimitMiddleware
# still limits requests by address.
RATELIMIT_FAIL_OPEN = True
RATELIMIT_IP_META_KEY = "core.lib.addresses.address_of"

# --- background tasks (docs/architecture.md explains these values) ------------------------------------
Q_CLUSTER: dict[str, Any] = {
    "name": "opsportal",
    "orm": "default",
    "workers": env.int("WORKERS", 2, validate=validate.Range(min=1)),
    "queue_limit": 2,
    "bulk": 1,
    "timeout": 60,
    "retry": 240,  # This must be at least timeout * (ceil(queue_limit / workers) + 2) + 30.
    "max_attempts": 1,
    "ack_failures": True,
    "catch_up": False,
    # Successes are not stored, because scheduled jobs have a history, and other tasks update their rows.
    "save_limit": -1,
    "recycle": 500,
    "max_rss": 300_000,
    # Workers poll the queue every 0.2 s, so that urgent tasks, such as sending an alert, start soon.
    "poll": 0.2,
    "guard_cycle": 1,
    "cache": "q2",
}

# --- users -------------------------------------------------------------------------------------------
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {
        "NAME": "django.contrib.auth.password_validation.MinimumLengthValidator",
        "OPTIONS": {"min_length": 10},
    },
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
]
# These settings configure one identity provider for single sign-on. Further providers are rows in the admin
# (docs/sign-in.md).
SSO_ISSUER = env.str("SSO_ISSUER", "")
SSO_CLIENT_ID = env.str("SSO_CLIENT_ID", "")
SSO_CLIENT_SECRET = env.str("SSO_CLIENT_SECRET", "")
SSO_SAML_METADATA = env.str("SSO_SAML_METADATA", "")
SSO_NAME = env.str("SSO_NAME", "single sign-on")
SSO_EMAIL_DOMAINS: list[str] = env.list("SSO_EMAIL_DOMAINS", [])
SSO_GROUPS_CLAIM = env.str("SSO_GROUPS_CLAIM", "groups")
# Maps groups at the provider to roles: platform-team=Owner,support=Staff.
SSO_ROLES: dict[str, str] = env.dict("SSO_ROLES", {})
SSO_DEFAULT_ROLE = env.str("SSO_DEFAULT_ROLE", "")
SOCIALACCOUNT_ADAPTER = "core.accounts.services.single_sign_on.ProviderAdapter"
ACCOUNT_ADAPTER = "core.accounts.services.single_sign_on.AccountAdapter"
SOCIALACCOUNT_PROVIDERS = {
    "openid_connect": {"OAUTH_PKCE_ENABLED": True},
    "github": {"OAUTH_PKCE_ENABLED": True, "SCOPE": ["read:user", "user:email"]},
}
SOCIALACCOUNT_STORE_TOKENS = False
SOCIALACCOUNT_REQUESTS_TIMEOUT = 10
ACCOUNT_EMAIL_VERIFICATION = "none"
LOGIN_URL = "admin:login"
LOGIN_REDIRECT_URL = "/admin/system-health/"

# --- language, time -------------------------------------------------------------------------------------
LANGUAGE_CODE = "en-us"
TIME_ZONE: str = env.zone("TIME_ZONE", "UTC") or "UTC"
USE_I18N = True
FORMAT_MODULE_PATH = "opsportal.formats"  # These formats add the time zone to a time.
USE_TZ = True

# --- files -----------------------------------------------------------------------------------------------
STATIC_URL = "static/"
STATIC_ROOT = DATA_DIR / "static"


def _source_map_storage(where: str) -> dict[str, Any]:
    if where.startswith("s3://"):
        bucket, _, prefix = where.removeprefix("s3://").partition("/")
        options = {"bucket_name": bucket, "location": prefix, "file_overwrite": True}
        return {"BACKEND": "storages.backends.s3.S3Storage", "OPTIONS": options}
    if where == "database" or (not where and not IS_SQLITE):
        return {"BACKEND": "errors.source_maps.storage.DatabaseStorage"}
    options = {"location": str(DATA_DIR / "source-maps"), "allow_overwrite": True}
    return {"BACKEND": "django.core.files.storage.FileSystemStorage", "OPTIONS": options}


STATICFILES_STORAGE_BACKEND = env.str(
    "STATICFILES_STORAGE", "whitenoise.storage.CompressedManifestStaticFilesStorage"
)
# Uploaded source maps are stored in DATA_DIR/source-maps ("folder", the default with SQLite), in the database
# ("database", the default with PostgreSQL), or in a bucket (s3://bucket/prefix, with django-storages).
SOURCE_MAP_STORAGE = env.str(
    "SOURCE_MAP_STORAGE", "", validate=validate.Regexp(r"(?:folder|database|s3://[^/]+.*)?\Z")
)
SOURCE_MAP_MB_PER_APP = env.int("SOURCE_MAP_MB_PER_APP", 2_000, validate=validate.Range(min=1))
SOURCE_MAP_DAYS = env.int("SOURCE_MAP_DAYS", 90, validate=validate.Range(min=1))
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": STATICFILES_STORAGE_BACKEND},
    "source_maps": _source_map_storage(SOURCE_MAP_STORAGE),
}

# --- security ----------------------------------------------------------------------------------------------
SECURE_SSL_REDIRECT = IS_HTTPS and env.bool("SSL_REDIRECT", True)
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if TRUSTED_PROXY_COUNT else None
# These paths are not redirected to HTTPS, because probes from the internal network use no TLS.
SECURE_REDIRECT_EXEMPT = [r"^(livez|readyz|health|metrics)$"]
SECURE_HSTS_SECONDS = 31_536_000 if IS_HTTPS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = IS_HTTPS
SECURE_HSTS_PRELOAD = IS_HTTPS
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = IS_HTTPS
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
SESSION_EXPIRE_AT_BROWSER_CLOSE = env.bool("SESSION_EXPIRE_AT_BROWSER_CLOSE", False)
OTP_TOTP_ISSUER = f"opsportal ({urlsplit(BASE_URL).hostname})"
PASSWORD_RESET_TIMEOUT = 24 * 3600
SESSION_COOKIE_AGE = env.int("SESSION_COOKIE_AGE", 14 * 24 * 3600)
X_FRAME_OPTIONS = "DENY"
CSRF_FAILURE_VIEW = "opsportal.error_pages.csrf_failure"
DATA_UPLOAD_MAX_MEMORY_SIZE = 5 * 1024 * 1024
# Limits for open connections and for slow clients (docs/operations.md, "Connections").
MAX_CONNECTIONS = env.int("MAX_CONNECTIONS", 16_000, validate=validate.Range(min=16))
HEADER_TIMEOUT_SECONDS = env.int("HEADER_TIMEOUT_SECONDS", 30, validate=validate.Range(min=1))
BODY_TIMEOUT_SECONDS = env.int("BODY_TIMEOUT_SECONDS", 30, validate=validate.Range(min=1))

# --- e-mail and channels ------------------------------------------------------------------------------------
# E-mail is sent through Resend if RESEND_API_KEY is set, or else by SMTP if EMAIL_HOST is set. Otherwise, e-mail is
# written to the console.
RESEND_API_KEY = env.str("RESEND_API_KEY", "")
EMAIL_HOST = env.str("EMAIL_HOST", "")
EMAIL_PORT = env.int("EMAIL_PORT", 587 if EMAIL_HOST not in ("127.0.0.1", "localhost") else 25)
EMAIL_HOST_USER = env.str("EMAIL_HOST_USER", "")
EMAIL_HOST_PASSWORD = env.str("EMAIL_HOST_PASSWORD", "")
EMAIL_USE_TLS = env.bool("EMAIL_USE_TLS", EMAIL_HOST not in ("", "127.0.0.1", "localhost"))
EMAIL_TIMEOUT = 10
EMAIL_BACKEND = (
    "alerts.channels.resend.EmailBackend"
    if RESEND_API_KEY
    else "django.core.mail.backends.smtp.EmailBackend"
    if EMAIL_HOST
    else "django.core.mail.backends.console.EmailBackend"
)
RESEND_API_URL = env.str("RESEND_API_URL", "https://api.resend.com/")
ANYMAIL = {
    "RESEND_API_KEY": RESEND_API_KEY,
    "RESEND_API_URL": RESEND_API_URL,
    "REQUESTS_TIMEOUT": 10,
}
DEFAULT_FROM_EMAIL = SERVER_EMAIL = env.str("DEFAULT_FROM_EMAIL", "opsportal@localhost")
ALERT_EMAILS: list[str] = env.list("ALERT_EMAILS", [])
SLACK_WEBHOOK_URL = env.str("SLACK_WEBHOOK_URL", "")
PAGERDUTY_ROUTING_KEY = env.str("PAGERDUTY_ROUTING_KEY", "")
PAGERDUTY_API_URL = env.str("PAGERDUTY_API_URL", "https://events.pagerduty.com")
TWILIO_ACCOUNT_SID = env.str("TWILIO_ACCOUNT_SID", "")
TWILIO_AUTH_TOKEN = env.str("TWILIO_AUTH_TOKEN", "")
TWILIO_FROM = env.str("TWILIO_FROM", "")
TWILIO_API_URL = env.str("TWILIO_API_URL", "https://api.twilio.com")
TELEGRAM_API_URL = env.str("TELEGRAM_API_URL", "https://api.telegram.org")
ALERT_PHONES: list[str] = env.list("ALERT_PHONES", [])
# An external watchdog, pinged every minute while rules are evaluated and notifications are sent.
WATCHDOG_URL = env.str("WATCHDOG_URL", "")

# --- payments -----------------------------------------------------------------------------------------------
STRIPE_SECRET_KEY = env.str("STRIPE_SECRET_KEY", "")
STRIPE_WEBHOOK_SECRETS: list[str] = env.list("STRIPE_WEBHOOK_SECRETS", [])
STRIPE_API_BASE = env.str("STRIPE_API_BASE", "https://api.stripe.com")
PAYMENT_CURRENCIES: list[str] = env.list(
    "PAYMENT_CURRENCIES",
    ["EUR", "USD", "GBP", "CHF", "CAD", "AUD", "SEK", "NOK", "DKK", "PLN", "JPY"],
    validate=validate.ContainsOnly(CURRENCIES),
)
# These amounts replace Stripe's minimum charges in core.lib.currencies.
PAYMENT_MINIMUMS: dict[str, int] = env.dict("PAYMENT_MINIMUMS", {}, subcast_values=int)
# Tickets are held this long for a payment in processing. A SEPA debit takes up to 14 business days:
# https://docs.stripe.com/payments/sepa-debit
PROCESSING_HOLD_DAYS = env.int("PROCESSING_HOLD_DAYS", 21, validate=validate.Range(min=0, max=60))
# This must exceed the 30 days for which Stripe keeps events; otherwise, deleted events would be fetched again.
WEBHOOK_EVENT_DAYS = env.int("WEBHOOK_EVENT_DAYS", 180, validate=validate.Range(min=32))
# A request that repeats an idempotency key within this time, at most 72 hours, gets the response to the first one.
PAYMENT_KEY_HOURS = env.int("PAYMENT_KEY_HOURS", 24)

# --- logs and self-monitoring ---------------------------------------------------------------------------------
LOG_LEVEL = env.str(
    "LOG_LEVEL", "INFO", validate=validate.OneOf(["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"])
)
# Either "json", "text", or empty for text on terminals and JSON otherwise.
LOG_FORMAT = env.str("LOG_FORMAT", "")
LOGGING_CONFIG = None  # PortalConfig.ready calls core.lib.logs.configure instead.
# Record the portal's own requests and errors under the app "opsportal".
SELF_MONITORING = env.bool("SELF_MONITORING", True)
SENTRY_DSN = env.str("SENTRY_DSN", "")
SENTRY_TRACES_SAMPLE_RATE = env.float("SENTRY_TRACES_SAMPLE_RATE", 0.1)
BETTER_STACK_TOKEN = env.str("BETTER_STACK_TOKEN", "")
BETTER_STACK_URL = env.str("BETTER_STACK_URL", "https://in.logs.betterstack.com")

env.seal()
