"""Run all registered checks and all due monitors, and record their results."""

import time
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from health import verdict
from health.checking import probes, runner
from health.extension_points import Check, health_checks
from health.models import Component, ComponentKind, Monitor
from health.services.results import record_results
from health.services.status_changes import report_own_network, resolve_unmonitored
from health.verdict import Result, State, Status

RETRY_PAUSE_SECONDS = 4.0
MAX_THREADS = 128
MAX_ROUNDS = 4
# No further round starts after this time, because the job has a time limit and a single check may take 15 s.
MAX_RETRY_SECONDS = 25.0


def run_checks(*, now: datetime, pause: float = RETRY_PAUSE_SECONDS) -> dict[str, Status]:
    """Run all due checks, record the results, and return the new status of each component by name.

    A check whose result contradicts its status is repeated after `pause` seconds. A real failure therefore usually
    changes the status within the minute, while a single slow response does not.
    """
    components: dict[str, Component] = dict(sync_components())
    monitors = list(Monitor.objects.due(now).prefetch_related("steps"))
    components |= {monitor.name: monitor for monitor in monitors}
    due = [*health_checks, *map(probes.to_check, monitors)]
    states = {name: component.state for name, component in components.items()}
    results = run_until_decided(due, states, now, pause)
    external = {monitor.name for monitor in monitors}
    inverted = {monitor.name for monitor in monitors if monitor.is_inverted}
    # Leave out monitors that are upside down, because a failure to reach their address is a success.
    external_results = [results[monitor.name] for monitor in monitors if not monitor.is_inverted]
    is_cut_off = looks_cut_off(external_results) and probes.is_own_network_down()
    # If the portal's own network is down, failures to reach an address say nothing about the address, so drop them.
    if is_cut_off:
        results = {
            name: [
                r
                for r in found
                if name not in external or not (r.is_unreachable or name in inverted)
            ]
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


def run_until_decided(
    due: Sequence[Check], known: Mapping[str, State | None], now: datetime, pause: float
) -> dict[str, list[Result]]:
    """Run checks, and repeat each check whose last result contradicts its status, in up to MAX_ROUNDS rounds.

    Return the results of each check by its name.
    """
    states = dict(known)
    results: dict[str, list[Result]] = {check.name: [] for check in due}
    rounds = max((max(check.fail_after, check.recover_after) for check in due), default=0)
    started = time.monotonic()
    for round_number in range(min(rounds, MAX_ROUNDS)):
        if round_number:
            due = [check for check in due if _is_undecided(states[check.name])]
            if not due or time.monotonic() - started > MAX_RETRY_SECONDS:
                break
            time.sleep(pause)
        for start in range(0, len(due), MAX_THREADS):
            started_at = now + timedelta(seconds=time.monotonic() - started)
            for check, result in runner.run(due[start : start + MAX_THREADS], now=started_at):
                results[check.name].append(result)
                states[check.name] = verdict.next_state(
                    states[check.name],
                    result,
                    fail_after=check.fail_after,
                    recover_after=check.recover_after,
                )
    return results


def _is_undecided(state: State | None) -> bool:
    return state is not None and verdict.is_undecided(state)


def looks_cut_off(results: Sequence[Sequence[Result]]) -> bool:
    """Return True if at least two external addresses were probed and none of them responded to its latest probe.

    The portal itself may then be offline.
    """
    return len(results) >= 2 and all(found and found[-1].is_unreachable for found in results)


def sync_components() -> dict[str, Component]:
    """Create or update the row of each registered check, and return the rows by name."""
    known = {component.name: component for component in Component.objects.checks()}
    for check in health_checks:
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
    return {check.name: known[check.name] for check in health_checks}
