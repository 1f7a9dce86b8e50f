"""Report and record outages of the database itself.

While the database is unavailable, alerts cannot be stored in the outbox. One web process per host therefore sends a
message directly to all channels that the settings configure, because the rows of channels are unavailable too. When the
database is available again, the process records the missing results, an incident and an alert.
"""

import logging
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import msgspec
from django.conf import settings
from django.db import transaction
from django.utils import timezone

from alerts.channels import TRANSPORTS, DeliveryFailed, Message, Transport
from alerts.channels.base import MessageKind
from alerts.extension_points import Severity
from alerts.services import clear_problem, report_problem
from core.lib import background
from health.caches.health import DATABASE_CHECK
from health.checking import runner
from health.extension_points import health_checks
from health.queries.components import headline
from health.services import incidents
from health.services.checks import sync_components
from health.services.results import record_results
from health.services.status_changes import ALERT_TYPES
from health.verdict import Result, Status

log = logging.getLogger(__name__)

INTERVAL_SECONDS = 15
FAILURES_NEEDED = 2
MAX_RECORDED_MINUTES = 24 * 60
_failures = 0


class Outage(msgspec.Struct):
    since: datetime
    message: str


@dataclass(frozen=True)
class Direct:
    """A message to one channel or recipient that the settings configure."""

    transport: Transport
    config: dict[str, str]
    message: Message
    key: str


_unsent: list[Direct] = []


@background.chore("health.database_outage", seconds=INTERVAL_SECONDS)
def watch() -> None:
    """Check the database. Send a message if it stays down, and record the outage when it is up again.

    The function runs regularly in each web process.
    """
    global _failures
    if DATABASE_CHECK not in health_checks:
        return
    now = timezone.now()
    [(_, result)] = runner.run([health_checks.get(DATABASE_CHECK)], now=now)
    if result.status is Status.UNHEALTHY:
        _failures += 1
        if _failures >= FAILURES_NEEDED:
            _begin(Outage(now - timedelta(seconds=INTERVAL_SECONDS), result.message))
        return
    _failures = 0
    _unsent.clear()
    if outage_path().exists():
        _end(now)


def outage_path() -> Path:
    return Path(settings.DATA_DIR) / "database_down.json"


def _begin(outage: Outage) -> None:
    """Create the file about the outage and send the message.

    If the file exists, another process on this host has sent the message. In this case, only retry the channels that
    have not accepted a message of this process.
    """
    try:
        handle = os.open(outage_path(), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        send_unsent()
        return
    with open(handle, "wb") as file:
        file.write(msgspec.json.encode(outage))
    log.error("the database is down", extra={"reason": outage.message})
    send_directly(
        Message(
            kind=MessageKind.TRIGGERED,
            title=f"{settings.INSTANCE}: the portal's database is down",
            text=f"{outage.message}\nUntil the database is available again, the portal stores no errors and sends no"
            " other alerts.",
            severity=Severity.CRITICAL,
            source="health",
            url=f"{settings.BASE_URL}/health",
            at=timezone.now(),
            started_at=outage.since,
            thread="database-down",
            component=DATABASE_CHECK,
        )
    )


def send_directly(message: Message) -> None:
    """Send the message to all channels that the settings configure, at the same time.

    Channels that do not accept the message, but do not refuse it permanently either, get it again after each further
    check, until the database is available.
    """
    _unsent[:] = _address(message)
    send_unsent()


def send_unsent() -> None:
    """Send the message in parallel to each channel that has not accepted it yet. A slow channel delays no other."""
    if not _unsent:
        return
    with ThreadPoolExecutor(len(_unsent)) as executor:
        is_done = list(executor.map(_send, list(_unsent)))
    _unsent[:] = [one for one, done in zip(_unsent, is_done, strict=True) if not done]


def _address(message: Message) -> list[Direct]:
    found = []
    for transport in TRANSPORTS.values():
        config = config_from_settings(transport)
        if config is None:
            continue
        groups = [transport.recipients(config)]
        if transport.sends_individually:
            groups = [[address] for address in groups[0]]
        for recipients in groups:
            key = f"last-resort:{message.at:%Y%m%dT%H%M%S}:{transport.kind}:{','.join(recipients)}"
            addressed = msgspec.structs.replace(message, recipients=recipients)
            found.append(Direct(transport, config, addressed, key[:200]))
    return found


def _send(direct: Direct) -> bool:
    """Send the message.

    Return True if the channel accepted it or refused it permanently, so that no retry is needed.
    """
    try:
        direct.transport.send(direct.message, direct.config, idempotency_key=direct.key)
    except (DeliveryFailed, OSError) as error:
        log.error(
            "the alert about the database could not be sent",
            extra={"channel": direct.transport.kind, "error": str(error)},
        )
        return isinstance(error, DeliveryFailed) and (error.is_permanent or error.is_gone)
    return True


def config_from_settings(transport: Transport) -> dict[str, str] | None:
    """Return the configuration of a channel from the settings, or None if they do not configure the channel."""
    config: dict[str, str] = {}
    for field in transport.fields:
        value = getattr(settings, field.setting, "") if field.setting else ""
        text = ",".join(value) if isinstance(value, list) else str(value or "")
        config[field.name] = text or field.default
        if field.is_required and not config[field.name]:
            return None
    return config if any(field.setting for field in transport.fields) else None


def _end(now: datetime) -> None:
    """Claim the file about the outage by renaming it, and record the outage.

    Do nothing if another process on this host has claimed the file.
    """
    claimed = outage_path().with_suffix(f".{os.getpid()}")
    try:
        outage_path().rename(claimed)
    except FileNotFoundError:
        return
    try:
        outage = msgspec.json.decode(claimed.read_bytes(), type=Outage)
        record_outage(outage, now=now)
    except msgspec.MsgspecError:
        log.warning("the file about the database outage is unreadable")
    except Exception:
        # The database may be unavailable again. Restore the file, so that a later check records the outage.
        claimed.rename(outage_path())
        raise
    claimed.unlink()


@transaction.atomic
def record_outage(outage: Outage, *, now: datetime) -> None:
    """Record a resolved incident, a resolved alert that announces the recovery, and a failed result per minute.

    At most MAX_RECORDED_MINUTES results are recorded.
    """
    component = sync_components()[DATABASE_CHECK]
    minutes = min(int((now - outage.since) / timedelta(minutes=1)) + 1, MAX_RECORDED_MINUTES)
    missed = [
        Result(Status.UNHEALTHY, outage.since + timedelta(minutes=n), 0.0, outage.message)
        for n in range(minutes)
        if outage.since + timedelta(minutes=n) < now
    ]
    record_results([(component, [*missed, Result(Status.HEALTHY, now)])], now=now)
    incidents.record_past_outage(
        component,
        started_at=outage.since,
        resolved_at=now,
        text="The database was unavailable. Data recorded before and after the outage is complete.",
    )
    report_problem(
        key=component.alert_key,
        alert_type=ALERT_TYPES[DATABASE_CHECK],
        title=headline(component.title, Status.UNHEALTHY),
        message=outage.message,
        severity=Severity.CRITICAL,
        source="health",
        now=outage.since,
    )
    clear_problem(key=component.alert_key, now=now)
