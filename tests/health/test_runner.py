"""Test the runner, which executes health checks in parallel with timeouts."""

import threading
import time
from datetime import UTC, datetime

import pytest

from health.checking import runner
from health.extension_points import Check, CheckFunction, Degraded, NotConfigured
from health.verdict import Status

NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)


def check(name: str, run: CheckFunction, timeout: float = 2.0) -> Check:
    return Check(name, name, run, critical=False, timeout=timeout)


def raises(error: Exception) -> CheckFunction:
    def run() -> str:
        raise error

    return run


def test_each_outcome_maps_to_its_status() -> None:
    found = {
        checked.name: (result.status, result.message)
        for checked, result in runner.run(
            [
                check("fine", lambda: "answers"),
                check("slow", raises(Degraded("lagging"))),
                check("off", raises(NotConfigured("no key"))),
                check("broken", raises(OSError("refused\nsecond line"))),
            ],
            now=NOON,
        )
    }

    assert found == {
        "fine": (Status.HEALTHY, "answers"),
        "slow": (Status.DEGRADED, "lagging"),
        "off": (Status.NOT_CONFIGURED, "no key"),
        "broken": (Status.UNHEALTHY, "refused"),
    }


def test_a_hanging_check_delays_no_other_and_is_not_started_twice() -> None:
    release, started = threading.Event(), []

    def hang() -> str:
        started.append(1)
        release.wait(60)
        return ""

    started_at = time.monotonic()
    results = runner.run([check("hangs", hang, 1.0), check("quick", lambda: "ok")], now=NOON)
    try:
        first, result = next(results)
        assert first.name == "quick"
        assert time.monotonic() - started_at < 0.9
        second, result = next(results)
        assert (second.name, result.status) == ("hangs", Status.UNHEALTHY)
        assert result.message == "no response within 1 s"
        assert time.monotonic() - started_at < 10

        again = list(runner.run([check("hangs", hang, 0.3)], now=NOON))
        assert again[0][1].message == "the previous run has not finished yet"
        assert len(started) == 1
    finally:
        release.set()


def test_checks_run_in_parallel() -> None:
    def slow() -> str:
        time.sleep(0.1)
        return ""

    started_at = time.monotonic()
    results = list(runner.run([check(f"c{n}", slow) for n in range(50)], now=NOON))

    assert len(results) == 50
    assert time.monotonic() - started_at < 4  # In sequence, the checks would take 5 s.


@pytest.mark.parametrize("limit", [0.1])
def test_max_seconds_limits_every_timeout(limit: float) -> None:
    release = threading.Event()
    try:
        [(_, result)] = runner.run(
            [check("limited", lambda: str(release.wait(5)), 5.0)], now=NOON, max_seconds=limit
        )
        assert result.status is Status.UNHEALTHY
    finally:
        release.set()
