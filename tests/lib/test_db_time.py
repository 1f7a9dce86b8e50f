"""Test computations with timestamps in the database."""

from datetime import UTC, datetime, timedelta

import pytest
from django.db.models import F

from core.lib.db_time import EpochSeconds, SecondsBetween
from reservations.models import Event

pytestmark = pytest.mark.django_db
QUARTER = datetime(2026, 3, 4, 12, 15, tzinfo=UTC)


@pytest.mark.parametrize(
    "at",
    [
        QUARTER,
        QUARTER - timedelta(microseconds=1),
        QUARTER + timedelta(microseconds=1),
        QUARTER - timedelta(milliseconds=400),
        datetime(1969, 12, 31, 23, 59, 59, tzinfo=UTC),
        datetime(2106, 2, 7, 6, 28, 16, tzinfo=UTC),
    ],
)
def test_a_timestamp_becomes_whole_seconds_and_the_fraction_is_dropped(at: datetime) -> None:
    Event.objects.create(name="Concert", slug="concert", starts_at=at)

    found = Event.objects.values_list(EpochSeconds("starts_at"), EpochSeconds(F("starts_at")) / 900)

    seconds = int((at - timedelta(microseconds=at.microsecond)).timestamp())
    number, slot = found.get()
    assert number == seconds
    assert slot == (seconds // 900 if seconds >= 0 else 0)


@pytest.mark.parametrize("milliseconds", [0, 1, 300, 1_500, 86_400_000, -250])
def test_the_seconds_between_two_timestamps(milliseconds: int) -> None:
    end = QUARTER + timedelta(milliseconds=milliseconds)
    event = Event.objects.create(name="Concert", slug="concert", starts_at=end)
    Event.objects.filter(pk=event.pk).update(created_at=QUARTER)

    found = Event.objects.values_list(SecondsBetween("created_at", "starts_at"), flat=True).get()

    assert found == pytest.approx(milliseconds / 1000, abs=0.001)
