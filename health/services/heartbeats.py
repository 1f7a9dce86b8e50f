"""Record the check-ins of jobs, and detect missed and overlong runs."""

import uuid
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils.text import slugify

from core.clients.models import ClientApp
from core.lib.scrub import scrub_text
from health.models import CheckIn, CheckInStatus, ComponentKind, Heartbeat
from health.models.heartbeats import validate_crontab, validate_zone
from health.services.results import record_results
from health.verdict import Result, Status

MAX_PER_APP = 200
MAX_OUTPUT_CHARS = 10_000
DAY_MINUTES, HOUR_MINUTES = 1_440, 60
# The database stores `fail_after` and `recover_after` in two bytes.
MAX_SMALL_INTEGER = 32_000
_MINUTES_PER_UNIT = {
    "minute": 1,
    "hour": 60,
    "day": 1_440,
    "week": 10_080,
    "month": 43_200,
    "year": 525_600,
}


class TooManyHeartbeats(Exception):
    """The app has reached MAX_PER_APP, for example because it generates a new name for each run."""


@transaction.atomic
def record_check_in(
    *,
    app: ClientApp,
    slug: str,
    status: str,
    now: datetime,
    check_in_id: uuid.UUID | None = None,
    duration: float | None = None,
    environment: str = "",
    monitor_config: object = None,
) -> CheckIn:
    """Record that a job has started ("in_progress") or ended ("ok", "error").

    The heartbeat is created or updated. `duration` is in seconds. `monitor_config` has Sentry's format. Without it, a
    new heartbeat has no schedule, so its runs can fail but cannot be missed. Invalid settings are ignored, and
    described in the heartbeat's field `config_problem`.

    Raises TooManyHeartbeats if a new heartbeat would exceed MAX_PER_APP, and ValueError for an unknown status.
    """
    slug = slugify(slug)[:50] or "job"
    heartbeat = Heartbeat.objects.filter(app=app, slug=slug, environment=environment[:64]).first()
    settings = {} if monitor_config is None else parse_config(monitor_config)[0]
    if heartbeat is None:
        heartbeat = _new_heartbeat(app, slug, environment[:64], settings)
    elif any(getattr(heartbeat, name) != value for name, value in settings.items()):
        for name, value in settings.items():
            setattr(heartbeat, name, value)
        heartbeat.save(update_fields=list(settings))
    return check_in(
        heartbeat,
        status=CheckInStatus(status),
        now=now,
        check_in_id=check_in_id,
        duration_ms=None if duration is None else duration * 1000,
    )


@transaction.atomic
def check_in(
    heartbeat: Heartbeat,
    *,
    status: CheckInStatus,
    now: datetime,
    check_in_id: uuid.UUID | None = None,
    duration_ms: float | None = None,
    message: str = "",
    output: str = "",
) -> CheckIn:
    """Record a check-in and return its run.

    The end of a run belongs to the start with the same id or, without an id, to the latest start. `output` is the text
    that the job printed, from which the caller has removed personal data.
    """
    run = _find_run(heartbeat, check_in_id)
    if run is None:
        run = CheckIn(heartbeat=heartbeat, at=now)
        # In Sentry's protocol, the nil UUID stands for the latest run.
        if check_in_id and check_in_id.int:
            run.check_in_id = check_in_id
    elif status is CheckInStatus.RUNNING and run.finished_at:
        return run  # The start was reported twice, or arrived after the end.
    run.status = status
    run.output = "\n".join(part for part in (run.output, output) if part)[:MAX_OUTPUT_CHARS]
    if status is not CheckInStatus.RUNNING:
        run.finished_at = now
        run.duration_ms = (
            duration_ms if duration_ms is not None else (now - run.at).total_seconds() * 1000
        )
    run.save()
    expected_at, margin = heartbeat.expected_at, timedelta(minutes=heartbeat.margin_minutes)
    base = now
    if expected_at and expected_at - margin <= now < expected_at:
        base = expected_at  # A check-in that is slightly early belongs to the expected run.
    heartbeat.expected_at = heartbeat.expected_after(base)
    heartbeat.started_at = now if status is CheckInStatus.RUNNING else None
    heartbeat.last_check_in_at = now
    heartbeat.save(update_fields=["expected_at", "started_at", "last_check_in_at"])
    if status is not CheckInStatus.RUNNING:
        is_ok = status is CheckInStatus.OK
        result = Result(
            Status.HEALTHY if is_ok else Status.UNHEALTHY,
            now,
            run.duration_ms or 0.0,
            message or ("" if is_ok else "the job reported a failure"),
        )
        record_results([(heartbeat, [result])], now=now)
    return run


