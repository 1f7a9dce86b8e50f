"""Test that any event is accepted, scrubbed and storable, and that the frame cache does not change it."""

import gzip
import json
import random
import uuid
from datetime import UTC, datetime
from typing import Any

import brotli
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from core.lib.scrub import FILTERED, Scrubber
from errors.event import (
    body,
    browser_reports,
    envelope_format,
    fingerprint,
    json_codec,
    plain_format,
    timestamps,
)
from errors.event.build import IngestContext, build_event, build_event_from_json
from errors.event.new_event import NewEvent
from errors.exceptions import InvalidError, TooLarge, Unreadable, UnsupportedEncoding
from errors.ingest import credentials
from errors.models import ErrorEvent, Severity
from errors.queries import event_page
from tests.errors.fuzz.shapes import (
    INNER,
    MEMBERS,
    broken,
    events,
    fuzz,
    some_of,
    texts,
    values,
    written,
)

SCRUBBER = Scrubber()
NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
CONTEXT = IngestContext(received_at=NOON, client_address="192.0.2.7")
NAMED_CONTEXT = IngestContext(received_at=NOON, event_id="c" * 32)
LENGTHS: dict[str, int] = {
    field.name: field.max_length for field in ErrorEvent._meta.fields if field.max_length
} | {"title": 300, "culprit": 300, "type": 200, "platform": 40}


def taken(payload: bytes) -> NewEvent:
    return build_event_from_json(payload, app_id=1, scrubber=SCRUBBER, context=CONTEXT)


def is_storable(event: NewEvent) -> None:
    """Assert that SQLite and PostgreSQL can store the event, and that the event page can show it."""
    document = json_codec.decode(event.payload)
    assert isinstance(document, dict)
    json.loads(event.payload, parse_constant=pytest.fail)
    assert b"\\u0000" not in event.payload
    assert uuid.UUID(event.event_id).hex == event.event_id
    assert Severity(event.severity)
    assert len(event.group_hash) == 32
    columns = {name: getattr(event, name) for name in event.__struct_fields__}
    for name, value in columns.items():
        if isinstance(value, str) and name != "payload":
            assert len(value) <= LENGTHS.get(name, 32), name
            assert "\0" not in value
            value.encode()  # Raises an exception if the text contains a lone surrogate.
    for key, value in event.tags:
        assert "\0" not in key + value
        (key + value).encode()
    event_page.describe(document)


@fuzz
@given(events)
def test_every_event_is_accepted_and_storable(event: dict[str, Any]) -> None:
    kept = taken(written(event))

    is_storable(kept)
    # Later versions recompute fingerprints from stored payloads, so the payload must lead to the same fingerprint.
    assert fingerprint.fingerprint(json_codec.decode(kept.payload)) == kept.group_hash


@fuzz
@given(events)
def test_an_event_is_the_same_with_and_without_the_frame_cache(event: dict[str, Any]) -> None:
    payload = written(event)
    given: dict[str, Any] = {"app_id": 1, "scrubber": SCRUBBER, "context": NAMED_CONTEXT}

    first = build_event_from_json(payload, **given)
    from_cache = build_event_from_json(payload, **given)
    plain = build_event(json_codec.decode(payload), **given, size=len(payload))

    assert first == from_cache == plain


@fuzz
@given(events, st.sampled_from((*MEMBERS, *INNER)))
def test_an_app_may_declare_any_member_secret(event: dict[str, Any], name: str) -> None:
    given: dict[str, Any] = {"app_id": 1, "scrubber": Scrubber([name]), "context": CONTEXT}

    is_storable(build_event(json_codec.decode(written(event)), **given))


def test_an_errors_member_that_is_not_a_list_is_replaced_when_extra_is_trimmed() -> None:
    kept = taken(written({"errors": 7, "extra": {"large": "x" * 300_000}}))

    assert json_codec.decode(kept.payload)["errors"] == [{"type": "trimmed", "name": "extra"}]


@fuzz
@given(values)
def test_no_json_value_crashes_the_intake(value: Any) -> None:
    payload = written(value)
    for read in (browser_reports.events_of, lambda given: [plain_format.parse(given)]):
        try:
            found = read(json_codec.decode(payload))
        except (Unreadable, InvalidError):
            continue
        for event in found:
            is_storable(build_event(event, app_id=1, scrubber=SCRUBBER, context=CONTEXT))
    try:
        is_storable(taken(payload))
    except Unreadable:
        assert not isinstance(value, dict)


@fuzz
@given(texts, some_of(*plain_format.PlainError.__struct_fields__))
def test_every_plain_error_is_storable_or_refused(message: str, error: dict[str, Any]) -> None:
    error.setdefault("message", message)
    try:
        event = plain_format.parse(json_codec.decode(written(error)))
    except InvalidError:
        return
    is_storable(build_event(event, app_id=1, scrubber=SCRUBBER, context=CONTEXT))


SECRETS = ("jane.doe@secret-mail.example", "203.0.113.199", "4242 4242 4242 4242", "Bearer 9f8e7d6c5b4a39281706",
           "sk_live_4eC39HqLyjWDarjtT1zdp7dc", "https://ann:hunter2x9@db.example/")  # fmt: skip


