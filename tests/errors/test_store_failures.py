"""Test the store when a batch is rejected, rows are deleted during a commit, or a cache is full."""

from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import DataError, IntegrityError, OperationalError

from errors.exceptions import NotStorable, Unavailable
from errors.models import ErrorEvent, ErrorGroup, EventPayload, PayloadDictionary
from errors.store import commit, groups, payloads, post_commit, regroup, search_index, write
from errors.store.write import BatchResult
from tests.errors.stored import NOON, make_error, new_error
from tests.factories import make_app

pytestmark = pytest.mark.django_db


def raising(error: Exception) -> Any:
    def call(*_: object, **__: object) -> None:
        raise error

    return call


def test_an_event_that_cannot_be_stored_does_not_make_the_others_fail(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    app = make_app()
    good, bad = new_error(app, group="good"), new_error(app, group="bad")
    monkeypatch.setattr("errors.store.commit.connection.close", lambda: None)

    def store(events: list[Any]) -> BatchResult:
        if bad in events:
            raise DataError("value too long")
        return BatchResult(stored=len(events))

    monkeypatch.setattr(commit, "write", store)
    monkeypatch.setattr("errors.store.commit.post_commit.follow_up_soon", lambda _: None)

    first, second = commit.commit([[good], [bad]])

    assert isinstance(first, BatchResult)
    assert first.stored == 1
    assert isinstance(second, NotStorable)


@pytest.mark.django_db(transaction=True)
def test_a_caller_gets_the_exception_of_its_events(monkeypatch: pytest.MonkeyPatch) -> None:
    event = new_error(make_app())
    monkeypatch.setattr(commit, "write", raising(OperationalError("gone")))

    with pytest.raises(Unavailable):
        commit.store_events([event])


def test_a_connection_that_cannot_be_closed_properly_is_discarded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    connection = SimpleNamespace(close=raising(OperationalError("gone")), connection=object())
    monkeypatch.setattr(commit, "connection", connection)

    commit._reconnect()

    assert connection.connection is None


@pytest.mark.parametrize("error", [OperationalError("gone"), ValueError("a bug")])
def test_a_failed_evaluation_after_a_commit_is_logged(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    monkeypatch.setattr(post_commit, "evaluate_rule", raising(error))
    monkeypatch.setattr(post_commit, "close_old_connections", lambda: None)

    post_commit.evaluate_critical_errors()

    assert "critical errors were not evaluated immediately" in caplog.text


def test_events_that_wait_for_source_maps_wake_a_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    queued: list[str] = []
    monkeypatch.setattr("errors.store.post_commit.queue.enqueue", queued.append)

    post_commit.resolve_events()

    assert queued == ["errors.tasks.resolve_events"]


def test_a_group_that_is_deleted_during_a_batch_is_created_again() -> None:
    app = make_app()
    old = make_error(app, group="g").group_id
    ErrorEvent.objects.all().delete()
    ErrorGroup.objects.all().delete()

    new = make_error(app, group="g").group_id

    assert ErrorGroup.objects.get().pk == new
    assert old is not None


def test_a_batch_follows_a_chain_of_merges() -> None:
    app = make_app()
    first, second, third = (make_error(app, group=name).group_id for name in "abc")
    ErrorGroup.objects.filter(pk=first).update(merged_into=second)
    ErrorGroup.objects.filter(pk=second).update(merged_into=third)

    assert make_error(app, group="a").group_id in (first, third)
    assert ErrorGroup.objects.get(pk=third).event_count == 2


def test_a_deadlock_is_retried_and_another_error_is_not() -> None:
    deadlock, other = OperationalError(), OperationalError()
    deadlock.__cause__ = Exception()
    deadlock.__cause__.sqlstate = "40P01"  # type: ignore[attr-defined]

    assert write._is_retryable(deadlock)
    assert write._is_retryable(IntegrityError())
    assert not write._is_retryable(other)


def test_a_deleted_event_of_a_deleted_group_lowers_no_counts() -> None:
    event = make_error(make_app())
    ErrorGroup.objects.all().delete()

    regroup.remove_event(event, {})

    assert not ErrorGroup.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_payloads_of_a_deleted_dictionary_are_left_out() -> None:
    app = make_app()
    events = [make_error(app, group="g", title="x") for _ in range(4)]
    assert PayloadDictionary.objects.exists()
    ids = [event.pk for event in events]
    before = len(list(payloads.all_payloads(ids)))

    PayloadDictionary.objects.all().delete()

    assert before == 4
    assert len(list(payloads.all_payloads(ids))) < 4


@pytest.mark.django_db(transaction=True)
def test_a_payload_of_a_deleted_dictionary_counts_as_deleted() -> None:
    app = make_app()
    events = [make_error(app, group="g", title="x") for _ in range(4)]
    PayloadDictionary.objects.all().delete()

    with pytest.raises(EventPayload.DoesNotExist):
        payloads.payload_of(events[-1])


@pytest.mark.django_db(transaction=True)
def test_a_dictionary_is_marked_as_used_once_a_day() -> None:
    app = make_app()
    for _ in range(3):
        make_error(app, group="g")
    row = PayloadDictionary.objects.get()
    assert row.last_used_date == NOON.date()

    make_error(app, group="g", received_at=NOON + timedelta(days=1))

    row.refresh_from_db()
    assert row.last_used_date == NOON.date() + timedelta(days=1)


def test_a_payload_that_is_too_large_does_not_become_a_dictionary(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(groups, "MAX_DICTIONARY_BYTES", 10)
    app = make_app()

    for _ in range(3):
        make_error(app, group="g")

    assert not PayloadDictionary.objects.exists()


def test_a_full_cache_evicts_the_oldest_entries(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(groups, "MAX_ENTRIES", 1)
    monkeypatch.setattr(groups, "MAX_DICTIONARIES", 1)
    monkeypatch.setattr(search_index, "_MAX_GROUPS", 1)
    cache = groups.GroupCache()
    entries = [groups.GroupCacheEntry(number) for number in (1, 2)]

    for number, entry in enumerate(entries):
        cache.put((1, str(number)), entry)
        cache.put_dictionary(entry, payloads.Dictionary(number, b"content", 100))

    assert cache.get((1, "0")) is None
    assert cache.get((1, "1")) is entries[1]
    assert entries[0].dictionary is None
    texts = search_index.TextCache()
    event = new_error(make_app())
    assert [texts.is_new(number, event) for number in (1, 1, 2, 1)] == [True, False, True, True]
