"""Receive one error or a batch of errors as plain JSON, on the portal's own endpoint, with the app's secret key."""

from typing import Any

from errors.event import json_codec, plain_format
from errors.event.build import MAX_EVENT_BYTES
from errors.exceptions import InvalidError, Refused, TooLarge, Unreadable
from errors.ingest.request import EventBuilder, IngestRequest, Parsed, count_against_quotas
from errors.ingest.responses import JSON, Response

MAX_BATCH = 1_000


def key_of(request: IngestRequest) -> str:
    """Return the API key from the headers. Raises Refused (401) if there is none."""
    environ = request.environ
    scheme, _, value = environ.get("HTTP_AUTHORIZATION", "").strip().partition(" ")
    if scheme.lower() == "bearer" and value.strip():
        return str(value.strip())
    key = environ.get("HTTP_X_API_KEY") or environ.get("HTTP_X_OPSPORTAL_KEY")
    if not key:
        raise Refused(401, "send your key as `Authorization: Bearer <key>`")
    return str(key)


def parse_errors(request: IngestRequest, _project_id: None) -> Parsed:
    project = request.authenticated(None, [key_of(request)])
    body = request.decompressed_body()
    given, is_batch = _listed(body)
    builder = EventBuilder(request, project)
    results: list[dict[str, Any]] = []
    for item in given:
        try:
            event = plain_format.parse(item)
            if len(body) > MAX_EVENT_BYTES and len(json_codec.encode(item)) > MAX_EVENT_BYTES:
                raise InvalidError("the error is larger than 1 MiB")
        except InvalidError as problem:
            results.append({"status": 422, "detail": str(problem)})
            continue
        results.append({"status": 200, "id": builder.add(event)})
    if builder.events:
        count_against_quotas(project, len(builder.events))
    return Parsed(_response(results, is_batch), builder.events)


def _listed(body: bytes) -> tuple[list[Any], bool]:
    """Return the errors in the body, and a flag that is True if the client sent a batch.

    Raises Unreadable for invalid JSON, Refused if `events` is not a list, and TooLarge for more than MAX_BATCH errors.
    """
    if not body.strip():
        raise Unreadable("the body is empty")
    given = json_codec.decode(body)
    is_batch = isinstance(given, list) or (isinstance(given, dict) and "events" in given)
    if not is_batch:
        return [given], False
    listed = given["events"] if isinstance(given, dict) else given
    if not isinstance(listed, list):
        raise Refused(422, "`events` is not a list")
    if len(listed) > MAX_BATCH:
        raise TooLarge(f"the request has more than {MAX_BATCH} errors")
    return listed, True


def _response(results: list[dict[str, Any]], is_batch: bool) -> Response:
    accepted_count = sum(result["status"] == 200 for result in results)
    if is_batch:
        status = 200 if accepted_count or not results else 422
        rejected_count = len(results) - accepted_count
        body = {"accepted": accepted_count, "rejected": rejected_count, "results": results}
        return Response(status, [JSON], json_codec.encode(body))
    if not accepted_count:
        raise Refused(422, str(results[0]["detail"]))
    return Response(200, [JSON], json_codec.encode({"id": results[0]["id"]}))
