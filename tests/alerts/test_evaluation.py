"""Test the pure evaluation functions with generated values, because all other code in alerts/ depends on them."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.evaluation import Action, Limits, PreviousState, Stage, Verdict, advance, decide, judge
from alerts.extension_points import NoData, Severity

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
CEILING = Limits(threshold=5, severity=Severity.HIGH)
FLOOR = Limits(threshold=100, severity=Severity.HIGH, below=True)

finite = st.floats(allow_nan=False, allow_infinity=False, width=32)
limits = st.builds(
    Limits,
    threshold=finite,
    severity=st.sampled_from(Severity),
    below=st.booleans(),
    clear_threshold=st.none() | finite,
    critical_threshold=st.none() | finite,
    breaches_needed=st.integers(1, 3),
    out_of=st.integers(3, 5),
    clear_after=st.integers(1, 4),
    no_data=st.sampled_from(NoData),
)


@pytest.mark.parametrize(
    ("value", "verdict"),
    [(5.01, Verdict.BREACH), (5, Verdict.BETWEEN), (4.01, Verdict.BETWEEN), (4, Verdict.CLEAR)],
)
def test_a_ceiling_is_breached_above_it_and_clear_at_80_percent(
    value: float, verdict: Verdict
) -> None:
    assert judge(value, None, CEILING) is verdict


@pytest.mark.parametrize(
    ("value", "verdict"),
    [(100, Verdict.BREACH), (101, Verdict.BETWEEN), (124, Verdict.BETWEEN), (125, Verdict.CLEAR)],
)
def test_a_floor_is_breached_at_or_below_it_and_clear_at_125_percent(
    value: float, verdict: Verdict
) -> None:
    assert judge(value, None, FLOOR) is verdict


@pytest.mark.parametrize("value", [None, float("nan")])
@pytest.mark.parametrize(
    ("no_data", "verdict"),
    [
        (NoData.OK, Verdict.CLEAR),
        (NoData.KEEP, Verdict.UNKNOWN),
        (NoData.ALERT, Verdict.BREACH),
    ],
)
def test_the_rule_determines_the_verdict_without_data(
    value: float | None, no_data: NoData, verdict: Verdict
) -> None:
    assert judge(value, None, Limits(5, Severity.HIGH, no_data=no_data)) is verdict


def test_too_few_samples_count_as_no_data() -> None:
    rule = Limits(5, Severity.HIGH, min_samples=10)

    assert judge(100, 9, rule) is Verdict.CLEAR
    assert judge(100, 10, rule) is Verdict.BREACH


@given(value=finite, rule=limits)
def test_a_breached_value_is_never_clear_whatever_the_limits_are(
    value: float, rule: Limits
) -> None:
    breached = value <= rule.threshold if rule.below else value > rule.threshold

    assert (judge(value, None, rule) is Verdict.BREACH) == breached


@given(rule=limits)
def test_the_clear_threshold_is_never_on_the_breached_side(rule: Limits) -> None:
    if rule.below:
        assert rule.effective_clear_threshold() >= rule.threshold
    else:
        assert rule.effective_clear_threshold() <= rule.threshold


@given(rule=limits, values=st.lists(st.none() | finite, max_size=40))
def test_any_sequence_of_values_respects_the_life_cycle(
    rule: Limits, values: list[float | None]
) -> None:
    previous: PreviousState | None = None
    breaches: list[bool] = []
    for minute, value in enumerate(values):
        now = NOON + minute * MINUTE
        verdict = judge(value, None, rule)
        decision = decide(verdict, value, previous, rule, now)
        if verdict is not Verdict.UNKNOWN:
            breaches.append(verdict is Verdict.BREACH)
        stage = previous.stage if previous else None

        if decision.action in (Action.OPEN, Action.REOPEN):
            assert stage in (None, Stage.PENDING, Stage.RESOLVED)
            assert verdict is Verdict.BREACH
            assert sum(breaches[-rule.out_of :]) >= rule.breaches_needed
        if decision.action is Action.RESOLVE:
            assert stage is Stage.ACTIVE
            assert verdict is Verdict.CLEAR
            assert not any(breaches[-rule.clear_after :])
        if decision.action in (Action.UPDATE, Action.RAISE):
            assert stage is Stage.ACTIVE
            assert verdict is Verdict.BREACH
        if verdict is Verdict.UNKNOWN:
            assert decision.action is Action.NOTHING
        previous = advance(previous, decision, now)


@given(rule=limits, value=finite)
def test_a_dismissed_problem_never_opens_automatically(rule: Limits, value: float) -> None:
    dismissed = PreviousState(Stage.DISMISSED, rule.severity, "b", NOON)

    decision = decide(judge(value, None, rule), value, dismissed, rule, NOON + MINUTE)

    assert decision.action in (
        Action.UPDATE,
        Action.RECORD,
        Action.RESOLVE,
        Action.NOTHING,
    )


def test_severity_rises_at_the_critical_threshold_and_never_falls() -> None:
    rule = Limits(5, Severity.WARNING, critical_threshold=50)
    mild = PreviousState(Stage.ACTIVE, Severity.WARNING, "b", NOON)
    grave = PreviousState(Stage.ACTIVE, Severity.CRITICAL, "b", NOON)

    raised = decide(Verdict.BREACH, 51, mild, rule, NOON + MINUTE)
    kept = decide(Verdict.BREACH, 6, grave, rule, NOON + MINUTE)

    assert (raised.action, raised.severity) == (Action.RAISE, Severity.CRITICAL)
    assert (kept.action, kept.severity) == (Action.UPDATE, Severity.CRITICAL)


@pytest.mark.parametrize(
    ("below", "threshold", "value", "verdict"),
    [
        (False, 5, 4, Verdict.BETWEEN),
        (False, 5, 3, Verdict.CLEAR),
        (True, 100, 109, Verdict.BETWEEN),
        (True, 100, 110, Verdict.CLEAR),
    ],
)
def test_a_rule_may_define_its_own_clear_threshold(
    below: bool, threshold: float, value: float, verdict: Verdict
) -> None:
    clear_threshold = 110 if below else 3
    rule = Limits(threshold, Severity.HIGH, below=below, clear_threshold=clear_threshold)

    assert judge(value, None, rule) is verdict


@pytest.mark.parametrize(
    ("below", "clear", "between"), [(False, -12, -11), (True, -7.5, -8)], ids=["ceiling", "floor"]
)
def test_a_negative_threshold_clears_on_its_good_side(
    below: bool, clear: float, between: float
) -> None:
    rule = Limits(-10, Severity.HIGH, below=below)

    assert judge(-10.0 if below else -9.0, None, rule) is Verdict.BREACH
    assert judge(between, None, rule) is Verdict.BETWEEN
    assert judge(clear, None, rule) is Verdict.CLEAR


def test_without_a_minimum_a_rule_is_judged_by_any_number_of_samples() -> None:
    assert judge(6, 0, Limits(5, Severity.HIGH)) is Verdict.BREACH


@pytest.mark.parametrize(
    ("value", "severity"),
    [(100, Severity.HIGH), (21, Severity.HIGH), (20, Severity.CRITICAL), (0, Severity.CRITICAL)],
)
def test_a_floor_is_critical_at_or_below_its_critical_threshold(
    value: float, severity: Severity
) -> None:
    rule = Limits(100, Severity.HIGH, below=True, critical_threshold=20)

    opened = decide(judge(value, None, rule), value, None, rule, NOON)

    assert (opened.action, opened.severity) == (Action.OPEN, severity)


def test_a_falling_value_raises_an_alert_at_its_critical_threshold() -> None:
    rule = Limits(100, Severity.HIGH, below=True, critical_threshold=20)
    low = PreviousState(Stage.ACTIVE, Severity.HIGH, "b", NOON)

    lower = decide(Verdict.BREACH, 21, low, rule, NOON + MINUTE)
    lowest = decide(Verdict.BREACH, 20, low, rule, NOON + MINUTE)

    assert (lower.action, lower.severity) == (Action.UPDATE, Severity.HIGH)
    assert (lowest.action, lowest.severity) == (Action.RAISE, Severity.CRITICAL)


@pytest.mark.parametrize(
    ("value", "severity"), [(6, Severity.WARNING), (50, Severity.WARNING), (51, Severity.CRITICAL)]
)
def test_a_ceiling_is_critical_only_above_its_critical_threshold(
    value: float, severity: Severity
) -> None:
    rule = Limits(5, Severity.WARNING, critical_threshold=50)

    assert decide(Verdict.BREACH, value, None, rule, NOON).severity is severity


def test_an_alert_about_missing_data_has_the_severity_of_the_rule() -> None:
    rule = Limits(5, Severity.WARNING, critical_threshold=50, no_data=NoData.ALERT)

    opened = decide(judge(None, None, rule), None, None, rule, NOON)

    assert (opened.action, opened.severity) == (Action.OPEN, Severity.WARNING)


def test_a_dismissed_problem_that_gets_worse_stays_dismissed_at_its_severity() -> None:
    rule = Limits(5, Severity.WARNING, critical_threshold=50)
    dismissed = PreviousState(Stage.DISMISSED, Severity.WARNING, "b", NOON)

    worse = decide(Verdict.BREACH, 51, dismissed, rule, NOON + MINUTE)

    assert (worse.action, worse.severity) == (Action.UPDATE, Severity.WARNING)
