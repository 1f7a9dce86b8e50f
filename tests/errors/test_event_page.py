"""Test the page of an event, the download of its payload, and the description of payloads with any content."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from hypothesis import given, settings
from hypothesis import strategies as st

from core.clients.models import ClientApp
from errors.models import EventPayload, UserReport
from errors.queries.event_page import Line, describe, text
from tests.errors.stored import NOON, event_url, make_error


def test_the_event_page_shows_the_whole_payload(browse: Client, shop: ClientApp) -> None:
    event = make_error(shop, request_id="req-12345", order_ref="o-1", environment="staging")
    UserReport.objects.create(
        app=shop, event_id=event.event_id, message="It ate my money", received_at=NOON
    )

    page = browse.get(event_url(event)).content.decode()

    for shown in ("PaymentDeclined", "HTTPError", "&lt;Order #7&gt;", "https://shop.example/pay"):
        assert shown in page
    for shown in ("req-12345", "o-1", "staging", "CPython", "Accept", "It ate my money"):
        assert shown in page


def test_the_event_page_links_to_the_newer_and_the_older_event(
    browse: Client, shop: ClientApp
) -> None:
    first, middle, last = (
        make_error(shop, group="g", received_at=NOON + timedelta(minutes=n)) for n in range(3)
    )
    make_error(shop, group="other", received_at=NOON + timedelta(minutes=1))

    around = browse.get(event_url(middle)).context["around"]

    assert (around.newer, around.older) == (last.pk, first.pk)


def test_an_event_downloads_as_harmless_json(browse: Client, shop: ClientApp) -> None:
    event = make_error(shop)

    answer = browse.get(reverse("errors:event-raw", args=[event.group_id, event.pk]))

    assert answer["Content-Type"] == "application/json"
    assert answer["Content-Disposition"].startswith("attachment;")
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert json.loads(answer.content)["tags"] == {"browser": "Firefox 133"}


def test_the_page_of_an_event_without_payload_shows_its_columns(
    browse: Client, shop: ClientApp
) -> None:
    event = make_error(shop, request_id="req-12345")
    EventPayload.objects.all().delete()

    assert "req-12345" in browse.get(event_url(event)).content.decode()
    assert browse.get(event_url(event) + "json/").status_code == 404


def test_an_event_is_not_shown_under_another_group(browse: Client, shop: ClientApp) -> None:
    event, other = make_error(shop), make_error(shop)

    url = reverse("errors:event-detail", args=[other.group_id, event.pk])

    assert browse.get(url).status_code == 404


# --- the description of a payload --------------------------------------------------------------------------


def frame(function: str, *, in_app: bool = False, **more: object) -> dict[str, object]:
    return {"filename": f"{function}.py", "function": function, "in_app": in_app, **more}


def with_frames(*frames: dict[str, object]) -> dict[str, Any]:
    return {"exception": {"values": [{"type": "E", "stacktrace": {"frames": list(frames)}}]}}


def test_the_last_exception_comes_first_and_its_causes_follow() -> None:
    page = describe({"exception": {"values": [{"type": "KeyError"}, {"type": "SoldOut"}]}})

    assert [raised.type for raised in page.chain] == ["SoldOut", "KeyError"]


def test_frames_come_newest_first_and_those_of_the_app_are_open() -> None:
    page = describe(with_frames(frame("run"), frame("pay", in_app=True), frame("send")))

    shown = [(one.function, one.is_open) for run in page.chain[0].runs for one in run.frames]

    assert shown == [("send", False), ("pay", True), ("run", False)]


def test_without_app_frames_the_newest_frame_is_open() -> None:
    page = describe(with_frames(frame("run"), frame("send")))

    assert [run.frames[0].is_open for run in page.chain[0].runs] == [True, False]


def test_many_consecutive_library_frames_are_folded() -> None:
    libraries = [frame(f"lib{n}") for n in range(5)]

    page = describe(with_frames(*libraries, frame("pay", in_app=True)))

    assert [run.is_folded for run in page.chain[0].runs] == [False, True]
    assert len(page.chain[0].runs[1].frames) == 5


def test_source_lines_are_numbered_around_the_current_one() -> None:
    page = describe(
        with_frames(
            frame("pay", lineno=42, pre_context=["a", "b"], context_line="c", post_context=["d"])
        )
    )

    assert page.chain[0].runs[0].frames[0].lines == [
        Line(40, "a"),
        Line(41, "b"),
        Line(42, "c", is_current=True),
        Line(43, "d"),
    ]


def test_a_message_with_a_crashed_thread_shows_the_frames_of_that_thread() -> None:
    page = describe(
        {
            "logentry": {"formatted": "out of paper"},
            "threads": {
                "values": [
                    {"id": 1, "stacktrace": {"frames": [frame("idle")]}},
                    {"id": 2, "crashed": True, "stacktrace": {"frames": [frame("printing")]}},
                ]
            },
        }
    )

    assert page.message == "out of paper"
    assert page.chain[0].runs[0].frames[0].function == "printing"


def test_breadcrumb_times_are_parsed_from_numbers_and_strings() -> None:
    page = describe(
        {"breadcrumbs": {"values": [{"timestamp": 0}, {"timestamp": "2026-11-22T12:00:00Z"}, {}]}}
    )

    assert [crumb.at for crumb in page.breadcrumbs] == [
        datetime(1970, 1, 1, tzinfo=UTC),
        datetime(2026, 11, 22, 12, tzinfo=UTC),
        None,
    ]


def test_notes_list_what_was_trimmed() -> None:
    page = describe({"errors": [{"type": "trimmed", "name": "request.data"}, {"type": "invalid"}]})

    assert page.notes == ["request.data: trimmed", "invalid"]


def test_long_values_are_cut_for_the_page() -> None:
    assert len(text("x" * 1_000_000)) < 21_000


MEMBERS = (
    *("exception", "threads", "stacktrace", "breadcrumbs", "request", "user", "tags"),
    *("contexts", "extra", "modules", "sdk", "errors", "logentry", "message"),
)
KEYS = st.sampled_from(
    (
        *MEMBERS,
        *("values", "frames", "type", "value", "mechanism", "handled", "lineno", "vars"),
        *("context_line", "pre_context", "in_app", "timestamp", "data", "headers"),
        *("cookies", "query_string", "env", "url", "level", "crashed", "name"),
    )
)
JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=True) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=5),
    max_leaves=30,
)


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(st.dictionaries(st.sampled_from(MEMBERS), JUNK))
def test_any_payload_can_be_described(payload: dict[str, object]) -> None:
    describe(payload)


@pytest.mark.parametrize("value", [None, 3, "x", [], [1, [2]], {"frames": 7}, {"values": {}}])
def test_members_of_the_wrong_type_show_nothing(value: object) -> None:
    page = describe(dict.fromkeys(MEMBERS, value))

    assert page.breadcrumbs == []
