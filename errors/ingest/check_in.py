"""Receive check-ins of jobs at an address that is simple enough for `curl` in a crontab."""

from typing import Any

from errors.event import json_codec, timestamps
from errors.exceptions import Refused, TooLarge
from errors.extension_points import ReceivedItem
from errors.hooks.envelope_items import handle_check_in
from errors.ingest import credentials
from errors.ingest.authentication import release_connection
from errors.ingest.request import IngestRequest, Parsed
from errors.ingest.responses import JSON, Response

_MAX_BYTES = 100 * 1024


def record_check_in(request: IngestRequest, project_id: int, parts: list[str]) -> Parsed:
    """Record a check-in and return its response. `parts` are the slug and, optionally, the key from the URL."""
    slug = parts[0].replace("\0", "")  # PostgreSQL cannot store NUL characters.
    query = {
        name: values[-1].replace("\0", "")
        for name, values in credentials.pairs_in(request.environ.get("QUERY_STRING", "")).items()
    }
    project = request.authenticate(project_id, parts[1:] or credentials.keys(request.environ))
    payload: dict[str, Any] = dict(query)
    if "duration" in payload:
        payload["duration"] = timestamps.parse_number(payload["duration"])
    body = request.decompressed_body() if request.environ.get("REQUEST_METHOD") == "POST" else b""
    if len(body) > _MAX_BYTES:
        raise TooLarge("the check-in is larger than 100 KiB")
    if body.lstrip().startswith(b"{"):  # Any other body, such as one from `curl -d`, is ignored.
        payload.update(json_codec.decode(body))
    try:
        handle_check_in(
            ReceivedItem(project, "check_in", payload, {}, "", request.received_at), slug, payload
        )
    except ValueError as error:
        raise Refused(400, str(error)) from None
    finally:
        release_connection()
    return Parsed(Response(202, [JSON], b"{}"))
