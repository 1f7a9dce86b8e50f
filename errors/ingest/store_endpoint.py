"""Receive one event as JSON at `/api/<project>/store/`, the endpoint of old Sentry SDKs, which send no envelopes."""

import base64
import binascii

from errors.event.body import decompress
from errors.exceptions import Unreadable
from errors.ingest import credentials
from errors.ingest.request import EventBuilder, IngestRequest, Parsed
from errors.ingest.responses import accepted


def parse_event(request: IngestRequest, project_id: int) -> Parsed:
    project = request.authenticated(project_id, credentials.keys(request.environ))
    body = request.decompressed_body()
    if not body:
        raise Unreadable("the body is empty")
    # raven-node sends base64(zlib(JSON)) without a Content-Encoding.
    if body[:1] not in b"{ \n\r\t[":
        try:
            body = decompress(base64.b64decode(body), "deflate")
        except (binascii.Error, ValueError):
            raise Unreadable("the body is neither JSON nor base64") from None
    builder = EventBuilder(request, project)
    event_id = builder.add_counted_json(body)
    return Parsed(accepted(event_id), builder.events)
