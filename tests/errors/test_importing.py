import gzip
import json
import os
import re
import uuid
from datetime import timedelta
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from errors.models import ErrorEvent, ErrorGroup
from errors.store.payloads import payload_of
from tests.errors.support import envelope, raised
from tests.factories import make_app

pytestmark = pytest.mark.django_db


def test_envelopes_and_event_json_are_imported_once(tmp_path: Path) -> None:
    app = make_app()
    happened = timezone.now() - timedelta(days=3)
    event = raised(event_id=uuid.uuid4().hex, timestamp=happened.isoformat())
    (tmp_path / "a.envelope").write_bytes(envelope(event))
    (tmp_path / "b.json").write_text(json.dumps([raised(function="b"), raised(function="c")]))
    (tmp_path / "c.jsonl.gz").write_bytes(
        gzip.compress(b"\n".join(json.dumps(raised(value=str(n))).encode() for n in range(3)))
    )
    (tmp_path / "d.txt").write_text("nothing to see")

    for _ in range(2):
        call_command("import_errors", app.slug, str(tmp_path))

    assert ErrorEvent.objects.count() == 6
    stored = ErrorEvent.objects.get(event_id=event["event_id"])
    assert abs(stored.received_at - happened) < timedelta(seconds=1)


def test_an_event_exported_by_sentrys_api_is_converted_back(tmp_path: Path) -> None:
    """Import an event from Sentry's API, where interfaces are entries and some members have different names."""
    frame = {"filename": "shop/cart.py", "absPath": "/app/shop/cart.py", "module": "shop.cart", "function": "total",
             "lineNo": 12, "inApp": True, "context": [[11, "def total():"], [12, "    raise SoldOut"], [13, ""]]}  # fmt: skip
    exported = {
        "id": "f" * 32, "eventID": "f" * 32, "type": "error", "platform": "python", "title": "SoldOut: stand B",
        "dateCreated": (timezone.now() - timedelta(days=2)).isoformat(), "release": {"version": "shop@1.2"},
        "tags": [{"key": "environment", "value": "production"}], "user": {"id": "u-1"},
        "entries": [
            {"type": "exception", "data": {"values": [{"type": "SoldOut", "value": "stand B", "stacktrace": {"frames": [frame]}}]}},
            {"type": "breadcrumbs", "data": {"values": [{"category": "cart", "message": "added"}]}},
            {"type": "request", "data": {"method": "POST", "url": "https://shop.example/pay", "query": [["a", "b"]]}},
        ],
    }  # fmt: skip
    transaction = {"type": "transaction", "level": "info", "transaction": "/pay", "spans": []}
    (tmp_path / "export.json").write_text(json.dumps([exported, transaction]))
    app = make_app()

    call_command("import_errors", app.slug, str(tmp_path / "export.json"))

    event = ErrorEvent.objects.get()
    assert (event.event_id.hex, event.release, event.user_key) == ("f" * 32, "shop@1.2", "u-1")
    assert event.group.title == "SoldOut: stand B"
    payload = payload_of(event)
    kept = payload["exception"]["values"][0]["stacktrace"]["frames"][0]
    assert (kept["lineno"], kept["context_line"], kept["in_app"]) == (12, "    raise SoldOut", True)
    assert kept["pre_context"] == ["def total():"]
    assert payload["request"]["query_string"] == [["a", "b"]]
    assert payload["breadcrumbs"]["values"][0]["message"] == "added"


def test_a_file_over_the_size_limit_is_read_line_by_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("errors.services.importing.MAX_DECOMPRESSED_BYTES", 5_000)
    lines = b"\n".join(json.dumps(raised(value=str(n))).encode() for n in range(450))
    (tmp_path / "a.jsonl").write_bytes(lines)
    (tmp_path / "b.jsonl.gz").write_bytes(gzip.compress(lines.replace(b"hold", b"pay")))
    (tmp_path / "cut.jsonl.gz").write_bytes(gzip.compress(os.urandom(9_000))[:4_000])
    app, output, progress = make_app(), StringIO(), StringIO()

    call_command("import_errors", app.slug, str(tmp_path), stdout=output, stderr=progress)

    assert ErrorEvent.objects.count() == 900
    assert "900 events stored" in output.getvalue()
    assert "cut.jsonl.gz: the file is not readable" in output.getvalue()
    shares = [int(share) for share in re.findall(r"(\d+) %", progress.getvalue())]
    assert shares == sorted(shares)
    assert shares[-1] == 100
    assert len(shares) > 3


def test_a_stopped_import_can_be_continued(tmp_path: Path) -> None:
    """Test that a second import skips stored events, so that no event is lost or counted twice."""
    app, lines = make_app(), [json.dumps(raised(value=str(n))) for n in range(30)]
    (tmp_path / "a.jsonl").write_text("\n".join(lines[:12]))
    call_command("import_errors", app.slug, str(tmp_path))
    (tmp_path / "a.jsonl").write_text("\n".join(lines))

    output = StringIO()
    call_command("import_errors", app.slug, str(tmp_path), stdout=output)

    assert "18 events stored, 12 already present" in output.getvalue()
    assert ErrorEvent.objects.count() == ErrorGroup.objects.get().event_count == 30


def test_a_missing_file_is_named_in_the_error(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match=r"missing\.json"):
        call_command("import_errors", make_app().slug, str(tmp_path / "missing.json"))


def test_an_unknown_app_is_named_in_the_error(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="nobody"):
        call_command("import_errors", "nobody", str(tmp_path))
