"""Test that every pattern takes linear time: four times the text takes about four times as long."""

from collections.abc import Callable

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from core.lib.scrub import Scrubber, scrub_text
from core.lib.search_terms import parse
from errors.event import json_codec, timestamps
from errors.event.build import IngestContext, build_event
from errors.event.fingerprint import without_variables
from errors.ingest import credentials
from errors.queries.event_page import describe
from tests.errors.fuzz.shapes import IS_LONG, fuzz
from tests.errors.stored import NOON
from tests.lib.linear import TAILS, UNITS, is_linear

SCRUBBER = Scrubber()


def as_event(text: str) -> object:
    """Build an event with the text in every member that can contain text."""
    stack = {
        "frames": [
            {
                "function": text,
                "filename": text,
                "module": text,
                "context_line": text,
                "in_app": True,
            }
        ]
    }
    event = {
        "platform": "javascript", "message": {"message": text, "params": [text]}, "release": text, "transaction": text,
        "exception": [{"type": text, "value": text, "stacktrace": stack}], "tags": {text: text}, "user": {"username": text},
        "request": {"url": text, "query_string": text, "cookies": text, "headers": [[text, text]]}, "timestamp": text,
        "extra": {text: text}, "breadcrumbs": [{"message": text, "timestamp": text}], "event_id": text, "level": text,
        "fingerprint": [text], "contexts": {text: {text: text}},
    }  # fmt: skip
    context = IngestContext(received_at=NOON)
    kept = build_event(event, app_id=1, scrubber=SCRUBBER, context=context, size=1)
    return describe(json_codec.decode(kept.payload))


def as_headers(text: str) -> object:
    environ = {
        "HTTP_X_SENTRY_AUTH": text,
        "HTTP_AUTHORIZATION": f"Basic {text}",
        "QUERY_STRING": f"sentry_key={text}",
    }
    return credentials.keys(environ), credentials.of_dsn(text)


READERS: tuple[Callable[[str], object], ...] = (
    scrub_text,
    as_event,
    as_headers,
    without_variables,
    timestamps.parse,
    parse,
)


@pytest.mark.slow
@pytest.mark.parametrize("read", READERS, ids=lambda read: read.__name__)
def test_texts_that_could_cause_backtracking_take_linear_time(
    read: Callable[[str], object],
) -> None:
    tails = TAILS if IS_LONG else ("", "!")

    slow = [(u, t) for u in UNITS for t in tails if not is_linear(read, u, t, 2_500)]

    assert not slow


@fuzz
@given(
    st.sampled_from(READERS),
    st.lists(st.sampled_from(UNITS), min_size=1, max_size=3).map("".join) | st.text(min_size=1, max_size=5),
    st.sampled_from(TAILS),
)  # fmt: skip
def test_no_repeated_text_takes_more_than_linear_time(
    read: Callable[[str], object], unit: str, tail: str
) -> None:
    assume("\0" not in unit)

    assert is_linear(read, unit, tail, 1_500)
