"""The portal's own endpoint: errors as plain JSON, one or a batch, with the app's secret key."""

from collections.abc import Sequence
from typing import Any

from errors.intake import jsons, plain
from errors.intake.accept import LONGEST_EVENT
from errors.intake.body import TooLarge, Unreadable
from errors.new_event import NewEvent
from errors.views.ingest.answers import JSON, Answer
from errors.views.ingest.call import Call, Receiving, Refused

MOST_AT_ONCE = 1_000


def receive_errors(call: Call) -> Receiving:
    environ = call.environ
    key = environ.get("HTTP_X_API_KEY") or environ.get("HTTP_X_OPSPORTAL_KEY") or ""
    scheme, _, value = environ.get("HTTP_AUTHORIZATION", "").strip().partition(" ")
    if scheme.lower() == "bearer" and value.strip():
        key = value.strip()
    if not key:
        raise Refused(401, "send your key as `Authorization: Bearer <key>`")
    guest = call.admit(None, [key])
    results: list[dict[str, Any]] = []
    is_batch = False

    def read_errors(raw: bytes) -> Sequence[NewEvent]:
        nonlocal is_batch
        body = call.unpack(raw)
        if not body.strip():
            raise Unreadable("the body is empty")
        given = jsons.decode(body)
        is_batch = isinstance(given, list) or (isinstance(given, dict) and "events" in given)
        listed = given["events"] if isinstance(given, dict) and is_batch else given
        if is_batch and not isinstance(listed, list):
            raise Refused(422, "`events` is not a list")
        if not is_batch:
            listed = [given]
        if len(listed) > MOST_AT_ONCE:
            raise TooLarge(f"more than {MOST_AT_ONCE} errors at once")
        taken: list[NewEvent] = []
        for item in listed:
            try:
                event = plain.read(item)
                if len(body) > LONGEST_EVENT and len(jsons.encode(item)) > LONGEST_EVENT:
                    raise plain.Invalid("the error is over 1 MiB")
            except plain.Invalid as problem:
                results.append({"status": 422, "detail": str(problem)})
                continue
            taken.append(call.pack(guest, event))
            results.append({"status": 200, "id": taken[-1].event_id})
        if taken:
            call.check_quotas(guest, len(taken))
        return taken

    yield call.to_store(read_errors)
    accepted = sum(result["status"] == 200 for result in results)
    if is_batch:
        status = 200 if accepted or not results else 422
        answer = {"accepted": accepted, "rejected": len(results) - accepted, "results": results}
        return Answer(status, [JSON], jsons.encode(answer))
    if not accepted:
        raise Refused(422, str(results[0]["detail"]))
    return Answer(200, [JSON], jsons.encode({"id": results[0]["id"]}))
