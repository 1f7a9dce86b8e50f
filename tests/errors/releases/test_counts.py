"""Test that events, users and sessions are counted by release, and that a release's first event creates a deploy."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from core.clients.models import ClientApp
from core.releases.models import Deploy, Release, ReleaseSessions, ReleaseUser
from errors.models import ReleaseCount
from errors.queries import releases as queries
from errors.services import record_events, release_counts
from tests.errors.stored import new_error
from tests.errors.support import Sender

pytestmark = pytest.mark.django_db
NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def store(app: ClientApp, *, at: datetime, **fields: Any) -> None:
    record_events([new_error(app, received_at=at, occurred_at=at, **fields)])


def row_of(version: str) -> queries.ReleaseRow:
    release = Release.objects.select_related("app").get(version=version)
    [row] = queries.describe_releases([release])
    return row


def test_events_are_counted_by_release(shop: ClientApp) -> None:
    store(shop, at=NOON, release="1.0", environment="production", user_key="ann", group="a")
    store(shop, at=NOON + MINUTE, release="1.0", environment="staging", user_key="ann", group="a")
    store(shop, at=NOON + 2 * MINUTE, release="1.1", user_key="bob", group="b")
    store(shop, at=NOON, group="c")

    release_counts.roll_up(now=NOON + 3 * MINUTE)

    row = row_of("1.0")
    assert (row.counts.event_count, row.affected_user_count, row.new_group_count) == (2, 1, 1)
    assert (row.counts.first_event_at, row.counts.last_event_at) == (NOON, NOON + MINUTE)
    assert row.release.created_at == NOON
    assert row_of("1.1").counts.event_count == 1
    assert Release.objects.count() == 2


def test_each_event_is_counted_once(shop: ClientApp) -> None:
    store(shop, at=NOON, release="1.0")
    for minutes in (1, 2, 3):
        release_counts.roll_up(now=NOON + minutes * MINUTE)
    store(shop, at=NOON + 3 * MINUTE, release="1.0")
    assert release_counts.roll_up(now=NOON + 3 * MINUTE) == 0, "it may still be committed"
    release_counts.roll_up(now=NOON + 4 * MINUTE)

    assert row_of("1.0").counts.event_count == 2


def test_many_events_are_counted_in_chunks(
    shop: ClientApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(release_counts, "CHUNK_SIZE", 2)
    for minutes in range(7):
        store(shop, at=NOON + minutes * MINUTE, release="1.0")

    release_counts.roll_up(now=NOON + 10 * MINUTE)

    assert row_of("1.0").counts.event_count == 7


def test_the_first_event_in_an_environment_is_a_derived_deploy(shop: ClientApp) -> None:
    store(shop, at=NOON, release="1.0", environment="staging")
    store(shop, at=NOON + MINUTE, release="1.0")
    release_counts.roll_up(now=NOON + 2 * MINUTE)
    store(shop, at=NOON + 2 * MINUTE, release="1.0", environment="staging")
    release_counts.roll_up(now=NOON + 3 * MINUTE)

    found = Deploy.objects.order_by("finished_at").values_list(
        "environment", "finished_at", "source"
    )
    assert list(found) == [("staging", NOON, "event"), ("production", NOON + MINUTE, "event")]


def test_events_cannot_create_an_unlimited_number_of_releases(
    shop: ClientApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(release_counts, "MAX_RELEASES_PER_APP", 2)
    for number in range(4):
        store(shop, at=NOON + number * MINUTE, release=f"1.{number}")

    release_counts.roll_up(now=NOON + 10 * MINUTE)

    assert Release.objects.count() == ReleaseCount.objects.count() == 2


def test_groups_are_counted_by_the_release_in_which_they_were_first_seen(shop: ClientApp) -> None:
    store(shop, at=NOON, release="1.0", group="a")
    store(shop, at=NOON + MINUTE, release="1.1", group="a")
    store(shop, at=NOON + MINUTE, release="1.1", group="b")
    release_counts.roll_up(now=NOON + 3 * MINUTE)

    row = row_of("1.1")
    assert row.new_group_count == 1
    [first, second] = queries.groups_in_release(row.release)
    assert {first[1], second[1]} == {1}


# --- sessions -------------------------------------------------------------------------------------------
def session(**fields: Any) -> dict[str, Any]:
    attributes = {"release": "shop@1.0", "environment": "production"}
    return {"sid": "s", "init": True, "status": "ok", "errors": 0, "attrs": attributes, **fields}


def send(sender: Sender, kind: str, payload: dict[str, Any]) -> None:
    import json

    body = b'{}\n{"type":"%b"}\n%b\n' % (kind.encode(), json.dumps(payload).encode())
    assert sender.post(body).status_code == 200


def test_sessions_are_counted_by_outcome(sender: Sender) -> None:
    send(sender, "session", session(did="ann"))
    send(sender, "session", session(did="bob"))
    send(sender, "session", session(did="bob", init=False, status="crashed", errors=1))
    send(sender, "session", session(did="cem", errors=1))
    send(sender, "session", session(did="cem", init=False, status="exited"))

    [counted] = ReleaseSessions.objects.all()
    assert (counted.started, counted.crashed, counted.errored, counted.abnormal) == (3, 1, 1, 0)
    assert counted.environment == "production"
    health = row_of("shop@1.0").health
    assert (health.crash_free_sessions, health.crash_free_users) == (66.66, 66.66)
    assert not ReleaseUser.objects.filter(user_key__contains="ann").exists()


def test_sums_of_sessions_are_counted(sender: Sender) -> None:
    sums = [{"started": "2026-11-22T12:00:00Z", "exited": 97, "errored": 1, "crashed": 2}]
    send(sender, "sessions", {"attrs": {"release": "shop@1.0"}, "aggregates": sums})

    health = row_of("shop@1.0").health
    assert (health.session_count, health.crashed_count, health.crash_free_sessions) == (
        100,
        2,
        98.0,
    )
    assert health.crash_free_users is None


@pytest.mark.parametrize("attributes", [None, {}, {"release": 7}, [], {"release": ""}])
def test_sessions_without_a_release_are_not_counted(sender: Sender, attributes: Any) -> None:
    send(sender, "session", session(did="ann", attrs=attributes))

    assert not ReleaseSessions.objects.exists()


def test_one_crash_among_many_sessions_is_never_shown_as_none() -> None:
    assert queries.Health(session_count=1_000_000, crashed_count=1).crash_free_sessions == 99.99
    assert queries.Health(session_count=10, crashed_count=0).crash_free_sessions == 100.0
    assert queries.Health().crash_free_sessions is None


def test_a_failed_write_is_repeated(shop: ClientApp, monkeypatch: pytest.MonkeyPatch) -> None:
    from errors.services import sessions

    one = sessions.Sessions(release="1.0", started=1, user="ann")
    monkeypatch.setattr(sessions, "_write", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        sessions.count(shop, one, now=timezone.now())
    monkeypatch.undo()

    sessions.count(shop, one, now=timezone.now())

    assert ReleaseSessions.objects.get().started == 2
    assert ReleaseUser.objects.count() == 1
