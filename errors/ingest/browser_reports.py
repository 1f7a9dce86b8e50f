"""Receive reports that browsers send automatically: CSP violations, network errors and others."""

from errors.event import browser_reports, json_codec
from errors.exceptions import TooLarge, Unreadable
from errors.ingest import credentials
from errors.ingest.request import EventBuilder, IngestRequest, Parsed, count_against_quotas
from errors.ingest.responses import accepted

_MAX_BYTES = 64 * 1024


def parse_reports(request: IngestRequest, project_id: int) -> Parsed:
    project = request.authenticated(project_id, credentials.keys(request.environ))
    body = request.decompressed_body()
    if len(body) > _MAX_BYTES:
        raise TooLarge("the report is larger than 64 KiB")
    events = browser_reports.events_of(json_codec.decode(body))
    if not events:
        raise Unreadable("the body contains no report")
    builder = EventBuilder(request, project)
    ids = [builder.add(event) for event in events]
    if builder.events:
        count_against_quotas(project, len(builder.events))
    return Parsed(accepted(ids[0]), builder.events)
