"""Test that a commit's subject line must say in the imperative what the commit does."""

import pytest

from scripts.check_commits import problem


@pytest.mark.parametrize(
    "subject",
    [
        "errors: answer pending requests when the writer thread fails",
        "access, clients: put all views under views/",
        "alerts: rename put() to enqueue_notification()",
        'reservations: define "on sale" once',
        "tests/server: process each request once",
        "demo: seed more orders",
        "jobs: ping the worker",
        "lib: focus the search field",
    ],
)
def test_an_imperative_after_the_area_passes(subject: str) -> None:
    assert problem(subject) == ""


@pytest.mark.parametrize(
    "subject",
    [
        "fix the writer",
        "errors - fix the writer",
        "Errors: fix the writer",
        "errors: Fix the writer",
        "errors: fixed the writer",
        "errors: fixing the writer",
        "errors: fixes the writer",
        "errors: the writer is fixed",
        "errors: a fix for the writer",
        "errors: who writes is told",
        "errors: whatever fails is written",
        "errors: 503 for a full store",
        "errors: " + "fix the writer " * 5,
    ],
)
def test_a_subject_without_an_imperative_after_the_area_is_refused(subject: str) -> None:
    assert problem(subject) != ""


def test_seventy_two_characters_are_the_limit() -> None:
    subject = "errors: fix " + "x" * 60

    assert problem(subject) == ""
    assert problem(subject + "x") != ""
