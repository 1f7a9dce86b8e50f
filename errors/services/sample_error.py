"""Report a test error for an app, so that staff see where the app's errors appear."""

import uuid
from datetime import datetime

from core.clients.models import ClientApp
from core.lib.scrub import scrubber
from errors.event.build import IngestContext, build_event
from errors.models import ErrorEvent, ErrorGroup
from errors.store.commit import store_events

TITLE = "Test error from the portal"


def report_sample(app: ClientApp, *, now: datetime) -> ErrorGroup:
    """Store an event of level info and return its group. Raises Unavailable or NotStorable if the event is not stored.

    The event is processed like an SDK's event whose request has been parsed. All test errors of an app share one group.
    """
    event = {
        "event_id": uuid.uuid4().hex,
        "timestamp": now.isoformat(),
        "level": "info",
        "platform": "other",
        "message": TITLE,
        "fingerprint": ["opsportal-test-error"],
        "tags": {"test": "true"},
    }
    built = build_event(
        event, app_id=app.pk, scrubber=scrubber(), context=IngestContext(received_at=now)
    )
    store_events([built])
    return (
        ErrorEvent.objects.with_event_id(uuid.UUID(built.event_id))
        .select_related("group")
        .get(app=app)
        .group
    )
