"""Define the checks of the portal's dependencies, with the critical checks first."""

import secrets
import shutil
import smtplib
from datetime import timedelta

from django.conf import settings
from django.core.cache import caches
from django.db import connection
from django.db.utils import load_backend
from django.utils import timezone

from alerts.queries import Backlog, list_backlogs, list_unrouted_channels
from core.jobs.queries import queue_state
from core.lib import formats, outbound
from core.lib.outbound.breaker import State
from health.backups.verification import STALE_AFTER
from health.extension_points import OWN_NETWORK, Degraded, NotConfigured, health_check
from health.models import Backup


@health_check(
    "database", summary="Database", critical=True, timeout=2.0, fail_after=1, recover_after=1
)
def database() -> str:
    """Check the database with a separate connection, because the pool would retry instead of failing quickly."""
    options = {**connection.settings_dict["OPTIONS"]}
    if connection.vendor == "postgresql":
        options |= {"pool": False, "connect_timeout": 2}
    else:
        options |= {"timeout": 1}
    backend = load_backend(connection.settings_dict["ENGINE"])
    separate = backend.DatabaseWrapper({**connection.settings_dict, "OPTIONS": options}, "health")
    try:
        with separate.cursor() as cursor:
            cursor.execute("SELECT 1")
    finally:
        separate.close()
    return f"{connection.display_name} responds"


@health_check("cache", summary="Cache (Redis)", timeout=2.0)
def cache() -> str:
    """Check Redis, which is optional.

    Without Redis, each process has its own caches and counters.
    """
    if not settings.REDIS_URL:
        raise NotConfigured("REDIS_URL is not set; each process uses its own cache")
    # This client reports connection errors. The cache turns them into cache misses (IGNORE_EXCEPTIONS).
    client = caches["default"].client.get_client(write=True)  # type: ignore[attr-defined]
    key = f"opsportal:health:{secrets.token_hex(4)}"
    client.set(key, b"1", ex=10)
    if client.get(key) != b"1":
        raise RuntimeError("Redis did not return the value just written")
    client.delete(key)
    return "Redis responds"


# The queue is degraded if the last tick is older than the first value, and down if it is older than the second.
TICK_LATE_SECONDS, TICK_MISSING_SECONDS = 150, 300
LONG_WAIT_SECONDS, MAX_WAIT_SECONDS = 60, 300
# A due job is queued within 5 s. If it has not started within this time, no worker is free.
JOB_LATE_SECONDS = 30
MESSAGE_LATE_SECONDS = 60


@health_check("queue", summary="Task queue", critical=True, timeout=3.0)
def queue() -> str:
    state = queue_state(timezone.now())
    if not state.nodes and state.tick_age_seconds is None:
        raise Degraded("no worker has started yet; start one with `make run`")
    tick = (
        state.tick_age_seconds if state.tick_age_seconds is not None else TICK_MISSING_SECONDS + 1
    )
    waiting = f"{state.backlog} waiting, the oldest task for {state.oldest_seconds:.0f} s"
    if not state.nodes or tick > TICK_MISSING_SECONDS:
        raise RuntimeError(f"no worker is running: the last tick was {tick:.0f} s ago; {waiting}")
    if state.oldest_seconds > MAX_WAIT_SECONDS:
        raise RuntimeError(f"the queue is not being processed: {waiting}")
    late = f"{state.late_job} should have started {state.late_seconds:.0f} s ago"
    if state.late_seconds > MAX_WAIT_SECONDS:
        raise RuntimeError(f"scheduled jobs do not start: {late}; {waiting}")
    if state.late_seconds > JOB_LATE_SECONDS:
        raise Degraded(f"scheduled jobs start late: {late}; {waiting}")
    if tick > TICK_LATE_SECONDS or state.oldest_seconds > LONG_WAIT_SECONDS:
        raise Degraded(f"slow: the last tick was {tick:.0f} s ago; {waiting}")
    return f"{len(state.nodes)} node{'s' * (len(state.nodes) != 1)}, {waiting}"


@health_check("notifications", summary="Notifications", timeout=2.0)
def notifications() -> str:
    """Raise Degraded if a channel fails or messages are late.

    Raises RuntimeError if messages of a working channel wait longer than MAX_WAIT_SECONDS.
    """
    backlogs = list_backlogs(now=timezone.now())
    working = [backlog for backlog in backlogs if backlog.is_working]
    late = [backlog for backlog in working if backlog.oldest_seconds > MESSAGE_LATE_SECONDS]
    broken = [
        backlog
        for backlog in backlogs
        if not backlog.is_working
        and (backlog.is_late or backlog.channel.failing_since or backlog.channel.disabled_reason)
    ]
    if not working and not broken:
        raise NotConfigured("no channel is configured; add one under Alerts, Channels")
    text = "; ".join(map(_describe_backlog, [*late, *broken]))
    if any(backlog.oldest_seconds > MAX_WAIT_SECONDS for backlog in late):
        raise RuntimeError(f"messages are not delivered: {text}")
    if text:
        raise Degraded(text)
    waiting = sum(backlog.waiting_count for backlog in working)
    result = f"{len(working)} channel{'s' * (len(working) != 1)}, {waiting} waiting"
    unrouted = [channel.name for channel in list_unrouted_channels()]
    if unrouted:
        result += f"; no alert type is routed to {', '.join(unrouted)}"
    return result


