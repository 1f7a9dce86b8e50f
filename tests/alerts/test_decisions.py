"""Test which sequences of verdicts open, keep, resolve and reopen a problem."""

from datetime import UTC, datetime, timedelta

import pytest

from alerts.evaluation import (
    EVALUATION_SLOT,
    Action,
    Limits,
    PreviousState,
    Stage,
    Verdict,
    advance,
    decide,
    judge,
)
from alerts.extension_points import NoData, Severity

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
CEILING = Limits(threshold=5, severity=Severity.HIGH)


def test_one_breach_is_pending_and_two_of_three_breaches_open_an_alert() -> None:
    rule = Limits(5, Severity.HIGH, breaches_needed=2, out_of=3)

    first = decide(Verdict.BREACH, 6, None, rule, NOON)
    pending = PreviousState(Stage.PENDING, Severity.HIGH, first.recent, NOON)
    calm = decide(Verdict.CLEAR, 0, pending, rule, NOON + MINUTE)
    pending = PreviousState(Stage.PENDING, Severity.HIGH, calm.recent, NOON + MINUTE)
    second = decide(Verdict.BREACH, 6, pending, rule, NOON + 2 * MINUTE)

    assert [first.action, calm.action, second.action] == [
        Action.PEND,
        Action.RECORD,
        Action.OPEN,
    ]


def test_repeated_evaluations_within_a_minute_count_as_one_breach() -> None:
    rule = Limits(5, Severity.HIGH, breaches_needed=3, out_of=3)
    pending = PreviousState(Stage.PENDING, Severity.HIGH, "b", NOON)
    for second in range(1, 40):
        decision = decide(Verdict.BREACH, 6, pending, rule, NOON + timedelta(seconds=second))
        assert decision.action is Action.RECORD
        pending = PreviousState(Stage.PENDING, Severity.HIGH, decision.recent, NOON)


def test_evaluations_in_the_same_slot_count_once_with_the_last_verdict() -> None:
    rule = Limits(5, Severity.HIGH, breaches_needed=3, out_of=5)
    pending = PreviousState(Stage.PENDING, Severity.HIGH, "bcb", NOON)

    early = decide(Verdict.CLEAR, 0, pending, rule, NOON + EVALUATION_SLOT - timedelta(seconds=1))
    on_time = decide(Verdict.CLEAR, 0, pending, rule, NOON + EVALUATION_SLOT)

    assert (early.recent, on_time.recent) == ("bcc", "bcbc")
    # Two sweeps are a minute apart, so they never fall into the same slot.
    assert timedelta(seconds=50) == EVALUATION_SLOT


def test_a_clock_that_is_set_back_a_little_counts_no_breach_twice() -> None:
    rule = Limits(5, Severity.HIGH, breaches_needed=2, out_of=2)
    pending = PreviousState(Stage.PENDING, Severity.HIGH, "b", NOON)

    again = decide(Verdict.BREACH, 6, pending, rule, NOON - timedelta(seconds=5))

    assert (again.action, again.recent) == (Action.RECORD, "b")


@pytest.mark.parametrize(
    ("out_of", "clear_after", "kept"), [(3, 1, 3), (1, 4, 4), (150, 1, 100), (1, 150, 100)]
)
def test_a_rule_keeps_as_many_verdicts_as_it_needs_and_at_most_a_hundred(
    out_of: int, clear_after: int, kept: int
) -> None:
    rule = Limits(5, Severity.HIGH, out_of=out_of, clear_after=clear_after)
    active = PreviousState(Stage.ACTIVE, Severity.HIGH, "b" * 200, NOON)

    decision = decide(Verdict.CLEAR, 0, active, rule, NOON + MINUTE)

    assert decision.recent == "b" * (kept - 1) + "c"


def test_a_clear_value_opens_no_alert_when_fewer_breaches_are_needed_than_before() -> None:
    rule = Limits(5, Severity.HIGH, breaches_needed=2, out_of=3)
    pending = PreviousState(Stage.PENDING, Severity.HIGH, "bb", NOON)

    calm = decide(Verdict.CLEAR, 0, pending, rule, NOON + MINUTE)
    worse = decide(Verdict.BREACH, 6, pending, rule, NOON + MINUTE)

    assert (calm.action, worse.action) == (Action.RECORD, Action.OPEN)


