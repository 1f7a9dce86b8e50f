"""Test that an event is resolved if its source maps arrive before the event, and also if they arrive later."""

import contextlib
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone
from pytest_django import DjangoCaptureOnCommitCallbacks, Settings

from errors import tasks
from errors.models import (
    EventToResolve,
    ResolvedEvent,
)
from errors.services import resolution
from errors.source_maps.resolve import resolve as really
from errors.store import to_resolve
from tests.errors.source_maps.built import Cli
from tests.errors.source_maps.resolving import NEW, OLD, ORIGINAL, places, resolve, send, upload
from tests.errors.support import Sender

pytestmark = pytest.mark.django_db


def test_an_upload_resolves_earlier_events(
    cli: Cli, browser: Sender, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
) -> None:
    event = send(browser, OLD.event())
    assert not EventToResolve.objects.exists()

    upload(cli, OLD.archive())
    tasks.resolve_waiting(app_id=cli.app.pk)

    assert places(event) == ORIGINAL


def test_an_event_without_its_map_is_resolved_when_the_map_arrives(
    cli: Cli, browser: Sender
) -> None:
    upload(cli, NEW.archive())
    event = send(browser, OLD.event())
    resolve()
    assert not ResolvedEvent.objects.get(pk=event.pk).is_complete

    upload(cli, OLD.archive())
    assert resolution.queue_waiting(cli.app.pk, now=timezone.now()) == 1
    resolve()

    assert places(event) == ORIGINAL
    assert resolution.queue_waiting(cli.app.pk, now=timezone.now()) == 0


def test_events_that_a_process_stored_without_a_mark_are_found_by_a_second_pass(
    cli: Cli, browser: Sender
) -> None:
    now = timezone.now()
    to_resolve.clear()
    send(browser, NEW.event())  # From now on, this process has cached that no app has source maps.
    assert cli.upload(OLD.archive())["state"] == "ok"
    event = send(browser, OLD.event())
    assert not EventToResolve.objects.exists()

    assert resolution.settle_uploads(now=now) == 0
    assert resolution.settle_uploads(now=now + timedelta(minutes=1)) == 1
    resolve()

    assert places(event) == ORIGINAL
    assert resolution.settle_uploads(now=now + timedelta(minutes=2)) == 0


def test_events_of_apps_without_source_maps_are_not_marked(cli: Cli, browser: Sender) -> None:
    send(browser, OLD.event())
    assert not EventToResolve.objects.exists()

    upload(cli, OLD.archive())
    send(browser, {"platform": "python", "message": "not a script"})
    assert not EventToResolve.objects.exists()

    send(browser, OLD.event())
    assert EventToResolve.objects.count() == 1


def test_an_event_that_crashes_the_worker_is_tried_three_times(
    cli: Cli, browser: Sender, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload(cli, OLD.archive())
    fatal, fine = send(browser, OLD.event()), send(browser, OLD.event())

    def dies(payload: dict[str, Any], maps: Any) -> Any:
        if payload["event_id"] == fatal.event_id.hex:
            raise KeyboardInterrupt
        return really(payload, maps)

    monkeypatch.setattr(resolution, "resolve", dies)
    now = timezone.now()
    for minutes in (0, 3, 6, 9, 12):
        left = EventToResolve.objects.filter(pk=fatal.pk, attempts__lt=3)
        with pytest.raises(KeyboardInterrupt) if left.exists() else contextlib.nullcontext():
            resolution.resolve_pending(now=now + timedelta(minutes=minutes))

    assert places(fine) == ORIGINAL
    assert resolution.give_up(now=now + timedelta(minutes=20)) == 1
    assert "failed three times" in ResolvedEvent.objects.get(pk=fatal.pk).problems[0]
    assert not EventToResolve.objects.exists()


def test_a_batch_of_events_is_resolved_in_few_queries(
    cli: Cli, browser: Sender, settings: Settings
) -> None:
    upload(cli, OLD.archive())
    for _ in range(30):
        send(browser, OLD.event())
    with connection.execute_wrapper(counter := _Counter()):
        resolve()

    assert counter.count < 30 * 25


class _Counter:
    count = 0

    def __call__(self, execute: Any, *arguments: Any) -> Any:
        self.count += 1
        return execute(*arguments)
