"""What apps report: events, the groups they fall into, and what is counted about them.

Events, payloads and the event ids seen go after the app's retention; groups, counts and history stay. Events, groups and
counts are not written row by row: errors.store.
"""

from errors.models.counts import (
    GroupHour,
    GroupTag,
    GroupUser,
    HourCount,
    MinuteCount,
    hour_of,
    hour_start,
    minute_of,
)
from errors.models.discarded import Discarded
from errors.models.events import (
    ID_BITS,
    ErrorEvent,
    EventPayload,
    PayloadDictionary,
    SeenEvent,
    received_id,
)
from errors.models.groups import (
    SEVERITY_RANK,
    ErrorGroup,
    GroupHash,
    GroupNote,
    GroupText,
    Severity,
    Status,
)
from errors.models.user_reports import UserReport

__all__ = [
    "ID_BITS",
    "SEVERITY_RANK",
    "Discarded",
    "ErrorEvent",
    "ErrorGroup",
    "EventPayload",
    "GroupHash",
    "GroupHour",
    "GroupNote",
    "GroupTag",
    "GroupText",
    "GroupUser",
    "HourCount",
    "MinuteCount",
    "PayloadDictionary",
    "SeenEvent",
    "Severity",
    "Status",
    "UserReport",
    "hour_of",
    "hour_start",
    "minute_of",
    "received_id",
]