def test_a_pending_problem_ends_once_no_breach_counts_any_more() -> None:
    rule = Limits(5, Severity.HIGH, breaches_needed=2, out_of=2, clear_after=4)
    pending = PreviousState(Stage.PENDING, Severity.HIGH, "b", NOON)

    first = decide(Verdict.CLEAR, 0, pending, rule, NOON + MINUTE)
    pending = PreviousState(Stage.PENDING, Severity.HIGH, first.recent, NOON + MINUTE)
    second = decide(Verdict.CLEAR, 0, pending, rule, NOON + 2 * MINUTE)

    assert (first.action, second.action) == (Action.RECORD, Action.DISCARD)


def test_a_clear_value_after_the_end_does_not_reopen_an_alert() -> None:
    rule = Limits(5, Severity.HIGH, breaches_needed=2, out_of=3)
    breached = PreviousState(Stage.RESOLVED, Severity.HIGH, "bb", NOON, resolved_at=NOON)
    calm = PreviousState(Stage.RESOLVED, Severity.HIGH, "cc", NOON, resolved_at=NOON)

    after_breaches = decide(Verdict.CLEAR, 0, breached, rule, NOON + MINUTE)
    after_calm = decide(Verdict.CLEAR, 0, calm, rule, NOON + MINUTE)

    assert (after_breaches.action, after_breaches.recent) == (Action.RECORD, "bbc")
    assert after_calm.action is Action.NOTHING


def test_a_first_breach_after_the_end_waits_for_the_further_breaches_that_are_needed() -> None:
    rule = Limits(5, Severity.HIGH, breaches_needed=2, out_of=3)
    ended = PreviousState(Stage.RESOLVED, Severity.HIGH, "c", NOON, resolved_at=NOON)

    first = decide(Verdict.BREACH, 6, ended, rule, NOON + MINUTE)
    ended = PreviousState(
        Stage.RESOLVED, Severity.HIGH, first.recent, NOON + MINUTE, resolved_at=NOON
    )
    second = decide(Verdict.BREACH, 6, ended, rule, NOON + 2 * MINUTE)

    assert (first.action, second.action) == (Action.RECORD, Action.REOPEN)


def test_a_problem_that_returns_late_counts_its_breaches_from_the_start() -> None:
    rule = Limits(5, Severity.WARNING, breaches_needed=2, out_of=3, critical_threshold=50)
    ended = PreviousState(Stage.RESOLVED, Severity.WARNING, "bb", NOON, resolved_at=NOON)

    late = decide(Verdict.BREACH, 51, ended, rule, NOON + timedelta(hours=1))

    assert (late.action, late.recent, late.severity) == (Action.PEND, "b", Severity.CRITICAL)


def test_a_problem_whose_end_is_unknown_returns_as_a_new_one() -> None:
    ended = PreviousState(Stage.RESOLVED, Severity.HIGH, "c", NOON, resolved_at=None)

    assert decide(Verdict.BREACH, 6, ended, CEILING, NOON + MINUTE).action is Action.OPEN


def test_a_return_within_the_window_reopens_the_alert_and_a_later_one_opens_another() -> None:
    ended = PreviousState(Stage.RESOLVED, Severity.HIGH, resolved_at=NOON)

    soon = decide(Verdict.BREACH, 6, ended, CEILING, NOON + timedelta(minutes=15))
    later = decide(Verdict.BREACH, 6, ended, CEILING, NOON + timedelta(minutes=15, seconds=1))

    assert (soon.action, later.action) == (Action.REOPEN, Action.OPEN)


def test_a_value_between_the_thresholds_neither_ends_a_problem_nor_counts_as_clear() -> None:
    rule = Limits(5, Severity.HIGH, clear_after=2)
    active = PreviousState(Stage.ACTIVE, Severity.HIGH, "bc", NOON, clear_since=NOON)

    between = decide(Verdict.BETWEEN, 5, active, rule, NOON + MINUTE)
    active = PreviousState(Stage.ACTIVE, Severity.HIGH, between.recent, NOON + MINUTE)
    clear = decide(Verdict.CLEAR, 0, active, rule, NOON + 2 * MINUTE)

    assert (between.action, between.clear_since) == (Action.RECORD, None)
    assert (clear.action, clear.clear_since) == (Action.RECORD, NOON + 2 * MINUTE)


