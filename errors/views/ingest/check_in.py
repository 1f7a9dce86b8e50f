"""A job's check-in, as `curl` in a crontab sends it."""

from typing import Any

from errors.door import release_connection
from errors.envelope_items import take_check_in
from errors.intake import credentials, jsons, moments
from errors.intake.body import TooLarge, Unreadable
from errors.items import Received
from errors.views.ingest.answers import JSON, Answer
from errors.views.ingest.call import Call, Refused

_LIMIT = 100 * 1024


def receive_check_in(call: Call, project_id: int, parts: list[str]) -> Answer:
    """`parts` of the address are the slug, then perhaps the key; GET or POST."""
    method = call.environ.get("REQUEST_METHOD")
    if method not in ("GET", "POST"):
        raise Refused(405, "get or post here", ("Allow", "GET, POST, OPTIONS"))
    slug = parts[0].replace("\0", "")  # PostgreSQL keeps no NUL
    query = {
        name: values[-1].replace("\0", "")
        for name, values in credentials.pairs_in(call.environ.get("QUERY_STRING", "")).items()
    }
    guest = call.admit(project_id, parts[1:] or credentials.keys(call.environ))
    payload: dict[str, Any] = dict(query)
    if "duration" in payload:
        payload["duration"] = moments.number(payload["duration"])
    body = call.body() if method == "POST" else b""
    if len(body) > _LIMIT:
        raise TooLarge("the check-in is over 100 KiB")
    if body.lstrip().startswith(b"{"):  # anything else `curl -d` may add says nothing
        given = jsons.decode(body)
        if not isinstance(given, dict):
            raise Unreadable("the check-in is not a JSON object")
        payload.update(given)
    try:
        take_check_in(Received(guest, "check_in", payload, {}, "", call.now), slug, payload)
        release_connection()
    except ValueError as error:
        raise Refused(400, str(error)) from None
    return Answer(202, [JSON], b"{}")
