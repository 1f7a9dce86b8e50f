"""Test that the payload of an event can be read even if a process still caches a dictionary that has been deleted."""

import logging
from datetime import timedelta

import pytest

from core.clients.models import ClientApp
from errors.models import ErrorEvent, ErrorGroup, EventPayload, PayloadDictionary
from errors.store import groups, payloads
from tests.errors.stored import NOON, PAYLOAD, make_error
from tests.factories import make_app

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def app() -> ClientApp:
    return make_app()


def dictionary_of(event: ErrorEvent) -> int | None:
    return EventPayload.objects.get(pk=event.pk).dictionary_id


def test_a_new_group_does_not_use_the_dictionary_of_a_group_that_another_process_deleted(
    app: ClientApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(3):
        old = make_error(app, group="g")
    assert dictionary_of(old)
    ErrorEvent.objects.all().delete()
    ErrorGroup.objects.all().delete()
    monkeypatch.setattr(groups, "TRUSTED_SECONDS", -1.0)

    new = make_error(app, group="g")

    assert new.group_id != old.group_id
    assert dictionary_of(new) is None
    assert payloads.payload_of(new) == PAYLOAD


def test_a_group_does_not_use_the_dictionary_of_a_group_that_was_merged_into_it(
    app: ClientApp,
) -> None:
    kept = make_error(app, group="a")
    for _ in range(3):
        other = make_error(app, group="b")
    ErrorGroup.objects.filter(pk=other.group_id).update(merged_into=kept.group_id)

    moved = make_error(app, group="b")

    assert moved.group_id == kept.group_id
    assert dictionary_of(moved) is None
    assert payloads.payload_of(moved) == PAYLOAD


def test_a_group_gets_a_new_dictionary_if_retention_deleted_the_cached_one(app: ClientApp) -> None:
    for _ in range(3):
        make_error(app, group="g")
    old = PayloadDictionary.objects.get()
    old.delete()
    later = NOON + timedelta(days=40)

    events = [make_error(app, group="g", received_at=later) for _ in range(3)]

    assert [payloads.payload_of(event) for event in events] == [PAYLOAD] * 3
    new = PayloadDictionary.objects.get()
    assert new.pk != old.pk
    assert dictionary_of(events[-1]) == new.pk


def test_a_dictionary_that_another_process_has_marked_as_used_is_kept(app: ClientApp) -> None:
    for _ in range(3):
        make_error(app, group="g")
    tomorrow = NOON + timedelta(days=1)
    PayloadDictionary.objects.update(last_used_date=tomorrow.date())

    event = make_error(app, group="g", received_at=tomorrow)

    assert dictionary_of(event) == PayloadDictionary.objects.get().pk


def test_a_missing_dictionary_of_a_live_event_is_logged(
    app: ClientApp, caplog: pytest.LogCaptureFixture
) -> None:
    event = [make_error(app, group="g") for _ in range(3)][-1]
    PayloadDictionary.objects.all().delete()

    with caplog.at_level(logging.WARNING), pytest.raises(EventPayload.DoesNotExist):
        payloads.payload_of(event)
    assert not list(payloads.all_payloads([event.pk]))

    assert caplog.text.count("the dictionary of a payload is missing") == 2


def test_a_missing_dictionary_of_a_deleted_group_is_not_logged(
    app: ClientApp, caplog: pytest.LogCaptureFixture
) -> None:
    event = [make_error(app, group="g") for _ in range(3)][-1]
    ErrorGroup.objects.all().delete()

    with caplog.at_level(logging.WARNING), pytest.raises(EventPayload.DoesNotExist):
        payloads.payload_of(event)
    assert not list(payloads.all_payloads([event.pk]))

    assert "dictionary" not in caplog.text
