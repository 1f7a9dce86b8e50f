"""The older address of Sentry's SDKs: one event as JSON, without an envelope."""

import base64
import binascii
from collections.abc import Sequence

from errors.intake import credentials
from errors.intake.body import Unreadable, unpack
from errors.new_event import NewEvent
from errors.views.ingest.answers import accepted
from errors.views.ingest.call import Call, Receiving


def receive_event(call: Call, project_id: int) -> Receiving:
    guest = call.admit(project_id, credentials.keys(call.environ))
    taken: list[NewEvent] = []

    def read_event(raw: bytes) -> Sequence[NewEvent]:
        body = call.unpack(raw)
        if not body:
            raise Unreadable("the body is empty")
        if body[:1] not in b"{ \n\r\t[":  # raven-node: base64(zlib(JSON)), and no header says so
            try:
                body = unpack(base64.b64decode(body), "deflate")
            except (binascii.Error, ValueError):
                raise Unreadable("neither JSON nor base64") from None
        call.check_quotas(guest)
        taken.append(call.take(guest, body, call.circumstances()))
        return taken

    yield call.to_store(read_event)
    return accepted(taken[0].event_id)
