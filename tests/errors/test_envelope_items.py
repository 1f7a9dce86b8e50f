"""Test the items of an envelope that are not events."""

import json
import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from errors.models import Discarded, ErrorEvent, UserReport
from errors.services import discarded, measured
from health.models import ActiveUser, CheckIn, Heartbeat, Latency, Series, SeriesKind, Value
from tests.errors.support import Sender, raised

pytestmark = pytest.mark.django_db


def with_items(*items: tuple[dict[str, Any], Any], **header: Any) -> bytes:
    lines = [json.dumps(header)]
    for head, payload in items:
        lines += [json.dumps(head), payload if isinstance(payload, str) else json.dumps(payload)]
    return "\n".join(lines).encode()


def transaction(name: str = "/pay/{id}", **more: Any) -> dict[str, Any]:
    end = timezone.now()
    return {
        "type": "transaction",
        "transaction": name,
        "start_timestamp": (end - timedelta(milliseconds=250)).timestamp(),
        "timestamp": end.isoformat(),
        "contexts": {"trace": {"op": "http.server", "status": "ok"}},
        "spans": [{"op": "db"}],
        **more,
    }


def test_a_transaction_becomes_a_measured_duration(sender: Sender) -> None:
    answer = sender.post(with_items(({"type": "transaction"}, transaction())))

    assert answer.status_code == 200
    series = Series.objects.get(app=sender.app, kind=SeriesKind.REQUEST)
    assert series.name == "/pay/{id}"
    assert 249 < Latency.objects.filter(series=series).first().total_ms < 251  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("trace", "kind", "failed"),
    [
        ({"op": "pageload", "status": "ok"}, SeriesKind.PAGE, 0),
        ({"op": "http.server", "status": "internal_error"}, SeriesKind.REQUEST, 1),
        ({"op": "queue.task"}, SeriesKind.FUNCTION, 0),
    ],
)
def test_the_operation_of_a_transaction_determines_its_kind(
    sender: Sender, trace: Any, kind: SeriesKind, failed: int
) -> None:
    sender.post(with_items(({"type": "transaction"}, transaction(contexts={"trace": trace}))))

    series = Series.objects.get(app=sender.app, kind=kind)
    assert Latency.objects.filter(series=series).first().failed == failed  # type: ignore[union-attr]


def test_the_environment_of_a_transaction_or_span_is_kept(sender: Sender) -> None:
    staging = transaction("GET /a", environment="staging")
    sender.post(with_items(({"type": "transaction"}, staging)))
    sender.post(spans(span("GET /b", sentry__op="http.server", sentry__environment="production")))
    sender.post(spans(span("GET /c", sentry__op="http.server", sentry__environment=["odd"] * 99)))

    environments = Series.objects.filter(app=sender.app).values_list("name", "environment")
    assert {name: environment[:10] for name, environment in environments} == {
        "GET /a": "staging",
        "GET /b": "production",
        "GET /c": "['odd', 'o",
    }


def span(name: str, *, status: str = "ok", is_segment: bool = True, **attributes: Any) -> Any:
    end = timezone.now().timestamp()
    return {
        "name": name, "span_id": "b27c7c8e5c995dc3", "trace_id": "0c1993fdc30144f8915363a5a61055b8", "status": status,
        "start_timestamp": end - 0.25, "end_timestamp": end, "is_segment": is_segment,
        "attributes": {key.replace("__", "."): {"value": value} for key, value in attributes.items()},
    }  # fmt: skip


def spans(*listed: Any) -> bytes:
    kind = "application/vnd.sentry.items.span.v2+json"
    head = {"type": "span", "item_count": len(listed), "content_type": kind}
    return with_items((head, {"version": 2, "items": listed}))


def test_a_segment_span_is_measured_like_a_transaction(
    sender: Sender,
) -> None:
    """Send spans as version 11 of the JavaScript SDKs does instead of transactions."""
    answer = sender.post(
        spans(
            span("GET /pay", sentry__op="http.server", sentry__sample_rate=0.5),
            span("SELECT", is_segment=False, sentry__op="db"),
            span("/seats", sentry__op="pageload", status="error"),
            span("GET /gone", sentry__op="http.server", status="error", http__response__status_code=404),
        )
    )  # fmt: skip

    assert answer.status_code == 200
    found = Latency.objects.filter(series__app=sender.app)
    assert {(one.series.kind, one.series.name, one.count, one.failed) for one in found} == {
        (SeriesKind.REQUEST, "GET /pay", 2, 0),
        (SeriesKind.PAGE, "/seats", 1, 1),
        (SeriesKind.REQUEST, "GET /gone", 1, 0),
    }
    assert Discarded.objects.get(category="span").count == 1


