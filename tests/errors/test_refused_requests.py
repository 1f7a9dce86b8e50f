"""Test that endpoints other than the envelope refuse requests that are too large, empty or in a wrong format."""

import json
from typing import Any

import pytest

from core.clients.models import ApiKey, Scope
from errors.ingest.authentication import key_cache
from errors.ingest.plain_errors import MAX_BATCH
from errors.models import Discarded
from errors.services.discarded import discarded_items
from tests.errors.support import Sender, raised
from tests.factories import make_app

pytestmark = pytest.mark.django_db
MIB = 1024 * 1024


@pytest.mark.parametrize(
    ("body", "status", "detail"),
    [
        (b" ", 400, "the body is empty"),
        ({"events": 5}, 422, "`events` is not a list"),
        (
            [{"message": "m"}] * (MAX_BATCH + 1),
            413,
            f"the request has more than {MAX_BATCH} errors",
        ),
        ({"message": "m", "extra": {"x": "y" * MIB}}, 422, "the error is larger than 1 MiB"),
    ],
)
def test_a_plain_error_in_a_wrong_format_is_refused(
    sender: Sender, body: Any, status: int, detail: str
) -> None:
    answer = sender.report(body)

    assert (answer.status_code, answer.json()["detail"]) == (status, detail)


def test_a_plain_error_may_have_its_key_in_either_header(sender: Sender) -> None:
    for name in ("X-API-Key", "X-Opsportal-Key"):
        assert sender.report({"message": "m"}, **{name: sender.key}).status_code == 200
    assert sender.report({"message": "m"}, Accept="*/*").status_code == 401


def test_over_quota_a_plain_error_gets_a_problem_document() -> None:
    sender = Sender(make_app(events_per_hour=1))
    sender.report({"message": "m"})

    answer = sender.report({"message": "m"})

    problem = answer.json()
    assert (answer.status_code, answer["Content-Type"]) == (429, "application/problem+json")
    assert f"Try again in {problem['retryAfter']} seconds." in problem["detail"]


def test_an_empty_body_at_the_store_endpoint_is_refused(sender: Sender) -> None:
    answer = sender.post(b"", f"/api/{sender.app.pk}/store/")

    assert (answer.status_code, answer.json()["detail"]) == (400, "the body is empty")


def test_oversized_browser_reports_and_check_ins_are_refused(sender: Sender) -> None:
    report = sender.post(b"x" * 65_537, f"/api/{sender.app.pk}/security/?sentry_key={sender.key}")
    check_in = sender.post(b"x" * 102_401, f"/api/{sender.app.pk}/cron/nightly/{sender.key}/")

    assert (report.status_code, report.json()["detail"]) == (
        413,
        "the report is larger than 64 KiB",
    )
    assert (check_in.status_code, check_in.json()["detail"]) == (
        413,
        "the check-in is larger than 100 KiB",
    )


def test_a_body_without_a_report_is_refused(sender: Sender) -> None:
    url = f"/api/{sender.app.pk}/security/?sentry_key={sender.key}"

    for body in (b"{}", b"[]", b'[{"type":"csp-violation"}]'):
        answer = sender.post(body, url)

        assert (answer.status_code, answer.json()["detail"]) == (
            400,
            "the body contains no report",
        )


def test_a_body_at_the_store_endpoint_that_is_neither_json_nor_base64_is_refused(
    sender: Sender,
) -> None:
    answer = sender.post(b"abcde", f"/api/{sender.app.pk}/store/")

    assert (answer.status_code, answer.json()["detail"]) == (
        400,
        "the body is neither JSON nor base64",
    )


def test_a_batch_without_a_valid_error_is_refused_with_a_reason_for_each(sender: Sender) -> None:
    answer = sender.report([{"level": "error"}, 7])

    body = answer.json()
    assert (answer.status_code, body["accepted"], body["rejected"]) == (422, 0, 2)
    assert [one["status"] for one in body["results"]] == [422, 422]
    assert all(one["detail"] for one in body["results"])


def test_a_key_with_a_nul_character_is_unknown(sender: Sender) -> None:
    answer = sender.post(b"{}", headers={"X-Sentry-Auth": "Sentry sentry_key=a\0b"})

    assert answer.status_code == 403


def test_a_key_in_a_query_with_too_many_names_is_not_read(sender: Sender) -> None:
    names = "&".join(f"n{number}=1" for number in range(50))
    url = f"{sender.envelope_url}?sentry_key={sender.key}"

    assert sender.post(b"{}\n", url, headers={}).status_code == 200
    assert sender.post(b"{}\n", f"{url}&{names}", headers={}).status_code == 401


def test_a_tunneled_envelope_without_a_dsn_is_refused(sender: Sender) -> None:
    answer = sender.post(b"{}\n{}\n{}", "/tunnel/", headers={})

    assert (answer.status_code, answer.json()["detail"]) == (
        401,
        "the envelope's header has no readable dsn",
    )


def test_oversized_and_unreadable_items_are_counted_and_the_event_is_stored(
    sender: Sender,
) -> None:
    event = json.dumps(raised()).encode()
    items = [(b"event", event), (b"session", b"x" * 300_000), (b"session", b"not json")]
    parts = [b'{"type":"%b","length":%d}\n%b\n' % (kind, len(body), body) for kind, body in items]

    assert sender.post(b"{}\n" + b"".join(parts)).status_code == 200
    discarded_items.flush()

    found = Discarded.objects.filter(category="session").values_list("reason", flat=True)
    assert "too large" in found


def test_the_key_cache_evicts_the_least_recently_used_keys(
    sender: Sender, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("errors.ingest.authentication._MAX_CACHED_KEYS", 1)
    other = ApiKey.issue(app=sender.app, scopes=[Scope.INGEST])[1]

    assert key_cache.authenticate(sender.app.pk, sender.key)
    assert key_cache.authenticate(None, other)

    assert list(key_cache._entries) == [(None, other)]
