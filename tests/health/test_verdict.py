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
        state = verdict.after(state, result, fail_after=fail_after, recover_after=recover_after)
    assert state
    return state


UP, SLOW, DOWN, OFF = Status.HEALTHY, Status.DEGRADED, Status.UNHEALTHY, Status.NOT_CONFIGURED


def test_the_first_result_is_believed() -> None:
    assert after_all(DOWN).status is DOWN
    assert after_all(UP).status is UP


def test_one_failure_does_not_turn_the_verdict_and_two_do() -> None:
    assert after_all(UP, DOWN).status is UP
    assert verdict.is_undecided(after_all(UP, DOWN))
    assert after_all(UP, DOWN, DOWN).status is DOWN


def test_a_target_that_answers_every_other_time_stays_what_it_was() -> None:
    assert after_all(UP, *[DOWN, UP] * 20).status is UP
    assert after_all(DOWN, *[UP, DOWN] * 20).status is DOWN


def test_recovery_is_believed_after_as_many_successes_as_asked_for() -> None:
    assert after_all(DOWN, UP, UP, recover_after=3).status is DOWN
    assert after_all(DOWN, UP, UP, UP, recover_after=3).status is UP


def test_two_results_in_a_row_turn_a_verdict_unless_a_component_says_otherwise() -> None:
    up = State(UP, NOON, Result(UP, NOON))
    down = State(DOWN, NOON, Result(DOWN, NOON))

    failing = verdict.after(up, Result(DOWN, NOON + MINUTE))
    failed = verdict.after(failing, Result(DOWN, NOON + 2 * MINUTE))
    recovering = verdict.after(down, Result(UP, NOON + MINUTE))
    recovered = verdict.after(recovering, Result(UP, NOON + 2 * MINUTE))

    assert (failing.status, failed.status) == (UP, DOWN)
    assert (recovering.status, recovered.status) == (DOWN, UP)


def test_a_result_the_other_way_starts_the_count_again() -> None:
    assert after_all(SLOW, DOWN, UP).status is SLOW
    assert after_all(SLOW, DOWN, UP, UP).status is UP
    assert after_all(SLOW, UP, DOWN).status is SLOW
    assert after_all(SLOW, UP, DOWN, DOWN).status is DOWN


def test_the_first_answer_of_a_component_that_never_answered_is_believed() -> None:
    unknown = State(Status.UNKNOWN, NOON, Result(Status.UNKNOWN, NOON))

    for answer in (UP, SLOW, DOWN, OFF):
        known = verdict.after(unknown, Result(answer, NOON + MINUTE), fail_after=3, recover_after=3)

        assert (known.status, known.since) == (answer, NOON + MINUTE)
        assert not verdict.is_undecided(known)


def test_results_of_the_same_instant_all_count() -> None:
    state = after_all(UP)

    for _ in range(2):
        state = verdict.after(state, Result(DOWN, state.result.at))

    assert state.status is DOWN


def test_since_is_when_the_verdict_turned_and_stays() -> None:
    state = after_all(UP, DOWN, DOWN, DOWN, DOWN)
    assert state.since == NOON + timedelta(minutes=2)


def test_what_is_no_longer_configured_stops_failing_at_once() -> None:
    assert after_all(DOWN, OFF).status is OFF


def test_a_result_older_than_the_known_one_changes_nothing() -> None:
    state = after_all(UP, UP)
    assert verdict.after(state, Result(DOWN, NOON - timedelta(hours=1)), fail_after=1) == state


def test_only_what_is_required_makes_everything_unhealthy() -> None:
    assert verdict.overall([]) is Status.HEALTHY
    assert verdict.overall([(True, UP), (False, OFF)]) is Status.HEALTHY
    assert verdict.overall([(True, UP), (False, DOWN)]) is Status.DEGRADED
    assert verdict.overall([(True, SLOW)]) is Status.DEGRADED
    assert verdict.overall([(True, DOWN), (False, UP)]) is Status.UNHEALTHY
    assert verdict.overall([(True, Status.UNKNOWN)]) is Status.DEGRADED


@given(st.lists(st.sampled_from([UP, SLOW, DOWN]), min_size=1, max_size=60), st.integers(1, 5))
def test_the_verdict_turns_only_after_enough_results_against_it(
    statuses: list[Status], n: int
) -> None:
    level = {UP: 0, SLOW: 1, DOWN: 2}
    state: State | None = None
    for minute, status in enumerate(statuses):
        before = state
        result = Result(status, NOON + timedelta(minutes=minute))
        state = verdict.after(state, result, fail_after=n, recover_after=n)
        if before and level[before.status] != level[state.status]:
            last = [level[s] for s in statuses[minute + 1 - n : minute + 1]]
            old = level[before.status]
            assert all(s > old for s in last) or all(s < old for s in last)
