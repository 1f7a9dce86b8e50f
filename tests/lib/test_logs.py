"""Test that every log line is one JSON object of limited size, with its context and without personal data."""

import json
import logging
import os
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.lib import logs, request_id


def line_of(message: str, *args: object, **extra: object) -> str:
    record = logging.getLogger("shop").makeRecord(
        "shop", logging.INFO, __file__, 1, message, args, None, extra=extra
    )
    line = logs.JsonFormatter().format(record)
    assert "\n" not in line
    assert len(line) <= logs.MAX_LINE_CHARS
    return line


def fields(message: str, *args: object, **extra: object) -> dict[str, object]:
    parsed: dict[str, object] = json.loads(line_of(message, *args, **extra))
    return parsed


def test_a_line_has_a_time_a_level_a_logger_a_message_and_an_origin() -> None:
    with request_id.use("req-12345678"):
        said = fields("delivery failed", channel="slack", attempt=2)

    assert said["message"] == "delivery failed"
    assert said["level"] == "info"
    assert said["logger"] == "shop"
    assert said["request_id"] == "req-12345678"
    assert said["channel"] == "slack"
    assert said["attempt"] == 2
    assert said["instance"]
    assert str(said["time"]).endswith("+00:00")


def test_the_context_of_a_request_is_on_its_lines_only() -> None:
    with logs.fresh_context():
        logs.add_context(app="shop")
        assert fields("one")["app"] == "shop"
        assert fields("two")["app"] == "shop"
    assert "app" not in fields("three")


def test_personal_data_and_secrets_are_not_logged() -> None:
    line = line_of(
        "mail to ada@example.com failed",
        password="hunter22",
        note="from 203.0.113.77 with sk_live_abcdefghijklmnop1234",
    )
    for secret in ("ada@example.com", "hunter22", "203.0.113.77", "sk_live_abcdef"):
        assert secret not in line


def test_an_exception_is_a_scrubbed_field() -> None:
    try:
        raise ValueError("no mail to ada@example.com")
    except ValueError:
        record = logging.LogRecord("shop", 40, "x.py", 1, "it broke", (), sys.exc_info())
    said = json.loads(logs.JsonFormatter().format(record))

    assert said["exception"].startswith("Traceback")
    assert "ValueError" in said["exception"]
    assert "ada@example.com" not in said["exception"]


@pytest.mark.parametrize(
    "extra",
    [
        {"text": "x" * 50_000},
        {"quotes": '"\n' * 20_000},
        {"a": "x" * 20_000, "b": {"c": ["y" * 20_000]}},
        {f"field_{n}": "z" * 90 for n in range(300)},
        {"snow": "☃" * 20_000, "nul": "\0" * 9_000},
    ],
)
def test_a_long_line_is_shortened_and_remains_valid_json(extra: dict[str, object]) -> None:
    said = fields("long", **extra)
    assert said["message"] == "long"
    assert said["cut"] is True


@pytest.mark.parametrize(
    "extra",
    [
        {"k" * 20_000: "value"},
        {"\ud800" * 2_000: "value", "text": "\ud800" * 20_000},
        {f"field_{number}": "" for number in range(1000)},
        {f"field_{number}": "x" * 100 for number in range(1000)},
        {f"{number}": "\ud800" * 6 for number in range(400)},
    ],
)
def test_a_line_with_too_many_or_too_long_field_names_loses_fields(
    extra: dict[str, object],
) -> None:
    said = fields("long", **extra)

    assert (said["message"], said["cut"]) == ("long", True)
    assert len(said) < len(extra) + 6


def test_the_end_of_a_long_stack_trace_is_kept() -> None:
    said = fields("long", trace="begin" + "x" * 50_000 + "the error itself")
    assert str(said["trace"]).startswith("begin")
    assert str(said["trace"]).endswith("the error itself")


def test_values_without_a_json_type_are_logged_as_text() -> None:
    class Odd:
        def __str__(self) -> str:
            raise RuntimeError

    said = fields("odd", thing=Odd(), keys={(1, 2): "x"}, blob=b"abc", number=float("nan"))
    assert said["message"] == "odd"
    assert "bad \\ud800" in line_of("bad \ud800") or "ud800" in line_of("bad \ud800")


@pytest.mark.slow
@given(
    st.text(),
    st.dictionaries(
        st.sampled_from(["a", "b", "level", "time", "message_"]),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
            lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        ),
    ),
)
def test_any_line_is_one_json_object(message: str, extra: dict[str, object]) -> None:
    record = logging.LogRecord("shop", 20, "x.py", 1, "%s", (message,), None)
    vars(record).update(extra)
    line = logs.JsonFormatter().format(record)

    assert isinstance(json.loads(line), dict)
    assert "\n" not in line


def test_the_text_format_is_readable() -> None:
    record = logging.getLogger("shop").makeRecord(
        "shop", 30, "x.py", 1, "delivery failed", (), None, extra={"channel": "slack"}
    )
    line = logs.TextFormatter().format(record)
    assert "WARNING shop: delivery failed channel=slack" in line


def test_the_duplicate_log_lines_of_django_are_dropped(caplog: pytest.LogCaptureFixture) -> None:
    log = logging.getLogger("django.request")
    log.warning("Not Found: /x", extra={"status_code": 404})
    log.warning("Forbidden", exc_info=ValueError())
    log.error("Service Unavailable")
    assert caplog.records == []


@pytest.mark.slow
def test_dropped_lines_are_not_printed_as_plain_text() -> None:
    says = "logging.getLogger('django.security.DisallowedHost').error('Invalid Host: evil.example')"
    run = subprocess.run(
        [sys.executable, "-c", f"import django, logging; django.setup(); {says}"],
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "opsportal.settings"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stderr == ""