def test_a_problem_ends_after_the_rules_number_of_consecutive_clear_values() -> None:
    rule = Limits(5, Severity.HIGH, clear_after=2)
    active = PreviousState(Stage.ACTIVE, Severity.HIGH, "b", NOON)

    first = decide(Verdict.CLEAR, 0, active, rule, NOON + MINUTE)
    active = PreviousState(Stage.ACTIVE, Severity.HIGH, first.recent, NOON + MINUTE)
    second = decide(Verdict.CLEAR, 0, active, rule, NOON + 2 * MINUTE)

    assert (first.action, second.action) == (Action.RECORD, Action.RESOLVE)


def test_a_flapping_problem_resolves_after_it_has_been_clear_for_a_while() -> None:
    flapping = PreviousState(
        Stage.ACTIVE, Severity.HIGH, "b", NOON, clear_since=NOON, is_flapping=True
    )

    early = decide(Verdict.CLEAR, 0, flapping, CEILING, NOON + timedelta(minutes=59))
    calm = decide(Verdict.CLEAR, 0, flapping, CEILING, NOON + timedelta(minutes=60))

    assert (early.action, calm.action) == (Action.RECORD, Action.RESOLVE)


# --- the state after the last reading, for previews of a rule ---------------------------------------------------


def test_a_problem_that_never_became_an_alert_has_no_state_after_its_end() -> None:
    rule = Limits(5, Severity.HIGH, breaches_needed=2, out_of=2)

    pending = advance(None, decide(Verdict.BREACH, 6, None, rule, NOON), NOON)
    assert pending == PreviousState(Stage.PENDING, Severity.HIGH, "b", NOON)
    for minute in (1, 2):
        now = NOON + minute * MINUTE
        pending = advance(pending, decide(Verdict.CLEAR, 0, pending, rule, now), now)

    assert pending is None


def test_a_resolved_problem_keeps_the_time_of_its_end_until_it_returns() -> None:
    ended = advance(None, decide(Verdict.BREACH, 6, None, CEILING, NOON), NOON)
    assert ended == PreviousState(Stage.ACTIVE, Severity.HIGH, "b", NOON)

    at = NOON + MINUTE
    ended = advance(ended, decide(Verdict.CLEAR, 0, ended, CEILING, at), at)
    assert ended
    assert (ended.stage, ended.resolved_at, ended.recent) == (Stage.RESOLVED, at, "")
    again = decide(Verdict.BREACH, 6, ended, CEILING, at + MINUTE)
    back = advance(ended, again, at + MINUTE)

    assert again.action is Action.REOPEN
    assert back == PreviousState(Stage.ACTIVE, Severity.HIGH, "b", at + MINUTE)


def test_a_resolved_problem_keeps_the_time_of_its_end_while_its_return_waits_for_further_breaches() -> (
    None
):
    rule = Limits(5, Severity.HIGH, breaches_needed=2, out_of=3)
    ended = PreviousState(Stage.RESOLVED, Severity.HIGH, evaluated_at=NOON, resolved_at=NOON)

    now = NOON + MINUTE
    waiting = advance(ended, decide(Verdict.BREACH, 6, ended, rule, now), now)

    assert waiting == PreviousState(Stage.RESOLVED, Severity.HIGH, "b", now, resolved_at=NOON)


def test_a_decision_without_a_change_keeps_the_state() -> None:
    rule = Limits(5, Severity.HIGH, no_data=NoData.KEEP)
    active = PreviousState(Stage.ACTIVE, Severity.HIGH, "b", NOON)

    unknown = decide(judge(None, None, rule), None, active, rule, NOON + MINUTE)

    assert (unknown.action, unknown.recent) == (Action.NOTHING, "b")
    assert advance(active, unknown, NOON + MINUTE) == active
    assert advance(None, decide(Verdict.CLEAR, 0, None, rule, NOON), NOON) is None