def _find_run(heartbeat: Heartbeat, check_in_id: uuid.UUID | None) -> CheckIn | None:
    if check_in_id and check_in_id.int:
        return CheckIn.objects.filter(heartbeat=heartbeat, check_in_id=check_in_id).first()
    running = CheckIn.objects.filter(heartbeat=heartbeat, status=CheckInStatus.RUNNING)
    return running.order_by("-at", "-pk").first()


def sweep_heartbeats(*, now: datetime) -> int:
    """Record missed check-ins, and runs that exceed their maximum duration. Return their total number."""
    enabled = Heartbeat.objects.enabled()
    missed = [
        heartbeat
        for heartbeat in enabled.filter(expected_at__lt=now)
        if heartbeat.expected_at
        and heartbeat.expected_at + timedelta(minutes=heartbeat.margin_minutes) < now
    ]
    for heartbeat in missed:
        _record_missed(heartbeat, now)
    overrun = [
        heartbeat
        for heartbeat in enabled.filter(started_at__lt=now - timedelta(minutes=1))
        if heartbeat.started_at
        and heartbeat.started_at + timedelta(minutes=heartbeat.max_runtime_minutes) < now
    ]
    for heartbeat in overrun:
        _record_timeout(heartbeat, now)
    return len(missed) + len(overrun)


@transaction.atomic
def _record_missed(heartbeat: Heartbeat, now: datetime) -> None:
    due = heartbeat.expected_at
    updated = Heartbeat.objects.filter(pk=heartbeat.pk, expected_at=due).update(
        expected_at=heartbeat.expected_after(now)
    )
    if not updated or due is None:
        return  # The job has checked in by now, so no run was missed.
    CheckIn.objects.create(
        heartbeat=heartbeat, status=CheckInStatus.MISSED, at=due, finished_at=now
    )
    message = f"no check-in; one was due at {due:%Y-%m-%d %H:%M} UTC"
    record_results([(heartbeat, [Result(Status.UNHEALTHY, now, 0.0, message)])], now=now)


@transaction.atomic
def _record_timeout(heartbeat: Heartbeat, now: datetime) -> None:
    updated = Heartbeat.objects.filter(pk=heartbeat.pk, started_at=heartbeat.started_at).update(
        started_at=None
    )
    if not updated:
        return
    CheckIn.objects.filter(heartbeat=heartbeat, status=CheckInStatus.RUNNING).update(
        status=CheckInStatus.TIMEOUT, finished_at=now
    )
    message = f"still running after {heartbeat.max_runtime_minutes} min"
    record_results([(heartbeat, [Result(Status.UNHEALTHY, now, 0.0, message)])], now=now)


def create_daily_heartbeat(app: ClientApp, slug: str) -> Heartbeat:
    """Create a heartbeat with this slug, a daily schedule and a margin of an hour, or return the existing one.

    Raises TooManyHeartbeats if the app already has MAX_PER_APP heartbeats.
    """
    schedule = {"interval_minutes": DAY_MINUTES, "margin_minutes": HOUR_MINUTES}
    return _new_heartbeat(app, slug[:50], "", schedule)


