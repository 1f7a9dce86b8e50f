"""Test that stored events are resolved with source maps, so that their frames show the original code."""

import base64
from unittest.mock import Mock

import pytest

from errors.event import json_codec
from errors.models import (
    ArtifactBundle,
    ErrorGroup,
    EventToResolve,
    ResolvedEvent,
    ResolvedStack,
)
from errors.source_maps import storage as contents
from tests.errors.source_maps.built import Build, Cli, archive
from tests.errors.source_maps.resolving import (
    DEBUG_ID,
    OLD,
    ORIGINAL,
    frames_of,
    places,
    resolve,
    send,
    upload,
)
from tests.errors.support import Sender

pytestmark = pytest.mark.django_db


def test_frames_are_found_by_debug_id(cli: Cli, browser: Sender, storage: str) -> None:
    upload(cli, OLD.archive())

    event = send(browser, OLD.event())
    assert resolve() == 1

    assert places(event) == ORIGINAL
    last = frames_of(event)[-1]
    assert last["context_line"] == "  return cart.total + item.offer.price;"
    assert last["pre_context"][-1] == "export function addToCart(cart, item) {"
    assert last["post_context"][0] == "}"
    assert last["in_app"] is True
    row = ResolvedEvent.objects.get()
    assert (row.is_complete, row.problems) == (True, [])
    assert not EventToResolve.objects.exists()


def test_events_wait_while_the_storage_is_unavailable(
    cli: Cli, browser: Sender, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload(cli, OLD.archive())
    first, second = (send(browser, OLD.event()) for _ in range(2))
    with monkeypatch.context() as outage:
        outage.setattr(contents, "_storage", Mock(side_effect=ConnectionError))
        resolve()
    waiting = EventToResolve.objects.values_list("attempts", flat=True)
    assert list(waiting) == [0, 0]
    assert not ResolvedEvent.objects.exists()

    EventToResolve.objects.update(claimed_until=None)
    resolve()

    assert places(first) == places(second) == ORIGINAL


def test_frames_are_found_by_release_and_path(cli: Cli, browser: Sender) -> None:
    build = Build()
    upload(cli, build.archive(), version="shop@1.0")

    event = send(browser, build.event(release="shop@1.0"))
    other = send(browser, build.event(release="shop@1.1"))
    resolve()

    assert places(event) == ORIGINAL
    missing = ResolvedEvent.objects.get(pk=other.pk)
    assert missing.stack is None
    assert missing.problems == ["No source map for app.js was uploaded for release shop@1.1."]


def test_the_dist_of_a_release_is_respected(cli: Cli, browser: Sender) -> None:
    one, other = Build(), Build(source=Build().source.replace("checkout", "payNow"))
    upload(cli, one.archive(), version="1.0", dist="a")
    upload(cli, other.archive(), version="1.0", dist="b")

    event = send(browser, other.event(release="1.0") | {"dist": "b"})
    resolve()

    assert [place[1] for place in places(event)] == ["?", "payNow", "addToCart"]


@pytest.mark.parametrize("prefix", ["~/static", "https://shop.example/static", "/static"])
def test_files_may_be_identified_by_path_or_url(cli: Cli, browser: Sender, prefix: str) -> None:
    build = Build()
    upload(cli, archive(build.files(prefix)), version="1.0")

    event = send(browser, build.event(release="1.0"))
    resolve()

    assert places(event) == ORIGINAL


def test_a_script_on_an_ip_address_is_found(cli: Cli, browser: Sender) -> None:
    upload(cli, OLD.archive())
    text = json_codec.encode(OLD.event()).replace(b"https://shop.example", b"http://127.0.0.1:8302")

    event = send(browser, json_codec.decode(text))
    resolve()

    assert places(event) == ORIGINAL


def test_an_inline_source_map_is_used(cli: Cli, browser: Sender) -> None:
    build = Build()
    inline = b"data:application/json;base64," + base64.b64encode(build.map)
    script = build.script.replace(b"app.js.map", inline)
    entry = {"type": "minified_source", "url": "~/static/app.js"}
    upload(cli, archive({"app.js": (entry, script)}), version="1.0")

    event = send(browser, build.event(release="1.0"))
    resolve()

    assert places(event) == ORIGINAL


def test_library_code_is_not_in_app(cli: Cli, browser: Sender) -> None:
    build = Build(path="webpack://shop/./node_modules/cart/index.js", debug_id=DEBUG_ID)
    upload(cli, build.archive())

    event = send(browser, build.event())
    resolve()

    assert {frame["in_app"] for frame in frames_of(event)} == {False}


def test_source_lines_are_scrubbed(cli: Cli, browser: Sender) -> None:
    build = Build(
        source=Build().source.replace("}\nexport", "}  // ask ann@example.org\nexport"),
        debug_id=DEBUG_ID,
    )
    upload(cli, build.archive())

    event = send(browser, build.event())
    resolve()

    assert frames_of(event)[-1]["post_context"][0] == "}  // ask [Filtered]"


def test_equal_stacks_are_stored_once(cli: Cli, browser: Sender) -> None:
    upload(cli, OLD.archive())

    for _ in range(3):
        send(browser, OLD.event())
    resolve()

    assert (ResolvedEvent.objects.count(), ResolvedStack.objects.count()) == (3, 1)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b'{"version": 3}',
        b'{"version":3,"sources":["a"],"names":[],"mappings":"!!!"}',
        b"\xff\xfe",
    ],
)
def test_a_broken_map_is_named_and_does_not_prevent_other_results(
    cli: Cli, browser: Sender, content: bytes
) -> None:
    files = OLD.files()
    path = "files/_/_/app.js.map"
    upload(cli, archive({**files, path: (files[path][0], content)}))

    event = send(browser, OLD.event())
    resolve()

    row = ResolvedEvent.objects.get(pk=event.pk)
    assert row.stack is None
    assert not row.problems or "app.js.map" in row.problems[0]
    assert ErrorGroup.objects.get().event_count == 1


def test_a_map_missing_in_the_storage_is_named(cli: Cli, browser: Sender) -> None:
    upload(cli, OLD.archive())
    for file in ArtifactBundle.objects.get().files.select_related("content"):
        contents.delete(file.content.name)

    event = send(browser, OLD.event())
    resolve()

    assert ResolvedEvent.objects.get(pk=event.pk).problems == [
        "The content of ~/static/app.js.map is missing from the storage."
    ]


def test_a_map_that_is_too_large_is_not_opened(
    cli: Cli, browser: Sender, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("errors.source_maps.lookup.MAX_MAP_BYTES", 10)
    upload(cli, OLD.archive())

    event = send(browser, OLD.event())
    resolve()

    assert "is larger than 0 MiB" in ResolvedEvent.objects.get(pk=event.pk).problems[0]
