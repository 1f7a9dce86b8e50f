"""The minute's round: every registered check and every due monitor is asked, and what they said is recorded."""

import time
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from health import checks, verdict
from health.checking import probes, runner
from health.checks import Check
from health.models import Component, ComponentKind, Monitor
from health.services.results import record_results
from health.services.status_changes import report_own_network, resolve_unmonitored
from health.verdict import Result, State, Status

PAUSE_BEFORE_ASKING_AGAIN = 4.0  # seconds
AT_ONCE = 128  # threads
# No further round after this: the job's own time is limited, and an answer may take 15 s.
ASK_AGAIN_WITHIN = 25.0  # seconds


def run_checks(*, now: datetime, pause: float = PAUSE_BEFORE_ASKING_AGAIN) -> dict[str, Status]:
    """Ask all that is due. Returns the status of each, after recording it.

    Where an answer speaks against the verdict it is asked again at once, up to the damping's limit: so a real failure
    turns the verdict within the minute, and a single slow answer never does.
    """
    components: dict[str, Component] = dict(sync_components())
    monitors = list(Monitor.objects.due(now))
    components |= {monitor.name: monitor for monitor in monitors}
    asked = [*checks.registry, *map(probes.as_check, monitors)]
    results = ask_until_decided(asked, {n: c.state for n, c in components.items()}, now, pause)
    outside = {monitor.name for monitor in monitors}
    is_cut_off = looks_cut_off([results[name] for name in outside]) and probes.is_own_network_down()
    if is_cut_off:  # what could not be reached from here says nothing about them
        results = {
            name: [r for r in found if name not in outside or not r.unreachable]
            for name, found in results.items()
        }
    record_results([(components[name], found) for name, found in results.items()], now=now)
    report_own_network(is_cut_off, now=now)
    resolve_unmonitored(now=now)
    for monitor in monitors:
        monitor.next_run_at = now.replace(second=0, microsecond=0) + timedelta(
            minutes=monitor.interval_minutes
        )
    Monitor.objects.bulk_update(monitors, ["next_run_at"])
    return {
        name: component.state.status for name, component in components.items() if component.state
    }


def ask_until_decided(
    asked: Sequence[Check], known: Mapping[str, State | None], now: datetime, pause: float
) -> dict[str, list[Result]]:
    states = dict(known)
    results: dict[str, list[Result]] = {check.name: [] for check in asked}
    rounds = max((max(check.fail_after, check.recover_after) for check in asked), default=0)
    began = time.monotonic()
    for round_number in range(min(rounds, 4)):
        if round_number:
            asked = [check for check in asked if _is_undecided(states[check.name])]
            if not asked or time.monotonic() - began > ASK_AGAIN_WITHIN:
                break
            time.sleep(pause)
        for start in range(0, len(asked), AT_ONCE):
            later = now + timedelta(seconds=time.monotonic() - began)
            for check, result in runner.run(asked[start : start + AT_ONCE], now=later):
                results[check.name].append(result)
                states[check.name] = verdict.after(
                    states[check.name],
                    result,
                    fail_after=check.fail_after,
                    recover_after=check.recover_after,
                )
    return results


def _is_undecided(state: State | None) -> bool:
    return state is not None and verdict.is_undecided(state)


def looks_cut_off(found: Sequence[Sequence[Result]]) -> bool:
    """Whether outside addresses (two at least) were asked and not one answered anything."""
    return len(found) >= 2 and all(results and results[-1].unreachable for results in found)


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
