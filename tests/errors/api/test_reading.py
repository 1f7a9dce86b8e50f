"""Test that the API returns lists, search results, details, counts, releases and exports of errors."""

import json
import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from core.clients.models import ClientApp
from core.releases.services import ensure_release
from errors.models import ErrorEvent, ErrorGroup
from errors.queries import events
from errors.services import merging, record_events, triage
from tests.errors.stored import NOON, PAYLOAD, group_of, make_error, new_error, record_group
from tests.factories import make_app

pytestmark = pytest.mark.django_db


def get(client: Client, path: str, **parameters: Any) -> Any:
    answer = client.get(f"/api/v1/{path}", parameters)
    assert answer.status_code == 200, answer.content
    return answer.json()


def test_the_list_contains_only_the_open_errors_of_the_app(shop: ClientApp, reader: Client) -> None:
    one, resolved = record_group(shop), record_group(shop)
    record_group(make_app("other"))
    resolved_only = ErrorGroup.objects.filter(pk=resolved.pk)
    triage.resolve_groups(resolved_only, user=None, now=NOON)

    [row] = get(reader, "error-groups/")["groups"]

    assert (row["id"], row["title"], row["event_count"]) == (one.pk, one.title, one.event_count)
    assert row["url"].endswith(f"/admin/errors/{one.pk}/")
    assert len(get(reader, "error-groups/", state="all")["groups"]) == 2
    assert [g["id"] for g in get(reader, "error-groups/", state="resolved")["groups"]] == [resolved.pk]  # fmt: skip


def test_the_api_and_the_page_search_in_the_same_way(shop: ClientApp, reader: Client) -> None:
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


def test_counts_over_time_include_only_the_app(shop: ClientApp, reader: Client) -> None:
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


# --- events of an app --------------------------------------------------------------------------------------


def record_events_of(shop: ClientApp, *counts: int) -> list[ErrorGroup]:
    """Record `counts[n]` events of the n-th error, one event per minute, from each error in turn."""
    groups: dict[int, ErrorGroup] = {}
    minute = 0
    for turn in range(max(counts, default=0)):
        for number, count in enumerate(counts):
            if turn < count:
                minute += 1
                event = make_error(
                    shop,
                    group=f"g{number}",
                    title=f"Problem {number}",
                    received_at=NOON + timedelta(minutes=minute),
                )
                groups[number] = group_of(event)
    return list(groups.values())


def all_pages(client: Client, limit: int, **parameters: Any) -> list[dict[str, Any]]:
    found, cursor = [], ""
    while True:
        page = get(client, "events/", limit=limit, cursor=cursor, **parameters)
        found += page["events"]
        assert len(page["events"]) <= limit
        cursor = page["next_cursor"]
        if not cursor:
            return found


@pytest.mark.parametrize("size", [1, 2, 5, 100])
def test_events_of_an_app_are_listed_newest_first_without_gaps(
    shop: ClientApp, reader: Client, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "CHUNK_SIZE", 2)
    record_events_of(shop, 1, 9, 2, 4, 1)
    record_events_of(make_app("other"), 3)

    found = [one["event_id"] for one in all_pages(reader, size)]

    expected = ErrorEvent.objects.filter(app=shop).newest_first()
    assert found == [one.hex for one in expected.values_list("event_id", flat=True)]
    assert len(found) == 17


def test_events_are_found_by_query_state_and_time(shop: ClientApp, reader: Client) -> None:
    first, second = record_events_of(shop, 3, 3)
    triage.resolve_groups(ErrorGroup.objects.filter(pk=second.pk), user=None, now=NOON)

    def find(**parameters: Any) -> list[tuple[int, str]]:
        rows = get(reader, "events/", **parameters)["events"]
        return [(row["group"], row["received_at"][11:16]) for row in rows]

    assert [group for group, _ in find(query='"Problem 0"')] == [first.pk] * 3
    assert [group for group, _ in find(state="resolved")] == [second.pk] * 3
    assert [group for group, _ in find(query="is:open")] == [first.pk] * 3
    in_range = find(since="2026-11-22T12:02:00Z", until="2026-11-22T12:04:00Z")
    assert in_range == [(first.pk, "12:03"), (second.pk, "12:02")]
    assert find(since="2026-11-22T13:00:00Z") == find(until="2026-11-22T12:00:00Z") == []


def test_events_of_merged_errors_are_found_with_the_error_that_was_kept(
    shop: ClientApp, reader: Client
) -> None:
    first, second = record_events_of(shop, 2, 2)
    merging.merge_groups([first, second], user=None, now=NOON)

    assert len(get(reader, "events/")["events"]) == 4


def test_an_error_whose_newest_events_were_deleted_does_not_hide_others(
    shop: ClientApp, reader: Client
) -> None:
    record_events_of(shop, 1, 4)
    newest = list(ErrorEvent.objects.newest_first()[:2])
    ErrorEvent.objects.filter(pk__in=[event.pk for event in newest]).delete()

    assert len(all_pages(reader, 1)) == 3


def test_an_error_whose_remaining_events_are_old_does_not_end_the_search(
    shop: ClientApp, reader: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "CHUNK_SIZE", 1)
    made = {
        minute: make_error(shop, group=group, received_at=NOON + timedelta(minutes=minute))
        for group, minute in (("a", 1), ("d", 2), ("c", 3), ("b", 5), ("a", 10), ("d", 11))
    }
    ErrorEvent.objects.filter(pk__in=[made[10].pk, made[11].pk]).delete()

    found = [one["event_id"] for one in all_pages(reader, 2)]

    assert found == [made[minute].event_id.hex for minute in (5, 3, 2, 1)]


@pytest.mark.parametrize(
    "parameters",
    [
        {"limit": "0"},
        {"limit": "101"},
        {"since": "yesterday"},
        {"since": "2026-11-22T13:00:00Z", "until": "2026-11-22T12:00:00Z"},
        {"state": "closed"},
        {"query": "severity:awful"},
    ],
)
def test_invalid_parameters_of_the_list_of_events_are_refused(
    reader: Client, parameters: dict[str, str]
) -> None:
    assert reader.get("/api/v1/events/", parameters).status_code == 422


def test_an_invalid_cursor_lists_the_first_page(shop: ClientApp, reader: Client) -> None:
    record_events_of(shop, 2)
    for cursor in ("x", "-1", "9" * 30, "²"):
        assert len(get(reader, "events/", cursor=cursor)["events"]) == 2
