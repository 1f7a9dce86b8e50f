"""What the portal itself needs: required first, then what it can do without for a while."""

import secrets
import shutil
import smtplib
from datetime import timedelta

from django.conf import settings
from django.core.cache import caches
from django.db import connection
from django.db.utils import load_backend
from django.utils import timezone

from health.backups.verifying import STALE_AFTER
from health.checks import Degraded, NotConfigured, health_check
from health.models import Backup, Monitor
from opsportal.jobs.queries import queue_state
from opsportal.lib import outbound


@health_check(
    "database", summary="Database", critical=True, timeout=2.0, fail_after=1, recover_after=1
)
def database() -> str:
    """A connection of its own, past the pool: a pool waits and retries, and this must tell at once."""
    options = {**connection.settings_dict["OPTIONS"]}
    if connection.vendor == "postgresql":
        options |= {"pool": False, "connect_timeout": 2}
    else:
        options |= {"timeout": 1}
    backend = load_backend(connection.settings_dict["ENGINE"])
    own = backend.DatabaseWrapper({**connection.settings_dict, "OPTIONS": options}, "health")
    try:
        with own.cursor() as cursor:
            cursor.execute("SELECT 1")
    finally:
        own.close()
    return f"{connection.display_name} answers"


@health_check("cache", summary="Cache (Redis)", timeout=2.0)
def cache() -> str:
    """Optional: without Redis the portal counts and caches in each process."""
    if not settings.REDIS_URL:
        raise NotConfigured("no Redis: each process caches for itself")
    # Past django-redis' IGNORE_EXCEPTIONS, which would turn a dead server into an empty answer.
    client = caches["default"].client.get_client(write=True)  # type: ignore[attr-defined]
    key = f"opsportal:health:{secrets.token_hex(4)}"
    client.set(key, b"1", ex=10)
    if client.get(key) != b"1":
        raise RuntimeError("Redis lost what was just written")
    client.delete(key)
    return "Redis answers"


# Degraded: a tick is late or work waits; beyond the second bound nobody works.
TICK_LATE, TICK_GONE = 150, 300  # seconds
WAITS_LONG, WAITS_TOO_LONG = 60, 300  # seconds


@health_check("queue", summary="Task queue", critical=True, timeout=3.0)
def queue() -> str:
    state = queue_state(timezone.now())
    if not state.nodes and state.tick_age_seconds is None:
        raise Degraded("no worker has reported yet; start one with make run")
    tick = state.tick_age_seconds if state.tick_age_seconds is not None else TICK_GONE + 1
    waiting = f"{state.backlog} waiting, the oldest for {state.oldest_seconds:.0f} s"
    if not state.nodes or tick > TICK_GONE:
        raise RuntimeError(f"no worker works: last tick {tick:.0f} s ago; {waiting}")
    if state.oldest_seconds > WAITS_TOO_LONG:
        raise RuntimeError(f"work does not get done: {waiting}")
    if tick > TICK_LATE or state.oldest_seconds > WAITS_LONG:
        raise Degraded(f"slow: last tick {tick:.0f} s ago; {waiting}")
    return f"{len(state.nodes)} node{'s' * (len(state.nodes) != 1)}, {waiting}"


# --- optional: without these the portal is degraded -----------------------------------------------------

# One attempt and no breaker: asking whether it is back is the whole point.
_stripe = outbound.Client("stripe-health", timeout=3, connect=2, attempts=1, breaker=False)
_resend = outbound.Client("resend-health", timeout=3, connect=2, attempts=1, breaker=False)


def _held_back(name: str) -> None:
    """Raises Degraded while the breaker of that dependency keeps our calls back."""
    for state in outbound.breaker_states():
        if state.name == name and state.state == "open":
            raise Degraded("it answers, but after recent failures our calls are still held back")


@health_check("stripe", summary="Stripe", timeout=4.0)
def stripe() -> str:
    if not settings.STRIPE_SECRET_KEY:
        raise NotConfigured("no STRIPE_SECRET_KEY")
    # Public, and made for this: https://docs.stripe.com/upgrades (api.stripe.com/healthcheck)
    response = _stripe.request("GET", f"{settings.STRIPE_API_BASE}/healthcheck")
    if response.status_code != 200:
        raise RuntimeError(f"Stripe answered HTTP {response.status_code}")
    _held_back("stripe")
    return "Stripe answers"