def _describe_backlog(backlog: Backlog) -> str:
    """Describe a channel's backlog, such as "Ops Slack: 3 messages wait, the oldest for 4 min (500 no)"."""
    channel = backlog.channel
    count = backlog.waiting_count + backlog.held_count
    parts = []
    if count:
        parts.append(f"{count} message{' waits' if count == 1 else 's wait'}")
    if backlog.waiting_count:
        parts.append(f"the oldest for {formats.span(backlog.oldest_seconds)}")
    reason = channel.disabled_reason or channel.last_error
    if not count:
        parts.append("disabled" if not channel.is_enabled else "failing")
    return f"{channel.name}: {', '.join(parts)}" + (f" ({reason[:200]})" if reason else "")


# --- optional: if these fail, the portal is degraded -------------------------------------------------------

# The check must see each failure and each recovery, so it has no retries and no circuit breaker.
_stripe = outbound.Client("stripe-health", timeout=3, connect=2, attempts=1, breaker=False)
_resend = outbound.Client("resend-health", timeout=3, connect=2, attempts=1, breaker=False)


def _require_closed_breaker(name: str) -> None:
    """Raise Degraded while the dependency's circuit breaker is open."""
    for state in outbound.breaker_states():
        if state.name == name and state.state is State.OPEN:
            raise Degraded(
                "responding, but the circuit breaker is still open after recent failures"
            )


@health_check("stripe", summary="Stripe", timeout=4.0, depends_on=(OWN_NETWORK,))
def stripe() -> str:
    if not settings.STRIPE_SECRET_KEY:
        raise NotConfigured("STRIPE_SECRET_KEY is not set")
    # Stripe offers this public endpoint for connectivity tests. It needs no key.
    response = _stripe.request("GET", f"{settings.STRIPE_API_BASE}/healthcheck")
    if response.status_code != 200:
        raise RuntimeError(f"Stripe returned HTTP {response.status_code}")
    _require_closed_breaker("stripe")
    return "Stripe responds"


@health_check("resend", summary="Resend", timeout=4.0, depends_on=(OWN_NETWORK,))
def resend() -> str:
    if not settings.RESEND_API_KEY:
        raise NotConfigured("RESEND_API_KEY is not set")
    response = _resend.request(
        "GET",
        f"{settings.RESEND_API_URL.rstrip('/')}/domains",
        headers={"Authorization": f"Bearer {settings.RESEND_API_KEY}"},
    )
    if "restricted_api_key" in response.text:
        return "Resend responds; the key is limited to sending"
    if response.status_code != 200:
        raise RuntimeError(f"Resend returned HTTP {response.status_code}")
    domains = response.json().get("data") or []
    unverified = [str(d.get("name")) for d in domains if d.get("status") != "verified"]
    if domains and len(unverified) == len(domains):
        raise Degraded(f"no verified domain: {', '.join(unverified)[:200]}")
    return f"Resend responds; {len(domains) - len(unverified)} verified domains"


@health_check("mail", summary="Mail server", timeout=5.0)
def mail() -> str:
    if not settings.EMAIL_HOST or settings.RESEND_API_KEY:
        raise NotConfigured("EMAIL_HOST is not set, or Resend is used instead")
    with smtplib.SMTP(settings.EMAIL_HOST, settings.EMAIL_PORT, timeout=3) as server:
        code, text = server.noop()
    if code != 250:
        raise RuntimeError(f"the mail server returned {code} {text.decode(errors='replace')[:100]}")
    return "the mail server responds"


# The disk is degraded if less than the first share is free, and down if less than the second is free.
DISK_LOW, DISK_FULL = 0.10, 0.03


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


MAX_VERIFICATION_AGE = timedelta(days=8)  # A backup is verified every week.


@health_check("backups", summary="Backups", timeout=2.0)
def backups() -> str:
    newest = Backup.objects.newest_first().first()
    done = Backup.objects.done().newest_first().first()
    if newest is None or done is None:
        if newest is not None and newest.error:
            raise RuntimeError(f"the first backup failed: {newest.error[:200]}")
        raise NotConfigured(
            "no backup exists yet; the first is created at 00:30, or by ./manage.py backup"
        )
    age = timezone.now() - done.started_at
    hours = f"{age.total_seconds() / 3600:.0f} h old"
    if done.is_good is False:
        raise RuntimeError(f"the latest backup failed verification: {done.finding[:200]}")
    if settings.BACKUP_DAILY and age > STALE_AFTER:
        raise RuntimeError(f"stale: the newest backup is {hours}. {newest.error[:200]}".strip())
    verified = Backup.objects.filter(is_good=True).newest_first().first()
    if verified is None or verified.verified_at is None:
        return f"the newest backup is {hours}; no backup has been verified yet (this happens on Sundays at 01:00)"
    if timezone.now() - verified.verified_at > MAX_VERIFICATION_AGE:
        raise Degraded(
            f"the newest backup is {hours}, but no backup has been verified since {verified.verified_at:%d %b}"
        )
    return f"the newest backup is {hours}; the last successful test restore was on {verified.verified_at:%d %b}"
