"""Test that the portal answers and counts errors that match an inbound filter, but does not store them."""

import json
import uuid

import pytest

from core.lib import ratelimit
from errors.event.filters import Filter
from errors.models import Discarded, ErrorEvent, ErrorGroup
from errors.services.discarded import discarded_items
from errors.services.filters import switch_off, switch_on
from tests.errors.support import Sender, envelope, raised

pytestmark = pytest.mark.django_db

NOISE = "ResizeObserver loop limit exceeded"


@pytest.fixture
def filtered(sender: Sender) -> Sender:
    switch_on(app=sender.app, kind=Filter.MESSAGES, patterns=["*ResizeObserver*"])
    return sender


def drop_counts() -> list[tuple[str, str, str, int]]:
    discarded_items.flush()
    rows = Discarded.objects.order_by("reason")
    return list(rows.values_list("source", "category", "reason", "count"))


def test_a_filtered_event_is_answered_with_its_id_counted_and_not_stored(filtered: Sender) -> None:
    event_id = uuid.uuid4().hex

    answer = filtered.send(raised(NOISE, event_id=event_id))

    assert (answer.status_code, answer.json()) == (200, {"id": event_id})
    assert not ErrorEvent.objects.exists()
    assert not ErrorGroup.objects.exists()
    assert drop_counts() == [("filter", "error", "messages", 1)]


def test_other_events_are_stored(filtered: Sender) -> None:
    assert filtered.send(raised("the card was declined")).status_code == 200

    assert ErrorEvent.objects.count() == 1
    assert drop_counts() == []


def test_the_store_endpoint_and_plain_json_are_filtered_too(filtered: Sender) -> None:
    url = f"/api/{filtered.app.pk}/store/"
    event_id = uuid.uuid4().hex
    body = json.dumps(raised(NOISE, event_id=event_id)).encode()

    stored = filtered.post(body, url)
    plain = filtered.report([{"message": NOISE}, {"message": "the card was declined"}])

    assert stored.json() == {"id": event_id}
    assert (plain.json()["accepted"], plain.json()["rejected"]) == (2, 0)
    assert all(result["id"] for result in plain.json()["results"])
    assert ErrorEvent.objects.count() == 1
    assert drop_counts() == [("filter", "error", "messages", 2)]


def test_the_filters_of_an_app_do_not_affect_another_app(filtered: Sender) -> None:
    other = Sender()

    assert other.send(raised(NOISE)).status_code == 200

    assert ErrorEvent.objects.get().app_id == other.app.pk


def test_check_ins_of_the_same_envelope_are_kept(filtered: Sender) -> None:
    check_in = json.dumps({"monitor_slug": "nightly", "status": "ok"}).encode()
    item = b'{"type":"check_in","length":%d}\n%b\n' % (len(check_in), check_in)

    filtered.post(envelope(raised(NOISE)).rstrip(b"\n") + b"\n" + item)

    assert filtered.app.heartbeats.count() == 1
    assert not ErrorEvent.objects.exists()


def test_filtered_events_do_not_use_up_the_quota(filtered: Sender) -> None:
    ratelimit.memory.clear()
    filtered.app.events_per_hour = 1
    filtered.app.save()

    assert [filtered.send(raised(NOISE)).status_code for _ in range(3)] == [200, 200, 200]
    assert filtered.send(raised("declined")).status_code == 200
    assert filtered.send(raised("declined")).status_code == 429


def test_a_filter_that_was_disabled_again_drops_no_event(sender: Sender) -> None:
    switch_on(app=sender.app, kind=Filter.MESSAGES, patterns=["*ResizeObserver*"])
    switch_off(app=sender.app, kind=Filter.MESSAGES)

    sender.send(raised(NOISE))

    assert ErrorEvent.objects.count() == 1


def test_a_browser_report_about_an_extension_is_filtered(sender: Sender) -> None:
    switch_on(app=sender.app, kind=Filter.BROWSER_EXTENSIONS, patterns=[])
    report = {
        "csp-report": {
            "document-uri": "https://shop.example/",
            "effective-directive": "script-src",
            "blocked-uri": "chrome-extension://abc",
        }
    }

    answer = sender.post(
        json.dumps(report).encode(),
        f"/api/{sender.app.pk}/security/?sentry_key={sender.key}",
        content_type="application/csp-report",
    )

    assert answer.status_code == 200
    assert not ErrorEvent.objects.exists()
    assert drop_counts() == [("filter", "error", "browser_extensions", 1)]
