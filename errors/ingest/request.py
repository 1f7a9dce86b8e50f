"""Define an ingestion request: the data that the client sent, its project, and the events to store."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from random import getrandbits
from typing import Any

from django.utils import timezone

from core.lib import request_id
from core.lib.addresses import client_address
from errors.event.body import decompress
from errors.event.build import (
    MAX_EVENT_BYTES,
    NO_FILTERS,
    IngestContext,
    build_event,
    build_event_from_json,
)
from errors.event.new_event import NewEvent
from errors.exceptions import Filtered, OverQuota, Refused, TooLarge
from errors.extension_points import ReceivedItem
from errors.ingest.authentication import Project, check_quotas, key_cache
from errors.ingest.responses import Response
from errors.models import Discarded
from errors.services import discarded

Environ = Mapping[str, Any]

_MAX_KEYS = 4  # Further keys in a request are ignored.


@dataclass(slots=True)
class Parsed:
    """The events and items of a request, and the response to send after they are stored."""

    response: Response
    events: Sequence[NewEvent] = ()
    items: Sequence[ReceivedItem] = ()


class IngestRequest:
    """A request to ingestion. `project` is None until a key has been accepted."""

    __slots__ = ("body", "environ", "id", "may_query", "project", "received_at")

    def __init__(self, environ: Environ, *, may_query: bool = True) -> None:
        self.environ = environ
        self.body = b""  # The body may be compressed.
        self.received_at = timezone.now()
        self.project: Project | None = None
        # The event loop sets this to False, because it must not wait for the database.
        self.may_query = may_query
        offered = environ.get("HTTP_X_REQUEST_ID")
        # Random bits are unique enough for a request id and, unlike uuid4(), need no system call.
        self.id = request_id.accept(offered) if offered else f"{getrandbits(128):032x}"

    def decompressed_body(self) -> bytes:
        """Return the body after decompression. Raises UnsupportedEncoding, TooLarge or Unreadable."""
        return decompress(self.body, self.environ.get("HTTP_CONTENT_ENCODING", ""))

    def authenticate(self, project_id: int | None, keys: Sequence[str]) -> Project:
        """Return the project to which the keys (the first _MAX_KEYS of them) belong.

        Raises NotCached, AuthUnavailable, and Refused: 401 without a key, 403 if a key or the origin is not accepted.
        """
        if not keys:
            raise Refused(401, "the request has no key; send your DSN's key")
        projects = [
            key_cache.authenticate(project_id, key, may_query=self.may_query)
            for key in dict.fromkeys(keys[:_MAX_KEYS])
        ]
        project = projects[0]
        if project is None or None in projects:
            raise Refused(403, "this key is unknown or revoked, or belongs to another project")
        self.project = project
        if not project.accepts_origin(self.environ.get("HTTP_ORIGIN")):
            raise Refused(403, "this origin is not allowed to send data to this app")
        return project

    def authenticated(self, project_id: int | None, keys: Sequence[str]) -> Project:
        """Return `project` if it is already set. Otherwise, authenticate the keys, and raise like `authenticate`."""
        return self.project or self.authenticate(project_id, keys)

    def context(self, event_id: str = "", sent_at: datetime | None = None) -> IngestContext:
        """Return the facts about an event of this request that its payload does not contain."""
        return IngestContext(
            received_at=self.received_at,
            sent_at=sent_at,
            event_id=event_id,
            client_address=client_address(self.environ),
            filters=self.project.filters if self.project else NO_FILTERS,
        )


@dataclass(slots=True)
class EventBuilder:
    """A collector that builds the events of one request: it normalizes, scrubs and groups them for their project."""

    request: IngestRequest
    project: Project
    events: list[NewEvent] = field(default_factory=list)

    def add_counted_json(
        self, payload: bytes, *, event_id: str = "", sent_at: datetime | None = None
    ) -> str:
        """Add an event from JSON, count it against the quotas, and return its id.

        Raises Refused (429) if a quota is used up, and the exceptions of add_json.

        An event that a filter drops is not counted. If the app has no filters, the event is counted before it is built,
        so that events over the quota are not built.
        """
        if not self.project.filters:
            count_against_quotas(self.project)
        event_id = self.add_json(payload, event_id=event_id, sent_at=sent_at)
        if self.project.filters and self.events:
            count_against_quotas(self.project)
        return event_id

    def add_json(
        self, payload: bytes, *, event_id: str = "", sent_at: datetime | None = None
    ) -> str:
        """Add an event from JSON, and return its id.

        An event that one of the app's filters drops is counted as discarded and not added. Raises TooLarge for JSON
        over 1 MiB, and Unreadable unless the JSON is an object.
        """
        if len(payload) > MAX_EVENT_BYTES:
            raise TooLarge("the event is larger than 1 MiB")
        return self._add(build_event_from_json, payload, self.request.context(event_id, sent_at))

    def add(self, event: dict[str, Any]) -> str:
        """Add an event that is already decoded, unless a filter drops it, and return its id."""
        return self._add(build_event, event, self.request.context())

    def _add(self, make: Callable[..., NewEvent], given: Any, context: IngestContext) -> str:
        try:
            event = make(
                given, app_id=self.project.app_id, scrubber=self.project.scrubber, context=context
            )
        except Filtered as filtered:
            discarded.count(
                self.project.app_id, Discarded.Source.FILTER, "error", filtered.filter_name
            )
            return filtered.event_id
        self.events.append(event)
        return event.event_id


def count_against_quotas(project: Project, count: int = 1) -> None:
    """Count events against the quotas. If one is used up, count the events as discarded and raise Refused (429)."""
    try:
        check_quotas(project, count)
    except OverQuota as over:
        discarded.count(project.app_id, Discarded.Source.QUOTA, "error", over.quota_name, count)
        wait = over.retry_after
        raise Refused(
            429,
            "",
            ("Retry-After", str(wait)),
            ("X-Sentry-Rate-Limits", f"{wait}:error;default;security:project:quota"),
        ) from None
