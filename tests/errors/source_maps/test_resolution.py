"""Stored events are resolved with source maps: their frames are shown as written, and group by the original code."""

import base64
import contextlib
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone
from pytest_django import DjangoCaptureOnCommitCallbacks, Settings

from core.clients.models import ClientApp
from errors import tasks
from errors.event import fingerprint, json_codec
from errors.models import (
    ArtifactBundle,
    ErrorEvent,
    ErrorGroup,
    EventToResolve,
    GroupHash,
    GroupHour,
    GroupTag,
    GroupUser,
    ResolvedEvent,
    ResolvedStack,
    Status,
)
from errors.services import resolution, triage
from errors.services.merging import merge_groups
from errors.source_maps import storage as contents
from errors.source_maps.resolve import resolve as really
from errors.store import payloads, to_resolve
from tests.errors.source_maps.built import Build, Cli, archive
from tests.errors.support import Sender

pytestmark = pytest.mark.django_db
DEBUG_ID = "6d9e271d-ffad-5b97-a13d-8954e7fe7f2b"
OTHER_ID = "11111111-2222-3333-4444-555555555555"
OLD, NEW = Build(names="tn", debug_id=DEBUG_ID), Build(names="xy", debug_id=OTHER_ID)


@pytest.fixture
def browser(shop: ClientApp) -> Sender:
    return Sender(shop)


def upload(cli: Cli, content: bytes, **body: Any) -> None:
    assert cli.upload(content, **body)["state"] == "ok"
    to_resolve.clear()


def resolve() -> int:
    return resolution.resolve_pending(now=timezone.now())


def send(browser: Sender, event: dict[str, Any]) -> ErrorEvent:
    answer = browser.send(event)
    assert answer.status_code == 200, answer.content
    return ErrorEvent.objects.get(event_id=answer.json()["id"])


def frames_of(event: ErrorEvent) -> list[dict[str, Any]]:
    row = ResolvedEvent.objects.select_related("stack").get(pk=event.pk)
    assert row.stack
    stacks = json_codec.decode(payloads.unpack(bytes(row.stack.data)))
    return stacks["exception.0"]  # type: ignore[no-any-return]


def places(event: ErrorEvent) -> list[tuple[str, str, int]]:
    return [(one["filename"], one.get("function", "?"), one["lineno"]) for one in frames_of(event)]


ORIGINAL = [
    ("src/cart.js", "?", 7),
    ("src/cart.js", "checkout", 6),
    ("src/cart.js", "addToCart", 3),
]


# --- frames -----------------------------------------------------------------------------------------------
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
def test_files_may_be_named_by_path_or_address(cli: Cli, browser: Sender, prefix: str) -> None:
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


def test_code_of_libraries_is_not_of_the_app(cli: Cli, browser: Sender) -> None:
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
def test_a_broken_map_is_named_and_harms_nothing(cli: Cli, browser: Sender, content: bytes) -> None:
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
        "The content of ~/static/app.js.map is missing in the storage."
    ]


