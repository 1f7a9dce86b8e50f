"""Define the events that apps report, their groups, and their counts.

Events, payloads and seen event ids are deleted after the app's retention. Groups, their counts and history are kept.
errors.store writes events, groups and counts in batches, not with `save()`.
"""

from errors.models.counts import (
    GroupHour,
    GroupTag,
    GroupUser,
    HourCount,
    MinuteCount,
    QuarterCount,
    hour_of,
    hour_start,
    minute_of,
)
from errors.models.deletions import EventDeletion
from errors.models.discarded import Discarded
from errors.models.events import (
    ID_BITS,
    ErrorEvent,
    EventPayload,
    PayloadDictionary,
    SeenEvent,
    received_id,
    received_time,
)
from errors.models.filters import InboundFilter
from errors.models.groups import (
    SEVERITY_RANK,
    ErrorGroup,
    GroupHash,
    GroupNote,
    GroupText,
    Severity,
    Status,
)
from errors.models.release_counts import ReleaseCount, ReleaseCursor, ReleaseErrorUser
from errors.models.source_maps import (
    ArtifactBundle,
    ArtifactContent,
    ArtifactFile,
    EventToResolve,
    ResolvedEvent,
    ResolvedStack,
    StoredContent,
    UploadedChunk,
)
from errors.models.user_reports import UserReport

__all__ = [
    "ID_BITS",
    "SEVERITY_RANK",
    "ArtifactBundle",
    "ArtifactContent",
    "ArtifactFile",
    "Discarded",
    "ErrorEvent",
    "ErrorGroup",
    "EventDeletion",
    "EventPayload",
    "EventToResolve",
    "GroupHash",
    "GroupHour",
    "GroupNote",
    "GroupTag",
    "GroupText",
    "GroupUser",
    "HourCount",
    "InboundFilter",
    "MinuteCount",
    "PayloadDictionary",
    "QuarterCount",
    "ReleaseCount",
    "ReleaseCursor",
    "ReleaseErrorUser",
    "ResolvedEvent",
    "ResolvedStack",
    "SeenEvent",
    "Severity",
    "Status",
    "StoredContent",
    "UploadedChunk",
    "UserReport",
    "hour_of",
    "hour_start",
    "minute_of",
    "received_id",
    "received_time",
]