def planted(chance: random.Random, value: Any, secret: str) -> Any:
    """Return the value with the secret added to some of its keys and in place of some of its texts."""
    if isinstance(value, dict):
        return {
            f"{key} {secret}" if chance.random() < 0.1 else key: planted(chance, item, secret)
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [planted(chance, item, secret) for item in value]
    return f"before {secret} after" if chance.random() < 0.5 else value


@fuzz
@given(events, st.sampled_from(SECRETS), st.integers(0, 2**63))
def test_no_planted_secret_is_stored(event: dict[str, Any], secret: str, seed: int) -> None:
    kept = taken(written(planted(random.Random(seed), event, secret)))

    core = "hunter2x9" if "hunter2x9" in secret else secret.removeprefix("Bearer ")
    assert core not in kept.payload.decode()
    assert core not in repr([getattr(kept, name) for name in kept.__struct_fields__])


@fuzz
@given(values)
def test_scrubbing_twice_has_the_same_result_as_scrubbing_once(value: Any) -> None:
    once = SCRUBBER.scrub(json_codec.decode(written(value)))

    assert written(SCRUBBER.scrub(once)) == written(once)


@fuzz
@given(values, st.sampled_from(("password", "api_key", "X-Auth-Token", "sessionid", "Set-Cookie")))
def test_a_secret_field_is_filtered_whatever_its_value_is(value: Any, name: str) -> None:
    filtered = SCRUBBER.scrub({name: value, "list": [{name: value}]})

    for kept in (filtered[name], filtered["list"][0][name]):
        assert kept == FILTERED or kept is None or isinstance(kept, bool) or kept == ""


# --- framing and wire ------------------------------------------------------------------------------------------

_payload = st.binary(max_size=40).filter(lambda payload: b"\n" not in payload) | values.map(written)
_items = st.lists(
    st.tuples(st.sampled_from(("event", "transaction", "x", "")), _payload, st.booleans()), max_size=5
)  # fmt: skip


def framed(items: list[tuple[str, bytes, bool]]) -> bytes:
    lines = [b'{"event_id":"%b"}' % (b"d" * 32)]
    for kind, payload, with_length in items:
        header: dict[str, Any] = {"type": kind}
        if with_length:
            header["length"] = len(payload)
        lines += [written(header), payload]
    return b"\n".join(lines)


@fuzz
@given(_items, st.sampled_from((b"", b"\n", b"\n\n")))
def test_items_are_read_as_they_were_framed(items: list[Any], end: bytes) -> None:
    parsed = envelope_format.parse(framed(items) + end)

    assert not parsed.fault
    assert [(item.type, item.payload) for item in parsed.items] == [
        (kind, payload) for kind, payload, _ in items
    ]


@fuzz
@given(broken(_items.map(framed)))
def test_a_damaged_envelope_is_read_as_far_as_it_goes_or_refused(damaged: bytes) -> None:
    try:
        parsed = envelope_format.parse(damaged)
    except Unreadable:
        return
    assert all(item.payload in damaged for item in parsed.items)


@fuzz
@given(st.binary(max_size=200), st.sampled_from(("gzip", "deflate", "br", "zstd", "", "x")))
def test_any_bytes_can_be_decompressed_or_are_refused(packed: bytes, encoding: str) -> None:
    try:
        assert len(body.decompress(packed, encoding, 1000)) <= max(1000, len(packed))
    except UnsupportedEncoding:
        assert encoding == "x"
    except (Unreadable, TooLarge):
        assert encoding not in ("", "x")


@fuzz
@given(
    st.binary(min_size=1, max_size=3000),
    st.sampled_from(("br", "zstd", "gzip")),
    st.floats(0, 1, exclude_max=True),
)
def test_a_compressed_body_is_decompressed_completely_or_refused(
    plain_body: bytes, encoding: str, share: float
) -> None:
    packed = {"br": brotli.compress, "zstd": zstandard.compress, "gzip": gzip.compress}[encoding](
        plain_body
    )
    assert body.decompress(packed, encoding) == plain_body
    cut = packed[: max(1, int(share * len(packed)))]
    with pytest.raises(Unreadable):
        body.decompress(cut, encoding)


@fuzz
@given(st.lists(st.binary(max_size=40), min_size=1, max_size=4), st.binary(max_size=12))
def test_gzip_with_any_number_of_members_is_decompressed_completely(
    members: list[bytes], padding: bytes
) -> None:
    packed = b"".join(map(gzip.compress, members))
    padding = padding.removeprefix(b"\x1f")  # The padding must not look like another gzip member.

    assert body.decompress(packed + padding, "gzip") == b"".join(members)


@fuzz
@given(texts, texts, texts, values)
def test_any_credentials_are_read_or_ignored(header: str, other: str, query: str, dsn: Any) -> None:
    environ = {
        "HTTP_X_SENTRY_AUTH": f"Sentry sentry_key={header}",
        "HTTP_AUTHORIZATION": other,
        "QUERY_STRING": f"sentry_key={query}",
    }
    assert all(isinstance(key, str) for key in credentials.keys(environ))
    for given_dsn in (dsn, f"https://{header}@{other}/{query}"):
        found = credentials.of_dsn(given_dsn)
        assert found is None or isinstance(found[1], int)


@fuzz
@given(values)
def test_any_time_is_parsed_with_a_time_zone_or_ignored(value: Any) -> None:
    moment = timestamps.parse(value)

    assert moment is None or moment.utcoffset() is not None
