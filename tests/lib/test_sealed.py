"""Test the encryption of secrets in the database, and the rotation of its key."""

import json

import pytest
from django.core.management import call_command
from django.db import connection
from django.db.models import Model
from django.db.models.expressions import RawSQL
from django.utils import timezone
from pytest_django import Settings

from alerts.models import Channel, ChannelTest
from core.lib import sealed
from tests.factories import make_monitor

SECRET = "https://hooks.example/services/T0/B0/abcdef"


def test_a_sealed_text_can_be_opened_but_not_read() -> None:
    kept = sealed.seal("ann@example.org")

    assert "ann@" not in kept
    assert sealed.unseal(kept) == "ann@example.org"


def test_a_text_sealed_before_the_key_was_rotated_can_be_opened(settings: Settings) -> None:
    kept = sealed.seal("text")

    settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
    settings.SECRET_KEY = "another key that is as long as a real one"
    assert sealed.unseal(kept) == "text"

    settings.SECRET_KEY_FALLBACKS = []
    with pytest.raises(sealed.CannotOpen):
        sealed.unseal(kept)


@pytest.mark.django_db
class TestFields:
    def test_secrets_that_staff_enter_are_not_readable_in_the_database(self) -> None:
        channel = Channel.objects.create(name="Ops", kind="slack", config={"url": SECRET})
        test = ChannelTest.objects.create(
            name="Ops", kind="slack", config={"url": SECRET}, created_at=timezone.now()
        )
        monitor = make_monitor(
            "https://shop.example/", headers={"Authorization": SECRET}, body=SECRET
        )

        for row in (channel, test, monitor):
            assert SECRET not in stored(row)
            row.refresh_from_db()
        assert channel.config == test.config == {"url": SECRET}
        assert (monitor.headers, monitor.body) == ({"Authorization": SECRET}, SECRET)
        assert Channel.objects.values_list("config", flat=True).get() == {"url": SECRET}

    def test_content_from_before_sealing_can_be_read_and_is_sealed_when_it_is_saved(self) -> None:
        channel = Channel.objects.create(name="Ops", kind="slack")
        Channel.objects.update(config=RawSQL("%s", [json.dumps({"url": SECRET})]))
        assert SECRET in stored(channel)

        channel.refresh_from_db()
        assert channel.config == {"url": SECRET}
        channel.save()
        assert SECRET not in stored(channel)

    def test_a_key_can_be_changed_without_loss_and_is_not_needed_after_reseal(
        self, settings: Settings, capsys: pytest.CaptureFixture[str]
    ) -> None:
        channel = Channel.objects.create(name="Ops", kind="slack", config={"url": SECRET})
        monitor = make_monitor("https://shop.example/", body=SECRET)
        former, settings.SECRET_KEY = (
            settings.SECRET_KEY,
            "another key that is as long as a real one",
        )

        for row in (
            channel,
            monitor,
        ):  # Save without the former key, which is no longer configured.
            row.refresh_from_db()
            row.name = "Renamed"
            row.save()
        assert (channel.config, monitor.body) == ({}, "")

        settings.SECRET_KEY_FALLBACKS = [former]
        call_command("reseal")
        assert "monitors: 1" in capsys.readouterr().out
        settings.SECRET_KEY_FALLBACKS = []
        for row in (channel, monitor):
            row.refresh_from_db()
        assert (channel.config, monitor.body) == ({"url": SECRET}, SECRET)


def stored(row: Model) -> str:
    """Return the row as text, with the values that the database stores."""
    with connection.cursor() as cursor:
        table, key = row._meta.db_table, row._meta.pk.column
        cursor.execute(f'SELECT * FROM "{table}" WHERE "{key}" = %s', [row.pk])
        return str(cursor.fetchall())