@pytest.mark.parametrize("odd", [None, 7, {}, {"is_segment": True}, {"is_segment": 1, "name": 3}])
def test_an_invalid_span_is_ignored(sender: Sender, odd: Any) -> None:
    assert sender.post(spans(odd, span("GET /pay"))).status_code == 200

    assert Series.objects.get(app=sender.app).name == "GET /pay"


def test_a_sampled_transaction_counts_as_all_the_transactions_that_it_represents(
    sender: Sender,
) -> None:
    sender.post(with_items(({"type": "transaction"}, transaction()), trace={"sample_rate": "0.25"}))

    series = Series.objects.get(app=sender.app, kind=SeriesKind.REQUEST)
    point = Latency.objects.filter(series=series).first()
    assert point is not None
    assert (point.count, point.measured, point.failed) == (4, 1, 0)


@pytest.mark.parametrize(
    ("trace", "context", "count"),
    [
        ({"sample_rate": "0.5"}, {"data": {"sentry.sample_rate": 0.1}}, 2),
        ({"sample_rate": None}, {"data": {"sentry.sample_rate": 0.1}}, 10),
        (None, {"client_sample_rate": 0.2}, 5),
        (None, {"sample_rate": "0.25"}, 4),
        ("odd", {"data": "odd"}, 1),
        ({}, {"sample_rate": "often"}, 1),
        ({"sample_rate": 0.000_001}, {}, 1_000),
    ],
)
def test_the_sample_rate_is_found_wherever_sdks_put_it(
    sender: Sender, trace: Any, context: dict[str, Any], count: int
) -> None:
    sampled = transaction()
    sampled["contexts"]["trace"] |= context
    sender.post(with_items(({"type": "transaction"}, sampled), trace=trace))

    series = Series.objects.get(app=sender.app, kind=SeriesKind.REQUEST)
    assert Latency.objects.filter(series=series).first().count == count  # type: ignore[union-attr]


def test_a_session_counts_its_user_as_active(sender: Sender) -> None:
    sender.post(with_items(({"type": "session"}, {"sid": "s-1", "did": "u-7", "status": "ok"})))

    assert ActiveUser.objects.filter(app=sender.app).count() == 1


def test_aggregated_sessions_are_counted(sender: Sender) -> None:
    sums = {"aggregates": [{"exited": 4, "errored": 1}, {"exited": 2, "did": "u-1"}, "x"]}

    sender.post(with_items(({"type": "sessions"}, sums)))

    series = Series.objects.get(app=sender.app, name="sessions.exited")
    assert Value.objects.filter(series=series).first().total == 6  # type: ignore[union-attr]
    assert ActiveUser.objects.filter(app=sender.app).count() == 1


def test_a_check_in_creates_its_heartbeat(sender: Sender) -> None:
    config = {"schedule": {"type": "crontab", "value": "0 * * * *"}, "checkin_margin": 5}
    start = {"check_in_id": uuid.uuid4().hex, "monitor_slug": "nightly", "status": "in_progress", "monitor_config": config}  # fmt: skip

    sender.post(with_items(({"type": "check_in"}, start)))
    sender.post(with_items(({"type": "check_in"}, {**start, "status": "ok", "duration": 1.5})))

    assert Heartbeat.objects.get(app=sender.app).slug == "nightly"
    assert CheckIn.objects.get().duration_ms == 1500


def test_an_invalid_monitor_config_is_counted_with_its_reason(sender: Sender) -> None:
    config = {"schedule": {"type": "crontab", "value": "nightly"}, "timezone": "Mars"}
    start = {"monitor_slug": "nightly", "status": "ok", "monitor_config": config}

    answer = sender.post(with_items(({"type": "check_in"}, start)))

    row = Discarded.objects.get()
    assert answer.status_code == 200
    assert (row.source, row.category) == ("invalid", "monitor_config")
    assert row.reason == "invalid schedule, timezone"
    assert Heartbeat.objects.get(app=sender.app).config_problem.startswith("schedule: “nightly”")


@pytest.mark.parametrize("with_key", [True, False])
def test_a_crontab_checks_in_with_curl(sender: Sender, with_key: bool) -> None:
    base = f"/api/{sender.app.pk}/cron/nightly/"
    url = f"{base}{sender.key}/?status=ok" if with_key else f"{base}?status=ok&sentry_key={sender.key}"  # fmt: skip

    answers = [sender.client.get(url), sender.client.post(url, {}, content_type="application/x-www-form-urlencoded"), sender.client.get(url.replace("=ok", "=sleeping"))]  # fmt: skip

    assert [answer.status_code for answer in answers] == [202, 202, 400]
    assert Heartbeat.objects.get(app=sender.app).slug == "nightly"