def test_a_map_that_is_too_large_is_not_opened(
    cli: Cli, browser: Sender, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("errors.source_maps.lookup.MAX_MAP_BYTES", 10)
    upload(cli, OLD.archive())

    event = send(browser, OLD.event())
    resolve()

    assert "is over 0 MiB" in ResolvedEvent.objects.get(pk=event.pk).problems[0]


# --- when ---------------------------------------------------------------------------------------------------
def test_an_upload_resolves_the_events_before_it(
    cli: Cli, browser: Sender, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
) -> None:
    event = send(browser, OLD.event())
    assert not EventToResolve.objects.exists()

    upload(cli, OLD.archive())
    tasks.resolve_waiting(app_id=cli.app.pk)

    assert places(event) == ORIGINAL


def test_an_event_without_its_map_is_resolved_when_it_arrives(cli: Cli, browser: Sender) -> None:
    upload(cli, NEW.archive())
    event = send(browser, OLD.event())
    resolve()
    assert not ResolvedEvent.objects.get(pk=event.pk).is_complete

    upload(cli, OLD.archive())
    assert resolution.queue_waiting(cli.app.pk, now=timezone.now()) == 1
    resolve()

    assert places(event) == ORIGINAL
    assert resolution.queue_waiting(cli.app.pk, now=timezone.now()) == 0


def test_events_that_a_process_stored_unmarked_are_found_by_a_second_pass(
    cli: Cli, browser: Sender
) -> None:
    now = timezone.now()
    to_resolve.clear()
    send(browser, NEW.event())  # this process has read that no app has source maps
    assert cli.upload(OLD.archive())["state"] == "ok"
    event = send(browser, OLD.event())
    assert not EventToResolve.objects.exists()

    assert resolution.settle_uploads(now=now) == 0
    assert resolution.settle_uploads(now=now + timedelta(minutes=1)) == 1
    resolve()

    assert places(event) == ORIGINAL
    assert resolution.settle_uploads(now=now + timedelta(minutes=2)) == 0


def test_apps_without_source_maps_have_nothing_marked(cli: Cli, browser: Sender) -> None:
    send(browser, OLD.event())
    assert not EventToResolve.objects.exists()

    upload(cli, OLD.archive())
    send(browser, {"platform": "python", "message": "not a script"})
    assert not EventToResolve.objects.exists()

    send(browser, OLD.event())
    assert EventToResolve.objects.count() == 1


def test_an_event_that_ends_the_worker_is_tried_three_times(
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


# --- groups -------------------------------------------------------------------------------------------------
def test_a_new_bundle_does_not_split_a_group(cli: Cli, browser: Sender) -> None:
    upload(cli, OLD.archive())
    upload(cli, NEW.archive())

    first = send(browser, OLD.event(user={"id": "ann"}, tags={"plan": "pro"}))
    resolve()
    second = send(browser, NEW.event(user={"id": "bob"}, tags={"plan": "pro"}))
    assert ErrorGroup.objects.visible().count() == 2
    resolve()

    [group] = ErrorGroup.objects.visible()
    second.refresh_from_db()
    assert first.group_id == second.group_id == group.pk
    assert (group.event_count, group.user_count, group.last_event) == (2, 2, second.pk)
    assert group.culprit == "src/cart.js in addToCart"
    assert GroupTag.objects.get(group=group, key="plan").count == 2
    assert sum(GroupHour.objects.filter(group=group).values_list("count", flat=True)) == 2
    emptied = ErrorGroup.objects.get(merged_into=group)
    assert emptied.event_count == emptied.user_count == 0
    assert not GroupHour.objects.filter(group=emptied).exists()
    assert not GroupUser.objects.filter(group=emptied).exists()
    assert not GroupTag.objects.filter(group=emptied).exists()


def test_the_next_event_of_the_new_bundle_goes_to_the_group_at_once(
    cli: Cli, browser: Sender
) -> None:
    upload(cli, OLD.archive())
    upload(cli, NEW.archive())
    first = send(browser, OLD.event())
    resolve()
    send(browser, NEW.event())
    resolve()

    third = send(browser, NEW.event())

    assert third.group_id == first.group_id


def test_different_bugs_with_the_same_short_names_are_two_groups(cli: Cli, browser: Sender) -> None:
    pay = Build(
        names="tn",
        debug_id=OTHER_ID,
        source=Build().source.replace("checkout", "refund").replace("addToCart", "giveBack"),
    )
    upload(cli, OLD.archive())
    upload(cli, pay.archive())

    first, second = send(browser, OLD.event()), send(browser, pay.event())
    assert first.group_id == second.group_id
    resolve()

    first.refresh_from_db()
    second.refresh_from_db()
    assert first.group_id != second.group_id
    one, other = ErrorGroup.objects.visible().order_by("pk")
    assert (one.culprit, other.culprit) == ("src/cart.js in addToCart", "src/cart.js in giveBack")
    assert (one.event_count, other.event_count) == (1, 1)


def test_a_group_from_before_the_source_maps_does_not_split(cli: Cli, browser: Sender) -> None:
    pay = Build(
        names="tn", debug_id=OTHER_ID, source=Build().source.replace("addToCart", "giveBack")
    )
    old = send(browser, OLD.event())
    upload(cli, OLD.archive())
    upload(cli, pay.archive())

    first, second = send(browser, OLD.event()), send(browser, pay.event())
    resolve()

    [group] = ErrorGroup.objects.all()
    assert {one.group_id for one in ErrorEvent.objects.all()} == {group.pk}
    assert {old.pk, first.pk, second.pk} == set(ErrorEvent.objects.values_list("pk", flat=True))
    assert group.hashes.filter(kind=GroupHash.Kind.ORIGINAL).count() == 2


def test_a_group_of_an_earlier_version_of_the_algorithm_is_found(
    cli: Cli, browser: Sender, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload(cli, OLD.archive())
    upload(cli, NEW.archive())
    monkeypatch.setattr(fingerprint, "fingerprint", fingerprint.version_1)
    first = send(browser, OLD.event())
    resolve()
    monkeypatch.undo()
    to_resolve.clear()

    second = send(browser, NEW.event())
    resolve()

    second.refresh_from_db()
    assert second.group_id == first.group_id


def test_an_event_moved_into_a_resolved_group_is_a_regression(
    cli: Cli, browser: Sender, owner: Any
) -> None:
    upload(cli, OLD.archive())
    upload(cli, NEW.archive())
    send(browser, OLD.event())
    resolve()
    triage.resolve_groups(
        ErrorGroup.objects.all(), user=owner, now=timezone.now() - timedelta(seconds=5)
    )

    send(browser, NEW.event(release="shop@2.0"))
    resolve()

    [group] = ErrorGroup.objects.visible()
    assert group.status == Status.REGRESSED
    assert group.regressed_in_release == "shop@2.0"


def test_a_group_that_staff_worked_with_stays_when_its_events_move(
    cli: Cli, browser: Sender, owner: Any
) -> None:
    upload(cli, OLD.archive())
    upload(cli, NEW.archive())
    send(browser, OLD.event())
    resolve()
    second = send(browser, NEW.event())
    triage.add_comment(
        ErrorGroup.objects.get(pk=second.group_id), user=owner, now=timezone.now(), text="mine"
    )

    resolve()

    assert ErrorGroup.objects.visible().count() == 2


def test_a_fingerprint_of_the_client_stays(cli: Cli, browser: Sender) -> None:
    upload(cli, OLD.archive())

    event = send(browser, OLD.event(fingerprint=["checkout"]))
    before = event.group_id
    resolve()

    event.refresh_from_db()
    assert event.group_id == before
    assert GroupHash.objects.count() == 1
    assert places(event) == ORIGINAL


def test_events_of_merged_groups_stay_merged(cli: Cli, browser: Sender, owner: Any) -> None:
    upload(cli, OLD.archive())
    upload(cli, NEW.archive())
    other = send(browser, {"platform": "javascript", "message": "something else"})
    event = send(browser, OLD.event())
    kept = merge_groups(list(ErrorGroup.objects.all()), user=owner, now=timezone.now())
    resolve()

    send(browser, NEW.event())
    resolve()

    assert list(ErrorGroup.objects.visible()) == [kept]
    kept.refresh_from_db()
    assert kept.event_count == 3
    assert {other.group_id, event.group_id} <= set(kept.family)


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
