"""Runs the checks, keeps what they said: the result, the verdict, and the hour's and day's uptime in one transaction."""

import time
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from django.db import transaction

from health import checks, runner, verdict
from health.models import CheckResult, Component, ComponentKind, Tier, Uptime
from health.verdict import Result, State, Status
from opsportal.lib.upsert import upsert

PAUSE_BEFORE_ASKING_AGAIN = 4.0  # seconds


def run_checks(*, now: datetime, pause: float = PAUSE_BEFORE_ASKING_AGAIN) -> dict[str, Status]:
    """Ask every registered check, and again (up to the damping's limit) where an answer speaks against the verdict.

    So a real failure turns the verdict within the minute, and a single slow answer never does.
    Returns the status of each, after recording it.
    """
    components = sync_components()
    asked = list(checks.registry)
    results: dict[str, list[Result]] = {check.name: [] for check in asked}
    states = {name: component.state for name, component in components.items()}
    rounds = max((max(check.fail_after, check.recover_after) for check in asked), default=0)
    began = time.monotonic()
    for round_number in range(rounds):
        if round_number:
            asked = [check for check in asked if _is_undecided(states[check.name])]
            if not asked:
                break
            time.sleep(pause)
        later = now + timedelta(seconds=time.monotonic() - began)
        for check, result in runner.run(asked, now=later):
            results[check.name].append(result)
            states[check.name] = verdict.after(
                states[check.name],
                result,
                fail_after=check.fail_after,
                recover_after=check.recover_after,
            )
    record_results([(components[name], found) for name, found in results.items()], now=now)
    return {
        name: component.state.status for name, component in components.items() if component.state
    }


def _is_undecided(state: State | None) -> bool:
    return state is not None and verdict.is_undecided(state)


def sync_components() -> dict[str, Component]:
    """A row for every registered check, with what the code says of it."""
    known = {component.name: component for component in Component.objects.checks()}
    for check in checks.registry:
        fields = {
            "title": check.summary,
            "is_required": check.critical,
            "fail_after": check.fail_after,
            "recover_after": check.recover_after,
        }
        component = known.get(check.name)
        if component is None:
            known[check.name], _ = Component.objects.get_or_create(
                name=check.name, defaults={"kind": ComponentKind.CHECK, **fields}
            )
        elif any(getattr(component, name) != value for name, value in fields.items()):
            Component.objects.filter(pk=component.pk).update(**fields)
            known[check.name] = Component.objects.get(pk=component.pk)
    return {check.name: known[check.name] for check in checks.registry}


@transaction.atomic
def record_results(
    answers: Sequence[tuple[Component, Sequence[Result]]], *, now: datetime
) -> list[tuple[Component, Status]]:
    """Store results (oldest first), turn verdicts, add to uptime. Returns the components that turned, with their old status."""
    turned: list[tuple[Component, Status]] = []
    rows: list[CheckResult] = []
    hours: dict[tuple[int, int, datetime], dict[str, float]] = {}
    for component, results in answers:
        before = Status(component.status)
        for result in results:
            component.state = verdict.after(
                component.state,
                result,
                fail_after=component.fail_after,
                recover_after=component.recover_after,
            )
            if result.status in (Status.NOT_CONFIGURED, Status.UNKNOWN):
                continue
            rows.append(
                CheckResult(
                    component=component,
                    at=result.at,
                    status=result.status,
                    duration_ms=result.duration_ms,
                    message=result.message[:500],
                )
            )
            _count(hours, component, result)
        if Status(component.status) is not before:
            turned.append((component, before))
    CheckResult.objects.bulk_create(rows)
    upsert(
        Uptime,
        [{"component": c, "tier": t, "start": s, **point} for (c, t, s), point in hours.items()],
        key=Uptime.KEY,
        add=("healthy", "degraded", "unhealthy", "maintenance", "total_ms"),
        greatest=("highest_ms",),
    )
    Component.objects.bulk_update([component for component, _ in answers], Component.STATE)
    return turned


def _count(
    points: dict[tuple[int, int, datetime], dict[str, float]], component: Component, result: Result
) -> None:
    for tier in (Tier.HOUR, Tier.DAY):
        point = points.setdefault(
            (component.pk, tier, tier.floor(result.at)),
            dict.fromkeys(
                ("healthy", "degraded", "unhealthy", "maintenance", "total_ms", "highest_ms"), 0
            ),
        )
        point[result.status] += 1
        point["total_ms"] += result.duration_ms
        point["highest_ms"] = max(point["highest_ms"], result.duration_ms)


def load_states() -> Mapping[str, tuple[Component, State]]:
    """Every component in use that has a state, by name."""
    return {
        component.name: (component, state)
        for component in Component.objects.filter(is_enabled=True)
        if (state := component.state)
    }
