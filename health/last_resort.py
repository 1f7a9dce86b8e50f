"""When the database is down the outbox is down with it: then each web process's host tells people directly, once.

Channels come from the settings, because their rows cannot be read. What was missed is written down afterwards.
"""

import logging
import os
from datetime import datetime, timedelta
from pathlib import Path

import msgspec
from django.conf import settings
from django.db import transaction
from django.utils import timezone

from alerts.channels import TRANSPORTS, DeliveryFailed, Message, Transport
from alerts.rules import Severity
from alerts.services import clear_problem, report_problem
from health import checks, runner
from health.models import Component, Incident, IncidentState, IncidentUpdate
from health.services.checks import sync_components
from health.services.recording import record_results
from health.services.turning import ALERT_TYPES, problem_key
from health.verdict import Result, Status
from opsportal.lib import background

log = logging.getLogger(__name__)

DATABASE = "database"
FAILURES_NEEDED = 2
_failures = 0


class Outage(msgspec.Struct):
    since: datetime
    message: str


@background.chore("health.last_resort", seconds=15)
def watch() -> None:
    """Ask the database; tell people when it stays away, and catch up when it is back."""
    global _failures
    if DATABASE not in checks.registry:
        return
    now = timezone.now()
    [(_, result)] = runner.run([checks.registry.get(DATABASE)], now=now)
    if result.status is Status.UNHEALTHY:
        _failures += 1
        if _failures >= FAILURES_NEEDED:
            _begin(Outage(now - timedelta(seconds=15), result.message))
        return
    _failures = 0
    if _file().exists():
        _end(now)


def _file() -> Path:
    return Path(settings.DATA_DIR) / "database_down.json"


def _begin(outage: Outage) -> None:
    """Only who makes the file tells: other processes of this host find it there."""
    try:
        handle = os.open(_file(), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return
    with open(handle, "wb") as file:
        file.write(msgspec.json.encode(outage))
    log.error("database down", extra={"reason": outage.message})
    tell(
        Message(
            kind="triggered",
            title=f"{settings.INSTANCE}: the portal's database is down",
            text=f"{outage.message}\nUntil it is back the portal stores no errors and sends no other alerts.",
            severity=Severity.CRITICAL,
            source="health",
            url=f"{settings.BASE_URL}/health",
            at=timezone.now(),
            started_at=outage.since,
            thread="database-down",
            component=DATABASE,
        )
    )


def tell(message: Message) -> list[str]:
    """Hand the message to every channel that the settings configure. Returns which took it."""
    told = []
    for transport in TRANSPORTS.values():
        config = config_of(transport)
        if config is None:
            continue
        groups = [transport.recipients(config)]
        if transport.sends_individually:
            groups = [[address] for address in groups[0]]
        for recipients in groups:
            key = f"last-resort:{message.at:%Y%m%dT%H%M%S}:{transport.kind}:{','.join(recipients)}"
            addressed = msgspec.structs.replace(message, recipients=recipients)
            try:
                transport.send(addressed, config, idempotency_key=key[:200])
            except (DeliveryFailed, OSError) as error:
                log.error(
                    "last resort failed", extra={"channel": transport.kind, "error": str(error)}
                )
            else:
                told.append(transport.kind)
    return told


def config_of(transport: Transport) -> dict[str, str] | None:
    """What the settings say; None when they do not configure this kind."""
    config: dict[str, str] = {}
    for field in transport.fields:
        value = getattr(settings, field.setting, "") if field.setting else ""
        text = ",".join(value) if isinstance(value, list) else str(value or "")
        config[field.name] = text or field.default
        if field.is_required and not config[field.name]:
            return None
    return config if any(field.setting for field in transport.fields) else None


def _end(now: datetime) -> None:
    """Write down what could not be: the minutes as down, an incident, and an alert that is over (which tells so)."""
    taken = _file().with_suffix(f".{os.getpid()}")
    try:
        _file().rename(taken)  # whoever renames it catches up
    except FileNotFoundError:
        return
    try:
        outage = msgspec.json.decode(taken.read_bytes(), type=Outage)
        catch_up(outage, now=now)
    except msgspec.MsgspecError:
        log.warning("the note about the database's outage is not readable")
    except Exception:
        taken.rename(_file())  # it is not back after all, or only half: again in 15 seconds
        raise
    taken.unlink()


@transaction.atomic
def catch_up(outage: Outage, *, now: datetime) -> None:
    component = sync_components()[DATABASE]
    minutes = min(int((now - outage.since) / timedelta(minutes=1)) + 1, 24 * 60)
    missed = [
        Result(Status.UNHEALTHY, outage.since + timedelta(minutes=n), 0.0, outage.message)
        for n in range(minutes)
        if outage.since + timedelta(minutes=n) < now
    ]
    record_results([(component, [*missed, Result(Status.HEALTHY, now)])], now=now)
    _note(component, outage, now)
    key = problem_key(component)
    report_problem(
        key=key,
        alert_type=ALERT_TYPES[DATABASE],
        title=f"{component.title} was down",
        message=outage.message,
        severity=Severity.CRITICAL,
        source="health",
        now=outage.since,
    )
    clear_problem(key=key, now=now)


def _note(component: Component, outage: Outage, now: datetime) -> None:
    incident = Incident.objects.create(
        title=f"{component.title} was down",
        component=component,
        state=IncidentState.RESOLVED,
        is_major=True,
        is_automatic=True,
        is_public=component.is_public,
        started_at=outage.since,
        resolved_at=now,
    )
    IncidentUpdate.objects.create(
        incident=incident,
        at=now,
        state=IncidentState.RESOLVED,
        text="The database did not answer. What was recorded before and after is complete.",
    )