@health_check("resend", summary="Resend", timeout=4.0)
def resend() -> str:
    if not settings.RESEND_API_KEY:
        raise NotConfigured("no RESEND_API_KEY")
    response = _resend.request(
        "GET",
        f"{settings.RESEND_API_URL.rstrip('/')}/domains",
        headers={"Authorization": f"Bearer {settings.RESEND_API_KEY}"},
    )
    if "restricted_api_key" in response.text:
        return "Resend answers; the key may only send"
    if response.status_code != 200:
        raise RuntimeError(f"Resend answered HTTP {response.status_code}")
    domains = response.json().get("data") or []
    unverified = [str(d.get("name")) for d in domains if d.get("status") != "verified"]
    if domains and len(unverified) == len(domains):
        raise Degraded(f"no verified domain: {', '.join(unverified)[:200]}")
    return f"Resend answers; {len(domains) - len(unverified)} verified domains"


@health_check("mail", summary="Mail server", timeout=5.0)
def mail() -> str:
    if not settings.EMAIL_HOST or settings.RESEND_API_KEY:
        raise NotConfigured("no EMAIL_HOST")
    with smtplib.SMTP(settings.EMAIL_HOST, settings.EMAIL_PORT, timeout=3) as server:
        code, text = server.noop()
    if code != 250:
        raise RuntimeError(f"the mail server answered {code} {text.decode(errors='replace')[:100]}")
    return "the mail server answers"


DISK_LOW, DISK_FULL = 0.10, 0.03  # free, as a share


@health_check("disk", summary="Disk", timeout=2.0)
def disk() -> str:
    usage = shutil.disk_usage(settings.DATA_DIR)
    free = usage.free / usage.total
    message = f"{usage.free / 1e9:.1f} GB free ({free:.0%})"
    if free < DISK_FULL:
        raise RuntimeError(message)
    if free < DISK_LOW:
        raise Degraded(message)
    return message


CERTIFICATE_WARNING = timedelta(days=14)


@health_check("certificates", summary="Certificates of monitored addresses", timeout=2.0)
def certificates() -> str:
    """What the hourly task found; an expired one also fails its own monitor."""
    now = timezone.now()
    known = Monitor.objects.filter(is_enabled=True, certificate_until__isnull=False)
    soonest = known.order_by("certificate_until", "pk").first()
    if soonest is None or soonest.certificate_until is None:
        raise NotConfigured("no https monitor yet")
    left = soonest.certificate_until - now
    when = f"{soonest.title}: {soonest.certificate_until:%Y-%m-%d}"
    if left <= timedelta():
        raise RuntimeError(f"expired: {when}")
    if left < CERTIFICATE_WARNING:
        raise Degraded(f"expires in {left.days} days: {when}")
    return f"{known.count()} watched, the next to expire is {when}"


VERIFIED_WITHIN = timedelta(days=8)  # weekly, and a day


@health_check("backups", summary="Backups", timeout=2.0)
def backups() -> str:
    newest = Backup.objects.newest_first().first()
    done = Backup.objects.done().newest_first().first()
    if newest is None or done is None:
        if newest is not None and newest.error:
            raise RuntimeError(f"the first backup failed: {newest.error[:200]}")
        raise NotConfigured("none yet: the first one is taken at 00:30, or by manage.py backup")
    age = timezone.now() - done.started_at
    hours = f"{age.total_seconds() / 3600:.0f} h old"
    if done.is_good is False:
        raise RuntimeError(f"the latest backup cannot be relied on: {done.finding[:200]}")
    if settings.BACKUP_DAILY and age > STALE_AFTER:
        raise RuntimeError(f"stale: the newest is {hours}. {newest.error[:200]}".strip())
    verified = Backup.objects.filter(is_good=True).newest_first().first()
    if verified is None or verified.verified_at is None:
        return f"the newest is {hours}; none has been verified yet (Sundays at 01:00)"
    if timezone.now() - verified.verified_at > VERIFIED_WITHIN:
        raise Degraded(
            f"the newest is {hours}, but none was verified since {verified.verified_at:%d %b}"
        )
    return f"the newest is {hours}; restored and counted {verified.verified_at:%d %b}"
