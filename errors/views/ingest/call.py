"""One request to ingestion: who sends it, its body, and what becomes of the events in it."""

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.utils import timezone

from errors import discarded
from errors.door import Guest, OverQuota, check_quotas, door
from errors.intake.accept import LONGEST_EVENT, Circumstances, accept, accept_json
from errors.intake.body import TooLarge, read, unpack
from errors.models import Discarded
from errors.new_event import NewEvent
from errors.store.writer import Reading
from errors.views.ingest.answers import Answer
from opsportal.lib.addresses import client_address

Environ = Mapping[str, Any]


class Refused(Exception):
    """What the sender is told instead: a status, why, and perhaps more headers."""

    def __init__(self, status: int, detail: str, *headers: tuple[str, str]) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = headers


@dataclass(slots=True)
class ToStore:
    """What a request wants stored before it goes on."""

    read: Reading
    size: int  # about how many bytes wait meanwhile
    others: Sequence[
        object
    ] = ()  # filled by `read`: what is handled afterwards, and may take its time


# A request up to its answer. It yields at most once; then its events are stored, or it is thrown what came in between.
Receiving = Generator[ToStore, None, Answer]


class Call:
    """One request: what was read of it so far."""

    __slots__ = ("environ", "guest", "now")

    def __init__(self, environ: Environ) -> None:
        self.environ = environ
        self.now = timezone.now()
        self.guest: Guest | None = None

    def raw_body(self) -> bytes:
        """As it came over the wire."""
        environ = self.environ
        length = environ.get("CONTENT_LENGTH")
        if not length and not environ.get("wsgi.input_terminated"):
            # Without a length only a server that ends the stream itself can hand a chunked body over; never answer 200
            # to a body that was not seen.
            if "chunked" in environ.get("HTTP_TRANSFER_ENCODING", "").lower():
                raise Refused(411, "this server cannot read chunked bodies")
            return b""
        return read(environ["wsgi.input"], length)

    def unpack(self, raw: bytes) -> bytes:
        return unpack(raw, self.environ.get("HTTP_CONTENT_ENCODING", ""))

    def body(self) -> bytes:
        return self.unpack(self.raw_body())

    def admit(self, project_id: int | None, keys: list[str]) -> Guest:
        """Raises Refused: 401 without a key, 403 with one that does not open this project."""
        if not keys:
            raise Refused(401, "no key: send your DSN's key")
        guests = {key: door.admit(project_id, key) for key in dict.fromkeys(keys[:4])}
        guest = guests[keys[0]]
        if guest is None or None in guests.values():
            raise Refused(403, "this key is unknown, revoked, or another project's")
        self.guest = guest
        origin = self.environ.get("HTTP_ORIGIN")
        if origin and guest.origins and origin not in guest.origins and "*" not in guest.origins:
            raise Refused(403, "this origin may not post here")
        return guest

    def circumstances(self, event_id: str = "", sent_at: datetime | None = None) -> Circumstances:
        return Circumstances(
            received_at=self.now,
            sent_at=sent_at,
            event_id=event_id,
            client_address=client_address(self.environ),
        )

    def take(self, guest: Guest, payload: bytes, around: Circumstances) -> NewEvent:
        """An event on its way to the store."""
        if len(payload) > LONGEST_EVENT:
            raise TooLarge("the event is over 1 MiB")
        return accept_json(payload, app_id=guest.app_id, scrubber=guest.scrubber, around=around)

    def pack(self, guest: Guest, event: dict[str, Any]) -> NewEvent:
        """An event that was read already on its way to the store."""
        around = self.circumstances()
        return accept(event, app_id=guest.app_id, scrubber=guest.scrubber, around=around)

    def to_store(
        self, read: Callable[[bytes], Sequence[NewEvent]], others: Sequence[object] = ()
    ) -> ToStore:
        """Have the body read and its events stored: by the writer's thread, and not before it is this call's turn."""
        raw = self.raw_body()
        return ToStore(lambda: read(raw), 3 * len(raw), others)

    def check_quotas(self, guest: Guest, count: int = 1) -> None:
        if not guest.quotas:
            return
        try:
            check_quotas(guest, count)
        except OverQuota as over:
            discarded.count(guest.app_id, Discarded.Source.QUOTA, "error", over.quota.name, count)
            wait = over.retry_after
            raise Refused(
                429,
                "",
                ("Retry-After", str(wait)),
                ("X-Sentry-Rate-Limits", f"{wait}:error;default;security:project:quota"),
            ) from None
