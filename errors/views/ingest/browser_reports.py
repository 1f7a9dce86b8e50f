"""What browsers report by themselves: content security policy, network errors and the rest of the Reporting API."""

from collections.abc import Sequence

from errors.intake import credentials, jsons, reports
from errors.intake.body import TooLarge, Unreadable
from errors.new_event import NewEvent
from errors.views.ingest.answers import accepted
from errors.views.ingest.call import Call, Receiving

_LIMIT = 64 * 1024


def receive_reports(call: Call, project_id: int) -> Receiving:
    guest = call.admit(project_id, credentials.keys(call.environ))
    taken: list[NewEvent] = []

    def read_reports(raw: bytes) -> Sequence[NewEvent]:
        body = call.unpack(raw)
        if len(body) > _LIMIT:
            raise TooLarge("the report is over 64 KiB")
        events = reports.events_of(jsons.decode(body))
        if not events:
            raise Unreadable("no report in the body")
        call.check_quotas(guest, len(events))
        taken.extend(call.pack(guest, event) for event in events)
        return taken

    yield call.to_store(read_reports)
    return accepted(taken[0].event_id)
