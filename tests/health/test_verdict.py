"""Test how a sequence of check results changes the status of a component."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from health import verdict
from health.verdict import Result, State, Status

NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def after_all(*statuses: Status, fail_after: int = 2, recover_after: int = 2) -> State:
    state = None
    for minute, status in enumerate(statuses):
        result = Result(status, NOON + timedelta(minutes=minute))
        state = verdict.next_state(
            state, result, fail_after=fail_after, recover_after=recover_after
        )
    assert state
    return state


UP, SLOW, DOWN, OFF = Status.HEALTHY, Status.DEGRADED, Status.UNHEALTHY, Status.NOT_CONFIGURED


def test_the_first_result_sets_the_status() -> None:
    assert after_all(DOWN).status is DOWN
    assert after_all(UP).status is UP


def test_the_status_changes_after_two_failures_and_not_after_one() -> None:
    assert after_all(UP, DOWN).status is UP
    assert verdict.is_undecided(after_all(UP, DOWN))
    assert after_all(UP, DOWN, DOWN).status is DOWN


def test_alternating_results_do_not_change_the_status() -> None:
    assert after_all(UP, *[DOWN, UP] * 20).status is UP
    assert after_all(DOWN, *[UP, DOWN] * 20).status is DOWN


def test_a_recovery_takes_the_configured_number_of_successes() -> None:
    assert after_all(DOWN, UP, UP, recover_after=3).status is DOWN
    assert after_all(DOWN, UP, UP, UP, recover_after=3).status is UP


def test_two_consecutive_results_change_the_status_by_default() -> None:
    up = State(UP, NOON, Result(UP, NOON))
    down = State(DOWN, NOON, Result(DOWN, NOON))

    failing = verdict.next_state(up, Result(DOWN, NOON + MINUTE))
    failed = verdict.next_state(failing, Result(DOWN, NOON + 2 * MINUTE))
    recovering = verdict.next_state(down, Result(UP, NOON + MINUTE))
    recovered = verdict.next_state(recovering, Result(UP, NOON + 2 * MINUTE))

    assert (failing.status, failed.status) == (UP, DOWN)
    assert (recovering.status, recovered.status) == (DOWN, UP)


def test_a_result_in_the_other_direction_restarts_the_count() -> None:
    assert after_all(SLOW, DOWN, UP).status is SLOW
    assert after_all(SLOW, DOWN, UP, UP).status is UP
    assert after_all(SLOW, UP, DOWN).status is SLOW
    assert after_all(SLOW, UP, DOWN, DOWN).status is DOWN


def test_the_first_answer_of_an_unknown_component_sets_its_status() -> None:
    unknown = State(Status.UNKNOWN, NOON, Result(Status.UNKNOWN, NOON))

    for answer in (UP, SLOW, DOWN, OFF):
        known = verdict.next_state(
            unknown, Result(answer, NOON + MINUTE), fail_after=3, recover_after=3
        )

        assert (known.status, known.since) == (answer, NOON + MINUTE)
        assert not verdict.is_undecided(known)


def test_results_of_the_same_instant_all_count() -> None:
    state = after_all(UP)

    for _ in range(2):
        state = verdict.next_state(state, Result(DOWN, state.result.at))

    assert state.status is DOWN


def test_the_time_of_the_change_is_kept_while_the_status_lasts() -> None:
    state = after_all(UP, DOWN, DOWN, DOWN, DOWN)
    assert state.since == NOON + timedelta(minutes=2)


def test_a_check_that_becomes_unconfigured_stops_failing_at_once() -> None:
    assert after_all(DOWN, OFF).status is OFF


def test_a_late_result_is_ignored() -> None:
    state = after_all(UP, UP)
    assert verdict.next_state(state, Result(DOWN, NOON - timedelta(hours=1)), fail_after=1) == state


def test_only_required_components_make_the_portal_unhealthy() -> None:
    assert verdict.overall_status([]) is Status.HEALTHY
    assert verdict.overall_status([(True, UP), (False, OFF)]) is Status.HEALTHY
    assert verdict.overall_status([(True, UP), (False, DOWN)]) is Status.DEGRADED
    assert verdict.overall_status([(True, SLOW)]) is Status.DEGRADED
    assert verdict.overall_status([(True, DOWN), (False, UP)]) is Status.UNHEALTHY
    assert verdict.overall_status([(True, Status.UNKNOWN)]) is Status.DEGRADED


@given(st.lists(st.sampled_from([UP, SLOW, DOWN]), min_size=1, max_size=60), st.integers(1, 5))
def test_the_status_changes_only_after_enough_consecutive_results(
    statuses: list[Status], n: int
) -> None:
    level = {UP: 0, SLOW: 1, DOWN: 2}
    state: State | None = None
    for minute, status in enumerate(statuses):
        before = state
        result = Result(status, NOON + timedelta(minutes=minute))
        state = verdict.next_state(state, result, fail_after=n, recover_after=n)
        if before and level[before.status] != level[state.status]:
            last = [level[s] for s in statuses[minute + 1 - n : minute + 1]]
            old = level[before.status]
            assert all(s > old for s in last) or all(s < old for s in last)
