import gzip
import json
import uuid
from datetime import timedelta
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from errors.models import ErrorEvent
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


def test_an_unknown_app_is_named(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="nobody"):
        call_command("import_errors", "nobody", str(tmp_path))
