"""An alert's way: opened, reopened, updated, raised, resolved. Each function is one step and says whether it was taken.

Runs inside the caller's transaction; every step writes its timeline line and its outbox rows there too.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.db import IntegrityError, transaction
from django.db.models import Case, F, Max, Value, When

from alerts.evaluation import SLOT
from alerts.models import AlertEvent, AlertRule, AlertState, SystemAlert
from alerts.services import notifications
from alerts.services.defaults import type_for
from alerts.services.transitions import move, note, set_fields

Kind = AlertEvent.Kind

FLAPPING_TRANSITIONS = 4
FLAPPING_WINDOW = timedelta(minutes=30)


@dataclass(frozen=True)
class Problem:
    """What is wrong now, as a rule or a report sees it."""

    key: str
    alert_type: str
    title: str
    message: str
    severity: str
    source: str = ""
    rule: AlertRule | None = None
    value: float | None = None
    threshold: float | None = None
    unit: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    metadata: Mapping[str, object] = field(default_factory=dict)
    references: Mapping[str, object] = field(default_factory=dict)
    recent: str = ""

    def facts(self) -> dict[str, object]:
        """What every occurrence brings anew."""
        return {
            "title": self.title[:200],
            "message": self.message,
            "value": self.value,
            "threshold": self.threshold,
            "metadata": dict(self.metadata),
            "references": dict(self.references),
            "recent": self.recent,
        }


def begin(problem: Problem, *, now: datetime, is_pending: bool = False) -> SystemAlert | None:
    """A new alert for a problem that has none; None when another worker just made it."""
    episode = SystemAlert.objects.filter(key=problem.key).aggregate(last=Max("episode"))["last"]
    alert = SystemAlert(
        key=problem.key,
        alert_type=problem.alert_type,
        severity=problem.severity,
        source=problem.source,
        rule=problem.rule,
        unit=problem.unit,
        labels=dict(problem.labels),
        state=AlertState.PENDING if is_pending else AlertState.OPEN,
        episode=(episode or 0) + 1,
        created_at=now,
        opened_at=now,
        last_seen_at=now,
        evaluated_at=now,
        **problem.facts(),
    )
    try:
        with transaction.atomic():
            alert.save(force_insert=True)
    except IntegrityError:
        return None
    if not is_pending:
        _opened(alert, Kind.OPENED, now=now)
    return alert


def _opening(alert: SystemAlert, problem: Problem, now: datetime) -> dict[str, object]:
    return problem.facts() | {
        "state": AlertState.OPEN,
        "severity": problem.severity,
        "opened_at": now,
        "last_seen_at": now,
        "evaluated_at": now,
        "occurrence_count": alert.occurrence_count + 1,
    }


def open_pending(alert: SystemAlert, problem: Problem, *, now: datetime) -> bool:
    """Its breaches have amounted to an alert."""
    if not move(alert, **_opening(alert, problem, now)):
        return False
    _opened(alert, Kind.OPENED, now=now)
    return True


def reopen(alert: SystemAlert, problem: Problem, *, now: datetime) -> bool:
    """The problem is back so soon that it is the same one."""
    fields = _opening(alert, problem, now) | {
        "resolved_at": None,
        "resolved_by": None,
        "clear_since": None,
        "acknowledged_at": None,
        "acknowledged_by": None,
        "dismissed_at": None,
        "dismissed_by": None,
        "dismissed_until": None,
        "read_at": None,
        "read_by": None,
        "is_announced": False,
        "reopen_count": alert.reopen_count + 1,
    }
    try:
        with (
            transaction.atomic()
        ):  # another worker may have begun a new alert with the key meanwhile
            if not move(alert, **fields):
                return False
    except IntegrityError:
        return False
    is_flapping = _transitions(alert, now) + 1 >= FLAPPING_TRANSITIONS
    _opened(alert, Kind.REOPENED, now=now, becomes_flapping=is_flapping)
    return True


def add_occurrences(seen: Sequence[tuple[SystemAlert, Problem]], *, now: datetime) -> None:
    """One more occurrence of each: many problems of one rule in few statements.

    It leaves state and version alone, so it is in nobody's way and loses nothing to whoever moves an alert meanwhile.
    """
    alerts = SystemAlert.objects.owning_their_key()
    in_order = sorted(seen, key=lambda pair: pair[0].pk)  # nobody waits for another in a circle
    alerts.filter(pk__in=[alert.pk for alert, _ in in_order]).update(
        last_seen_at=now,
        clear_since=None,
        occurrence_count=F("occurrence_count") + 1,
        evaluated_at=Case(
            When(evaluated_at__gt=now - SLOT, then=F("evaluated_at")), default=Value(now)
        ),
    )
    for alert, problem in in_order:
        facts = problem.facts()
        changed = {name: facts[name] for name in facts if facts[name] != getattr(alert, name)}
        if changed:
            alerts.filter(pk=alert.pk).update(**changed)


def again(alert: SystemAlert, problem: Problem, *, now: datetime) -> bool:
    """One more occurrence of what was reported already."""
    fields: dict[str, object] = problem.facts() | {
        "last_seen_at": now,
        "evaluated_at": now,
        "clear_since": None,
        "occurrence_count": F("occurrence_count") + 1,
    }
    count = alert.occurrence_count + 1
    moved = move(alert, **fields)
    if moved:
        alert.occurrence_count = count
    return moved


def worsen(alert: SystemAlert, problem: Problem, *, now: datetime) -> bool:
    """One more, and worse: an acknowledgement given to less is lifted, and people are told."""
    was_acknowledged = alert.state == AlertState.ACKNOWLEDGED
    fields = problem.facts() | {
        "severity": problem.severity,
        "state": AlertState.OPEN,
        "acknowledged_at": None,
        "acknowledged_by": None,
        "last_seen_at": now,
        "evaluated_at": now,
        "clear_since": None,
        "is_announced": False,
        "occurrence_count": alert.occurrence_count + 1,
    }
    if not move(alert, **fields):
        return False
    note(alert, Kind.RAISED, f"to {alert.severity}", now=now)
    if was_acknowledged:
        note(alert, Kind.UNACKNOWLEDGED, "its severity rose", now=now)
    _set_clock(alert, now=now)
    notifications.announce(alert, now=now)
    return True


def return_dismissed(alert: SystemAlert, now: datetime) -> bool:
    """It was dismissed until now, and it still lasts."""
    if not move(
        alert,
        state=AlertState.OPEN,
        dismissed_at=None,
        dismissed_by=None,
        dismissed_until=None,
        is_announced=False,
    ):
        return False
    note(alert, Kind.RETURNED, now=now)
    _set_clock(alert, now=now)
    notifications.announce(alert, now=now)
    return True


def keep_verdict(
    alert: SystemAlert, *, recent: str, clear_since: datetime | None, now: datetime
) -> bool:
    """Neither an occurrence nor the end; only what was seen is kept."""
    return move(alert, recent=recent, clear_since=clear_since, evaluated_at=now)


def forget(alert: SystemAlert) -> bool:
    """A pending one that came to nothing leaves no trace."""
    deleted, _ = SystemAlert.objects.filter(
        pk=alert.pk, state=AlertState.PENDING, version=alert.version
    ).delete()
    return bool(deleted)


def finish(
    alert: SystemAlert, *, now: datetime, text: str = "", user_id: int | None = None, **seen: object
) -> bool:
    """The problem is over: by itself, or because somebody says so."""
    fields: dict[str, object] = {
        "state": AlertState.RESOLVED,
        "resolved_at": now,
        "resolved_by_id": user_id,
        "recent": "",
        "evaluated_at": now,
        "clear_since": None,
        "is_flapping": False,
        "is_unanswered": False,
        "escalate_at": None,
        "respond_by": None,
        **seen,
    }
    if not move(alert, **fields):
        return False
    note(alert, Kind.RESOLVED, text, now=now, user_id=user_id)
    notifications.tell_resolved(alert, now=now)
    return True


def _opened(
    alert: SystemAlert, kind: AlertEvent.Kind, *, now: datetime, becomes_flapping: bool = False
) -> None:
    note(alert, kind, alert.message, now=now)
    _set_clock(alert, now=now)
    if becomes_flapping:
        set_fields(alert, is_flapping=True)
        note(alert, Kind.FLAPPING, "held open until it has been quiet for a while", now=now)
        notifications.announce_flapping(alert, now=now)
    else:
        notifications.announce(alert, now=now)


def _set_clock(alert: SystemAlert, *, now: datetime) -> None:
    """From now on somebody has so long to respond."""
    alert_type = type_for(alert.alert_type, alert.severity)
    within = alert_type.respond_within
    first = alert_type.steps.order_by("after", "pk").first()
    set_fields(
        alert,
        respond_by=now + within if within else None,
        escalation_count=0,
        escalate_at=now + first.after if first else None,
        is_unanswered=False,
    )


def _transitions(alert: SystemAlert, now: datetime) -> int:
    return alert.events.filter(
        kind__in=[Kind.OPENED, Kind.REOPENED, Kind.RESOLVED], at__gt=now - FLAPPING_WINDOW
    ).count()