def _new_heartbeat(
    app: ClientApp, slug: str, environment: str, settings: Mapping[str, object]
) -> Heartbeat:
    if Heartbeat.objects.filter(app=app).count() >= MAX_PER_APP:
        raise TooManyHeartbeats(f"{app} already has {MAX_PER_APP} heartbeats")
    name = slugify("-".join(part for part in (app.slug, slug, environment) if part))[:90]
    heartbeat, _ = Heartbeat.objects.get_or_create(
        app=app,
        slug=slug,
        environment=environment,
        defaults={
            "name": f"{name}-{uuid.uuid4().hex[:6]}",
            "title": (f"{app.name}: {slug}" + (f" ({environment})" if environment else ""))[:100],
            "kind": ComponentKind.HEARTBEAT,
            "fail_after": 1,
            "recover_after": 1,
            **settings,
        },
    )
    return heartbeat


def parse_config(config: object) -> tuple[dict[str, object], dict[str, str]]:
    """Convert Sentry's monitor_config to field values, and describe the problem of each invalid setting by its name.

    Invalid settings are left out of the values. The value of `config_problem` describes the problems in one string
    of at most 300 characters, and is "" if there are none.
    """
    fields: dict[str, object] = {}
    problems: dict[str, str] = {}
    if isinstance(config, Mapping):
        fields, problem = _parse_schedule(config.get("schedule"))
        if problem:
            problems["schedule"] = problem
        _parse_numbers(config, fields, problems)
        zone = config.get("timezone")
        if isinstance(zone, str) and _is_valid(validate_zone, zone):
            fields["time_zone"] = zone
        elif zone is not None:
            problems["timezone"] = (
                f"{_shown(zone)} is not a valid time zone; use a name such as Europe/Berlin"
            )
    else:
        problems["monitor_config"] = f"{_shown(config)} is not an object"
    text = "; ".join(f"{name}: {problem}" for name, problem in problems.items())
    fields["config_problem"] = text if len(text) <= 300 else f"{text[:299]}…"
    return fields, problems


def _parse_schedule(schedule: object) -> tuple[dict[str, object], str]:
    """Return the field values of a schedule and "", or no values and the reason why it is invalid."""
    if not isinstance(schedule, Mapping):
        return {}, "missing" if schedule is None else f"{_shown(schedule)} is not an object"
    kind, value, unit = schedule.get("type"), schedule.get("value"), schedule.get("unit")
    if kind == "crontab":
        if isinstance(value, str) and _is_valid(validate_crontab, value):
            return {"crontab": value, "interval_minutes": None}, ""
        return (
            {},
            f"{_shown(value)} is not a crontab expression with five fields, such as 0 3 * * *",
        )
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < value <= 1_000:
        return {}, f"{_shown(value)} is not an interval from 1 to 1,000"
    if str(unit) not in _MINUTES_PER_UNIT:
        return {}, f"{_shown(unit)} is not a unit; use one of {', '.join(_MINUTES_PER_UNIT)}"
    return {"crontab": "", "interval_minutes": value * _MINUTES_PER_UNIT[str(unit)]}, ""


def _parse_numbers(
    config: Mapping[str, object], fields: dict[str, object], problems: dict[str, str]
) -> None:
    for theirs, ours in (
        ("checkin_margin", "margin_minutes"),
        ("max_runtime", "max_runtime_minutes"),
        ("failure_issue_threshold", "fail_after"),
        ("recovery_threshold", "recover_after"),
    ):
        number = config.get(theirs)
        if (
            isinstance(number, int)
            and not isinstance(number, bool)
            and 0 < number <= MAX_SMALL_INTEGER
        ):
            fields[ours] = number
        elif number is not None:
            problems[theirs] = (
                f"{_shown(number)} is not a whole number from 1 to {MAX_SMALL_INTEGER:,}"
            )


def _shown(value: object) -> str:
    return f"“{scrub_text(str(value))[:40]}”"


def _is_valid(validate: Callable[[str], None], value: str) -> bool:
    try:
        validate(value)
    except ValidationError:
        return False
    return len(value) <= 100
