"""Test reading errors with the API: lists, searches, details, counts, releases and the export."""

import json
import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from core.clients.models import ClientApp
from core.releases.services import ensure_release
from errors.models import ErrorGroup
from errors.services import merging, record_events, triage
from tests.errors.stored import NOON, PAYLOAD, new_error, record_group
from tests.factories import make_app

pytestmark = pytest.mark.django_db


def get(client: Client, path: str, **parameters: Any) -> Any:
    answer = client.get(f"/api/v1/{path}", parameters)
    assert answer.status_code == 200, answer.content
    return answer.json()


def test_the_list_has_the_open_errors_of_the_app_only(shop: ClientApp, reader: Client) -> None:
    one, resolved = record_group(shop), record_group(shop)
    record_group(make_app("other"))
    resolved_only = ErrorGroup.objects.filter(pk=resolved.pk)
    triage.resolve_groups(resolved_only, user=None, now=NOON)

    [row] = get(reader, "error-groups/")["groups"]

    assert (row["id"], row["title"], row["event_count"]) == (one.pk, one.title, one.event_count)
    assert row["url"].endswith(f"/admin/errors/{one.pk}/")
    assert len(get(reader, "error-groups/", state="all")["groups"]) == 2
    assert [g["id"] for g in get(reader, "error-groups/", state="resolved")["groups"]] == [resolved.pk]  # fmt: skip


def test_the_search_is_that_of_the_page(shop: ClientApp, reader: Client) -> None:
    first = record_group(shop, release="shop@1.0", title="card declined")
    record_group(shop, release="shop@2.0", title="seat taken")

    for query in ("release:shop@1.0", "card", "is:unassigned card"):
        [row] = get(reader, "error-groups/", query=query)["groups"]
        assert row["id"] == first.pk

    answer = reader.get("/api/v1/error-groups/", {"query": "severity:awful"})
    assert answer.status_code == 422
    assert "unknown severity" in answer.json()["detail"]


@pytest.mark.parametrize("sort", ["", "events", "users"])
def test_pages_follow_each_other_without_gaps(shop: ClientApp, reader: Client, sort: str) -> None:
    expected = {record_group(shop).pk for _ in range(7)}
    seen: list[int] = []
    cursor = ""

    while True:
        page = get(reader, "error-groups/", limit=3, cursor=cursor, sort=sort)
        seen += [row["id"] for row in page["groups"]]
        cursor = page["next_cursor"]
        if not cursor:
            break

    assert len(seen) == 7
    assert set(seen) == expected


@pytest.mark.parametrize(
    ("path", "parameters"),
    [
        ("error-groups/", {"limit": "0"}),
        ("error-groups/", {"limit": "101"}),
        ("error-groups/", {"limit": "٣"}),
        ("error-groups/", {"sort": "risk"}),
        ("error-groups/", {"state": "gone"}),
        ("error-groups/", {"query": "moon:full"}),
        ("error-counts/", {"since": "yesterday"}),
        ("error-counts/", {"since": "2026-01-01", "until": "2025-01-01"}),
        ("error-counts/", {"since": "0001-01-01T00:00:00+14:00"}),
        ("error-events/export/", {"until": "soon"}),
        ("releases/", {"limit": "x"}),
    ],
)
def test_invalid_parameters_are_a_422(
    reader: Client, path: str, parameters: dict[str, str]
) -> None:
    answer = reader.get(f"/api/v1/{path}", parameters)

    assert answer.status_code == 422
    assert answer.json()["detail"]


def test_an_error_has_its_history_tags_and_merged_errors(shop: ClientApp, reader: Client) -> None:
    kept, other = record_group(shop), record_group(shop)
    merging.merge_groups([kept, other], user=None, now=NOON)
    triage.add_comment(kept, user=None, now=NOON, text="known")

    shown = get(reader, f"error-groups/{kept.pk}/")

    assert shown["merged"] == [other.pk]
    assert "known" in [note["text"] for note in shown["notes"]]
    assert isinstance(shown["tags"], dict)


