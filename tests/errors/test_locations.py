"""Test that locations in events keep their host, even an IP address, because the host is a server of the app."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from core.lib.scrub import scrubber
from errors.event.build import IngestContext, build_event, build_event_from_json
from errors.event.fingerprint import fingerprint
from errors.event.locations import scrub_location

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)

SCRIPT = "http://10.0.0.5:8302/static/b.js"


def stored(event: dict[str, Any], *, decoded: bool = False) -> Any:
    """Return the payload that would be stored. If `decoded` is set, build it without the frame cache."""
    context = IngestContext(received_at=NOON)
    if decoded:
        built = build_event(
            json.loads(json.dumps(event)), app_id=1, scrubber=scrubber(), context=context
        )
    else:
        payload = json.dumps(event).encode()
        built = build_event_from_json(payload, app_id=1, scrubber=scrubber(), context=context)
    return json.loads(built.payload)


def event_at(filename: str, **more: Any) -> dict[str, Any]:
    frame = {"filename": filename, "abs_path": filename, "function": "pay", "lineno": 1, **more}
    return {
        "platform": "javascript",
        "exception": {"values": [{"type": "E", "stacktrace": {"frames": [frame]}}]},
    }


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("http://10.0.0.5:8302/b.js", "http://10.0.0.5:8302/b.js"),
        ("https://203.0.113.9/", "https://203.0.113.9/"),
        ("https://203.0.113.9", "https://203.0.113.9"),
        ("http://[2001:db8::1]:80/b.js", "http://[2001:db8::1]:80/b.js"),
        ("webpack://10.0.0.5/src/a.ts?ip=198.51.100.7", "webpack://10.0.0.5/src/a.ts?ip=[Filtered]"),
        ("http://10.0.0.5/pay?email=jane@example.com", "http://10.0.0.5/pay?email=[Filtered]"),
        ("http://jane:hunter22@10.0.0.5/", "http://jane:[Filtered]@10.0.0.5/"),
        ("http://10.0.0.5/a.js in pay", "http://10.0.0.5/a.js in pay"),
    ],
)  # fmt: skip
def test_a_location_keeps_its_host_and_no_other_personal_data(given: str, kept: str) -> None:
    assert scrub_location(given) == kept


@pytest.mark.parametrize(
    "text",
    [
        "https://shop.example/b.js",
        "/srv/app.py",
        "10.0.0.5",
        "client 10.0.0.5 at http://10.0.0.5/",
        "http://10.0.0.5.example/",
    ],
)
def test_other_texts_are_left_to_the_scrubber(text: str) -> None:
    assert scrub_location(text) is None


@pytest.mark.parametrize("decoded", [False, True])
def test_a_frame_keeps_the_host_of_its_file(decoded: bool) -> None:
    for more in ({}, {"vars": {"ip": "198.51.100.7"}}):
        found = stored(event_at(SCRIPT, **more), decoded=decoded)

        frame = found["exception"]["values"][0]["stacktrace"]["frames"][0]
        assert (frame["filename"], frame["abs_path"]) == (SCRIPT, SCRIPT)
        assert frame.get("vars", {"ip": "[Filtered]"}) == {"ip": "[Filtered]"}


def test_frames_of_threads_and_of_messages_keep_their_hosts() -> None:
    stack = {"frames": [{"filename": SCRIPT, "function": "pay"}]}
    found = stored({"message": "m", "stacktrace": stack, "threads": [{"stacktrace": stack}]})

    assert found["stacktrace"]["frames"][0]["filename"] == SCRIPT
    assert found["threads"]["values"][0]["stacktrace"]["frames"][0]["filename"] == SCRIPT


def test_the_request_keeps_only_its_own_host() -> None:
    headers = {
        "Host": "10.0.0.5:8302",
        "Origin": "http://10.0.0.5:8302",
        "Referer": "http://198.51.100.7/from",
        "X-Forwarded-For": "198.51.100.7",
    }
    request = {"url": "http://10.0.0.5:8302/pay", "headers": headers}
    found = stored({"message": "m", "request": request, "tags": {"url": "http://10.0.0.5/x"}})

    assert found["request"]["url"] == "http://10.0.0.5:8302/pay"
    assert found["request"]["headers"] == {
        "Host": "10.0.0.5:8302",
        "Origin": "http://10.0.0.5:8302",
        "Referer": "http://[Filtered]/from",
        "X-Forwarded-For": "[Filtered]",
    }
    assert found["tags"]["url"] == "http://10.0.0.5/x"


def test_the_images_of_source_maps_keep_their_hosts() -> None:
    images = [{"type": "sourcemap", "code_file": SCRIPT}]
    found = stored({"message": "m", "debug_meta": {"images": images}})

    assert found["debug_meta"]["images"][0]["code_file"] == SCRIPT


def test_ip_addresses_elsewhere_are_filtered() -> None:
    crumbs = [{"message": f"GET {SCRIPT}", "data": {"ip": "10.0.0.5"}}]
    found = stored({"message": "client 10.0.0.5", "user": {"ip": "10.0.0.5"}, "breadcrumbs": crumbs})  # fmt: skip

    assert "10.0.0.5" not in json.dumps(found)


def test_a_location_that_the_app_declares_secret_is_filtered() -> None:
    context = IngestContext(received_at=NOON)
    own = scrubber(frozenset(("request", "abs_path", "exception")))
    event = {**event_at(SCRIPT), "request": {"url": "http://10.0.0.5/"}}
    built = build_event(event, app_id=1, scrubber=own, context=context)

    assert b"10.0.0.5" not in built.payload


@pytest.mark.parametrize("host", ["10.0.0.5:8302", "10.0.0.5", "[2001:db8::1]:80"])
def test_an_unfiltered_host_does_not_change_the_group(host: str) -> None:
    filtered = host.replace("10.0.0.5", "[Filtered]").replace("2001:db8::1", "[Filtered]")
    old = f"http://{filtered}/"

    for path in ("", "static/b.js"):
        before, after = event_at(old + path), event_at(f"http://{host}/{path}")
        assert fingerprint(before) == fingerprint(after)
