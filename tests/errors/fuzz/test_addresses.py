"""Test that no input to ingestion causes a 5xx, and that every event with an id is stored and counted."""

import json
import uuid
from io import BytesIO
from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser
from django.db import connection
from django.db.models import Sum
from hypothesis import given
from hypothesis import strategies as st

from core.clients.models import ClientApp, ClientKey
from errors.ingest import handler
from errors.ingest.authentication import key_cache
from errors.ingest.responses import Response
from errors.models import ErrorEvent, ErrorGroup, MinuteCount
from errors.queries.search import search
from errors.store.payloads import payload_of
from tests.errors.fuzz.shapes import broken, events, fuzz, some_of, texts, values, written
from tests.errors.stored import NOON
from tests.factories import make_app

pytestmark = [pytest.mark.django_db, pytest.mark.slow]

_ITEMS = (
    "event", "transaction", "session", "sessions", "check_in", "user_report", "feedback", "client_report", "attachment",
    "span", "statsd", "",
)  # fmt: skip
payloads = (
    events
    | values
    | some_of(
        "monitor_slug", "status", "monitor_config", "duration", "check_in_id", "environment", "event_id", "comments",
        "contexts", "aggregates", "did", "sid", "start_timestamp", "timestamp", "transaction", "discarded_events",
    )
)  # fmt: skip
_headers = some_of("event_id", "sent_at", "sdk", "trace", "dsn")
_items = st.lists(
    st.tuples(st.sampled_from(_ITEMS), st.just({}) | some_of("length", "content_type"), payloads), max_size=3
)  # fmt: skip


@st.composite
def envelopes(draw: st.DrawFn) -> bytes:
    lines = [written(draw(st.just({}) | _headers))]
    for kind, header, payload in draw(_items):
        lines += [written({"type": kind, **header}), written(payload)]
    return b"\n".join(lines)


@pytest.fixture(scope="module")
def shop(django_db_setup: None, django_db_blocker: Any) -> Any:
    """Create one app for all examples, yield it with its key, and delete it with its rows at the end."""
    with django_db_blocker.unblock():
        app = make_app(f"fuzzed-{uuid.uuid4().hex[:8]}")
        key = ClientKey.objects.create(app=app).public_key
        key_cache.clear()
        yield app, key
        app.delete()
        connection.close()


def call(path: str, body: bytes, key: str, method: str = "POST", query: str = "") -> Response:
    address = handler.match(path)
    assert address
    environ = {
        "REQUEST_METHOD": method,
        "PATH_INFO": path,
        "QUERY_STRING": query,
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.input": BytesIO(body),
        "HTTP_X_SENTRY_AUTH": f"Sentry sentry_key={key}",
        "HTTP_AUTHORIZATION": f"Bearer {key}",
        "REMOTE_ADDR": "127.0.0.1",
    }
    answer = handler.handle_sync(environ, address)
    assert answer.status < 500, (answer, path, body[:2000])
    json.loads(answer.body or b"{}")
    return answer


def is_kept(app: ClientApp, event_id: str) -> None:
    event = ErrorEvent.objects.get(app=app, event_id=event_id)
    assert payload_of(event)
    of_app = ErrorGroup.objects.filter(app=app).aggregate(sum=Sum("event_count"))["sum"]
    minutes = MinuteCount.objects.filter(app=app).aggregate(sum=Sum("count"))["sum"]
    assert of_app == minutes == ErrorEvent.objects.filter(app=app).count()


@fuzz
@given(body=envelopes() | broken(envelopes()))
def test_any_envelope_is_stored_or_refused(shop: tuple[ClientApp, str], body: bytes) -> None:
    app, key = shop
    before = ErrorEvent.objects.filter(app=app).count()

    answer = call(f"/api/{app.pk}/envelope/", body, key)

    after = ErrorEvent.objects.filter(app=app).count()
    assert after - before <= (answer.status == 200)
    if after > before:
        is_kept(app, json.loads(answer.body)["id"])


@fuzz
@given(event=events)
def test_any_event_is_stored(shop: tuple[ClientApp, str], event: dict[str, Any]) -> None:
    app, key = shop

    answer = call(f"/api/{app.pk}/store/", written(event), key)

    assert answer.status == 200
    is_kept(app, json.loads(answer.body)["id"])


@fuzz
@given(
    what=st.sampled_from(
        ("store", "security", "csp-report", "nel", "minidump", "unreal", "envelope")
    ),
    body=values.map(written) | st.binary(max_size=60),
    method=st.sampled_from(("POST", "GET", "PUT", "OPTIONS", "")),
)
def test_any_body_at_any_url_is_stored_or_refused(
    shop: tuple[ClientApp, str], what: str, body: bytes, method: str
) -> None:
    app, key = shop

    call(f"/api/{app.pk}/{what}/", body, key, method)
    call("/tunnel/", body, key, method)


@fuzz
@given(given_json=values)
def test_the_plain_endpoint_stores_or_refuses_any_body(
    shop: tuple[ClientApp, str], given_json: Any
) -> None:
    app, key = shop

    answer = call("/api/v1/errors/", written(given_json), key)

    if answer.status == 200 and "id" in json.loads(answer.body):
        is_kept(app, json.loads(answer.body)["id"])


_words = texts.map(lambda text: text.replace("/", "") or "x")


@fuzz
@given(slug=_words, text=texts, payload=values, method=st.sampled_from(("GET", "POST")))
def test_any_check_in_is_answered(
    shop: tuple[ClientApp, str], slug: str, text: str, payload: Any, method: str
) -> None:
    app, key = shop
    if "\n" in slug:  # A URL cannot contain a line break, so skip this example.
        return
    query = f"status=ok&environment={text}&duration={text}".encode("utf-8", "replace").decode()

    call(f"/api/{app.pk}/cron/{slug}/", written(payload), key, method, query)


@fuzz
@given(
    key=texts, path=st.sampled_from(("/api/1/envelope/", "/api/v1/errors/", "/api/1/cron/nightly/"))
)
def test_any_key_is_accepted_or_refused(db: None, key: str, path: str) -> None:
    # WSGI headers contain only latin-1 characters.
    key = key.encode("latin-1", "replace").decode("latin-1")
    for query in ("", "sentry_key=%00", "sentry_key=x" + "&" * 60, f"sentry_key={key}"):
        assert call(path, b"{}", key, query=query).status in (400, 401, 403)


_filters = (
    "app", "env", "release", "severity", "function", "category", "user", "request", "is", "type", "event", "order",
    "since", "until", "assigned", "browser", "",
)  # fmt: skip


@fuzz
@given(terms=st.lists(st.tuples(st.sampled_from(_filters), texts, st.sampled_from(("", "-"))), max_size=4))  # fmt: skip
def test_any_search_can_be_evaluated(db: None, terms: list[tuple[str, str, str]]) -> None:
    line = " ".join(f"{minus}{key}:{value}" for key, value, minus in terms)
    line = line.encode("utf-8", "replace").decode()  # A URL cannot contain lone surrogates.

    found = search(line, groups=ErrorGroup.objects.visible(), user=AnonymousUser(), now=NOON)

    list(found.groups[:3])
