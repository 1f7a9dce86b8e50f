"""Show the log entries of an event's trace and request on the event's page."""

from errors.extension_points import EventSection, ShownEvent, event_section
from errors.queries.traces import trace_id_of
from logs import queries
from logs.views import describe, list_url


@event_section("logs")
def logs(shown: ShownEvent) -> EventSection | None:
    if not shown.user.has_perm("logs.view_logentry"):
        return None
    trace_id = trace_id_of(shown.payload)
    entries = queries.entries_around(shown.event, trace_id)
    if not entries:
        return None
    query = f"trace:{trace_id}" if trace_id else f"request:{shown.event.request_id}"
    context = {
        "rows": describe(entries),
        "trace_id": trace_id,
        "url": list_url({"q": query}),
    }
    return EventSection("logs/_event_section.html", context)