def test_a_check_in_with_curl_has_a_duration_in_seconds_if_it_is_a_number(sender: Sender) -> None:
    base = f"/api/{sender.app.pk}/cron"

    for number, value in enumerate(("1.5", "long", "inf")):
        url = f"{base}/job-{number}/{sender.key}/?status=ok&duration={value}"
        assert sender.client.get(url).status_code == 202

    stored = CheckIn.objects.order_by("pk").values_list("duration_ms", flat=True)
    assert list(stored) == [1500, 0, 0]  # A check-in without a duration is stored with 0.


def test_a_user_report_is_stored_with_its_event_and_without_personal_data(sender: Sender) -> None:
    event_id = uuid.uuid4().hex
    sender.send(raised(event_id=event_id))
    report = {"event_id": event_id, "name": "Jane", "email": "jane@example.com", "comments": "It broke, mail jane@example.com"}  # fmt: skip
    feedback = {"contexts": {"feedback": {"message": "Still broken", "associated_event_id": event_id, "url": "https://shop.example/pay"}}}  # fmt: skip

    sender.post(with_items(({"type": "user_report"}, report)))
    sender.post(with_items(({"type": "feedback"}, feedback)))

    found = UserReport.objects.filter(event_id=uuid.UUID(event_id)).order_by("pk")
    assert [one.message for one in found] == ["It broke, mail [Filtered]", "Still broken"]


def test_client_reports_are_summed_by_day(sender: Sender) -> None:
    report = {"discarded_events": [{"category": "error", "reason": "sample_rate", "quantity": 5}]}

    for _ in range(2):
        sender.post(with_items(({"type": "client_report"}, report)))

    row = Discarded.objects.get()
    assert (row.source, row.category, row.reason, row.count) == ("client", "error", "sample_rate", 10)  # fmt: skip


def test_discarded_items_are_counted_and_shown_to_owners(sender: Sender) -> None:
    answer = sender.post(
        with_items(
            ({"type": "replay_event"}, {}),
            ({"type": "profile"}, "not even json"),
            ({"type": "check_in"}, {"monitor_slug": "x", "status": "asleep"}),
            ({"type": "session"}, "[]"),
            ({"type": "log", "content_type": "application/vnd.sentry.items.log+json"}, {}),
            ({}, {}),
            ({"type": "event"}, raised()),
        )
    )

    assert answer.status_code == 200
    assert ErrorEvent.objects.count() == 1
    counted = set(Discarded.objects.values_list("source", "category", "count"))
    assert counted == {
        ("portal", "replay_event", 1),
        ("portal", "profile", 1),
        ("invalid", "log", 1),
        ("portal", "(none)", 1),
        ("invalid", "check_in", 1),
        ("invalid", "session", 1),
    }


@pytest.mark.django_db(transaction=True)
def test_measurements_beyond_the_buffer_limit_are_dropped_and_counted(
    sender: Sender, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measured.measurements_waiting, "max_count", 3)
    two = with_items(*[({"type": "transaction"}, transaction())] * 2)

    answers = [sender.post(two) for _ in range(3)]
    handed_over = measured.measurements_waiting.flush()
    discarded.discarded_items.flush()

    assert [answer.status_code for answer in answers] == [200, 200, 200]
    assert handed_over == 3
    counts = Latency.objects.filter(series__app=sender.app).values_list("count", flat=True)
    assert set(counts) == {3}
    lost = Discarded.objects.get(app=sender.app)
    assert (lost.source, lost.category) == ("portal", "measurement")
    assert (lost.reason, lost.count) == ("too many", 3)


@pytest.mark.django_db(transaction=True)
def test_the_buffer_accepts_measurements_again_after_a_flush(
    sender: Sender, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measured.measurements_waiting, "max_count", 2)
    two = with_items(*[({"type": "transaction"}, transaction())] * 2)

    sender.post(two)
    assert measured.measurements_waiting.flush() == 2
    sender.post(two)

    assert measured.measurements_waiting.flush() == 2


def test_responses_list_the_unsupported_item_types(sender: Sender) -> None:
    answer = sender.send(raised())

    category_list = answer["X-Sentry-Rate-Limits"].split(":")[1].split(";")
    assert {"profile", "replay"} <= set(category_list)
    assert not {"error", "default", "security", "monitor", "feedback", "transaction", "session", "span"} & set(category_list)  # fmt: skip
