"""Test the ranking of changes before a problem, which needs no database."""

from datetime import timedelta
from typing import Any

import pytest

from impact.causes import Cause, CauseKind, Change, Onset, rank
from tests.impact.support import MINUTE, NOON


def change(kind: CauseKind = CauseKind.DEPLOY, minutes: float = 5, **fields: Any) -> Change:
    given = {"label": kind.label, "app_id": 1, "environment": "production", **fields}
    return Change(kind, at=NOON - minutes * MINUTE, **given)


SHOP = Onset(
    NOON,
    app_ids=frozenset({1}),
    environments=frozenset({"production"}),
    subjects=frozenset({"alerts.alertrule 7", "component gate"}),
    own=frozenset({"group 3"}),
    text="Timeout: no answer from Fastmail",
)


@pytest.mark.parametrize(
    ("likely", "unlikely"),
    [
        (change(minutes=3), change(minutes=30)),
        (change(minutes=7), change(minutes=-4)),
        (change(), change(app_id=2)),
        (change(), change(environment="staging")),
        (change(), change(CauseKind.SETTING)),
        (change(CauseKind.SETTING), change(CauseKind.ERROR)),
        (change(CauseKind.SETTING, subjects=frozenset({"alerts.alertrule 7"})), change()),
        (
            change(CauseKind.OUTAGE, app_id=None, names=("fastmail",)),
            change(CauseKind.OUTAGE, app_id=None, names=("gate",)),
        ),
        (
            change(CauseKind.OUTAGE, minutes=9),
            change(CauseKind.OUTAGE, minutes=8, until=NOON - 6 * MINUTE),
        ),
        (change(CauseKind.DEPENDENCY, factor=8), change(CauseKind.DEPENDENCY, factor=2)),
        (change(CauseKind.TRAFFIC, factor=0.1), change(CauseKind.TRAFFIC, factor=0.5)),
        (change(CauseKind.DEPENDENCY, factor=4), change(CauseKind.TRAFFIC, factor=4)),
    ],
    ids=[
        "nearer", "before rather than after", "same app", "same environment", "kind", "setting before error",
        "the alert's rule", "named",
        "still down", "larger step", "larger fall", "dependency before traffic",
    ],
)  # fmt: skip
def test_the_likely_cause_comes_first(likely: Change, unlikely: Change) -> None:
    ranked = [cause.change for cause in rank([unlikely, likely], SHOP)]

    assert ranked[0] == likely


def test_the_release_of_a_new_error_names_its_deploy() -> None:
    ours = change(release="2.4", minutes=9)
    other = change(release="2.5", minutes=4)
    onset = Onset(NOON, app_ids=frozenset({1}), releases=frozenset({"2.4"}))

    first, second = rank([ours, other], onset)

    assert (first.change, second.change) == (ours, other)
    assert "first seen in this release" in first.reasons
    assert "first seen in another release" in second.reasons


@pytest.mark.parametrize(
    "not_a_cause",
    [
        change(minutes=-11),
        change(CauseKind.SETTING, minutes=-1),
        change(minutes=24 * 60 + 1),
        change(CauseKind.ERROR, identity="group 3"),
        change(CauseKind.ERROR, app_id=2),
        change(app_id=2, environment="staging", minutes=120),
    ],
    ids=["afterwards", "edited afterwards", "old", "itself", "error elsewhere", "deploy elsewhere"],
)
def test_unrelated_changes_are_not_causes(not_a_cause: Change) -> None:
    assert rank([not_a_cause], SHOP) == []


def test_a_deploy_that_finished_just_after_the_first_error_is_a_cause() -> None:
    [cause] = rank([change(minutes=-2)], SHOP)

    assert cause.sentence == "Deploy, 2 min after"


@pytest.mark.parametrize(
    ("before", "text"),
    [
        (timedelta(0), "at the same time"),
        (timedelta(seconds=20), "at the same time"),
        (3 * MINUTE, "3 min before"),
        (100 * MINUTE, "1 h 40 min before"),
        (timedelta(seconds=-90), "2 min after"),
    ],
)
def test_the_distance_is_written_in_words(before: timedelta, text: str) -> None:
    assert Cause(change(), 1.0, before, ()).distance_text == text


def test_each_cause_has_its_reasons() -> None:
    found = change(names=("Fastmail",), subjects=frozenset({"component gate"}))

    [cause] = rank([found], SHOP)

    assert cause.reasons == ("the subject of the problem", "same app", "same environment")