def test_events_are_listed_newest_first_and_shown_with_their_payload(
    shop: ClientApp, reader: Client
) -> None:
    events = [
        new_error(shop, group="a", received_at=NOON + timedelta(minutes=n), payload=PAYLOAD)
        for n in range(5)
    ]
    record_events(events)
    group = ErrorGroup.objects.get()

    page = get(reader, f"error-groups/{group.pk}/events/", limit=3)
    rest = get(reader, f"error-groups/{group.pk}/events/", limit=3, cursor=page["next_cursor"])

    found = [row["event_id"] for row in page["events"] + rest["events"]]
    assert found == [event.event_id for event in reversed(events)]
    assert rest["next_cursor"] == ""
    shown = get(reader, f"error-events/{uuid.UUID(found[0])}/")
    assert shown["payload"]["breadcrumbs"]
    assert get(reader, f"error-groups/{group.pk}/counts/")["slots"]


def test_other_apps_cannot_read_an_error(shop: ClientApp, reader: Client) -> None:
    other = make_app("other")
    event = new_error(other)
    record_events([event])
    group = ErrorGroup.objects.get(app=other)

    for path in (
        f"error-groups/{group.pk}/",
        f"error-groups/{group.pk}/events/",
        f"error-groups/{group.pk}/counts/",
        f"error-events/{uuid.UUID(event.event_id)}/",
        "error-groups/99999999999999999999/",
    ):
        assert reader.get(f"/api/v1/{path}").status_code == 404
    assert get(reader, "error-groups/", query=event.event_id)["groups"] == []
    assert b"".join(reader.get("/api/v1/error-events/export/")) == b""


def test_counts_over_time_are_those_of_the_app(shop: ClientApp, reader: Client) -> None:
    now = timezone.now()
    record_events([new_error(shop, received_at=now) for _ in range(3)])
    record_events([new_error(make_app("other"), received_at=now)])

    counted = get(reader, "error-counts/")

    assert counted["step_seconds"] == 900
    assert sum(sum(slot["counts"].values()) for slot in counted["slots"]) == 3
    since = (now - timedelta(days=30)).isoformat()
    monthly = get(reader, "error-counts/", since=since)
    assert sum(sum(slot["counts"].values()) for slot in monthly["slots"]) == 3


def test_releases_are_listed_newest_first(shop: ClientApp, reader: Client) -> None:
    for number in range(3):
        ensure_release(app=shop, version=f"1.{number}", now=NOON + timedelta(hours=number))
    ensure_release(app=make_app("other"), version="9", now=NOON)

    page = get(reader, "releases/", limit=2)
    rest = get(reader, "releases/", limit=2, cursor=page["next_cursor"])

    assert [row["version"] for row in page["releases"] + rest["releases"]] == ["1.2", "1.1", "1.0"]


def test_the_export_streams_every_matching_event(shop: ClientApp, reader: Client) -> None:
    many = [new_error(shop, group="a", received_at=NOON + timedelta(seconds=n)) for n in range(450)]
    record_events(many)
    record_events([new_error(shop, group="b", release="2.0", received_at=NOON + timedelta(days=1))])

    def export(**parameters: str) -> list[Any]:
        answer = reader.get("/api/v1/error-events/export/", parameters)
        assert answer["Content-Type"] == "application/x-ndjson"
        assert answer.streaming
        return [json.loads(line) for line in b"".join(answer).splitlines()]

    lines = export()
    assert len(lines) == 451
    assert all(line["payload"] for line in lines)
    assert len({line["event_id"] for line in lines}) == 451
    assert len(export(query="release:2.0")) == 1
    assert len(export(since=(NOON + timedelta(hours=1)).isoformat())) == 1
    assert len(export(until=(NOON + timedelta(seconds=9)).isoformat())) == 9
